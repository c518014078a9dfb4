"""What the shell offers: commands, models and versions, configs, and the columns of a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vaekit.cli import completion


def given(**params: Any) -> Any:
    """The context of a command line with these values so far."""
    return SimpleNamespace(params=params)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for version in ("pumps/1", "pumps/12", "pipes/2"):
        (tmp_path / "models" / version).mkdir(parents=True)
        (tmp_path / "models" / version / "manifest.json").touch()
    (tmp_path / "models/unfinished/1").mkdir(parents=True)
    (tmp_path / "rows.csv").write_text("load,temp,label\n1,2,0\n", encoding="utf-8")
    (tmp_path / "plant.toml").touch()
    (tmp_path / "notes.md").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("place")
def test_models_are_offered_and_after_an_at_their_versions() -> None:
    assert completion.models(given(models=None), "p") == ["pipes", "pumps"]
    assert completion.models(given(models=Path("models")), "pumps@") == ["pumps@1", "pumps@12"]
    assert completion.models(given(models=Path("nowhere")), "") == []
    assert completion.names(given(), "pumps@") == []


@pytest.mark.usefixtures("place")
def test_configs_and_data_are_offered_to_train_on() -> None:
    assert completion.training_sources("") == ["breast-cancer", "digits", "models", "plant.toml", "rows.csv"]
    assert completion.training_sources("models/pu") == ["models/pumps"]


@pytest.mark.usefixtures("place")
def test_columns_of_the_file_are_offered_as_labels() -> None:
    assert completion.columns(given(source="rows.csv"), "l") == ["load", "label"]
    Path("semicolons.csv").write_text("load;temp;label\n1;2;0\n", encoding="utf-8")
    assert completion.columns(given(source="semicolons.csv", delimiter=";"), "l") == ["load", "label"]
    assert completion.columns(given(source="none.csv"), "") == []
    assert completion.columns(given(source="plant.toml"), "") == []


@pytest.mark.slow
@pytest.mark.parametrize(("words", "offered"), [("vae tr", ["train"]), ("vae score pu", ["pumps"])])
@pytest.mark.usefixtures("place")
def test_bash_gets_the_offers_of_the_command_line(words: str, offered: list[str]) -> None:
    environment = {"_VAE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv = ['vae']; from vaekit.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.stdout.split() == offered


def test_a_name_that_a_shell_would_evaluate_is_not_offered(place: Path) -> None:
    (place / "rows.csv").write_text('load,\\$(touch x),`id`,"a\nb",$HOME,l\'oad\n', encoding="utf-8")
    (place / "\\$(touch x).csv").touch()
    assert completion.columns(given(source="rows.csv"), "") == ["load", "l'oad"]
    assert not any("touch" in one for one in completion.training_sources(""))
