"""`vae train` on the command line: its output, files and exit codes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vaekit.bundle import models
from vaekit.cli import main
from vaekit.cli.remarks import Remarks
from vaekit.cli.train import _config
from vaekit.runtime import Model
from vaekit_training.config import load_config

ROOT = Path(__file__).parents[2]
QUICK = ["--set", "training.steps=60", "--set", "network.hidden=[8]", "--set", "network.latent_dim=2"]


def vae(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vaekit", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    x = np.random.default_rng(0).standard_normal((80, 2))
    lines = [",site,load,temp", *(f"{i},north,{a},{b}" for i, (a, b) in enumerate(x))]
    path = tmp_path / "Pump 7.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_a_data_file_without_a_config_is_trained_on_and_its_config_is_saved(rows: Path, tmp_path: Path) -> None:
    done = vae("train", rows.name, *QUICK, "--set", "network.channels=[8]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "models/pump-7/1"
    assert "warning: network.channels = [8] has no effect" in done.stderr
    assert "category: site" in done.stderr
    assert done.stderr.count("remark: columns with one value in all training rows: 'site'; they only tell") == 1
    folder = tmp_path / "models" / "pump-7" / "1"
    card = (folder / "report" / "model-card.md").read_text()
    assert "- the likelihood is mixed: category: site\n" in card  # remarks made before the run, and during it
    assert "- columns left out (a file's index): ''; --set data.kinds.''=KIND keeps one\n" in card
    config = load_config(folder / "config.toml")
    assert config.likelihood.name == "mixed"
    assert config.training.steps == 60
    with Model.load(folder, device="cpu") as model:
        columns = model.spec.columns  # type: ignore[union-attr]  # a vector model
        assert [(c.name, c.kind, c.levels) for c in columns] == [
            ("site", "category", ("north",)),
            ("load", "real", None),
            ("temp", "real", None),
        ]


def test_excluded_columns_are_added_to_those_excluded_automatically(rows: Path) -> None:
    lines = rows.read_text().splitlines()
    dated = [f"{line},{'when' if i == 0 else f'2020-01-{i % 28 + 1:02d}'}" for i, line in enumerate(lines)]
    rows.write_text("\n".join(dated) + "\n")
    console = Console(file=io.StringIO(), width=200)
    config, _ = _config(str(rows), ["data.exclude=['temp', 'site']"], Remarks(console))
    assert config.data.exclude == ("temp", "site", "when")
    assert config.likelihood.name == "student_t"  # of the default recipe
    assert "mixed" not in console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "no such file"),
        (["none.toml"], "none.toml: No such file"),
        (["c.yaml"], "c.yaml: expected a config file that ends in .toml, or a data file or folder"),
        (["Pump 7.csv", "--set", "training.step=3"], "config: training.step: no such key"),
        (["Pump 7.csv", "--set", "likelihood.name=gaussian"], "row 0, feature 'site': not a number: 'north'"),
        (["Pump 7.csv", "--device", "tpu"], "device 'tpu' is not auto, cpu, cuda or cuda:<index>"),
        (["digits", "--set", "likelihood.name=mixed"], "'mixed' is for columns"),
    ],
)
def test_an_error_is_one_sentence_with_exit_code_1(
    rows: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(rows.parent)
    monkeypatch.setattr(sys, "argv", ["vae", "train", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert message in capsys.readouterr().err
    assert models(rows.parent / "models") == []


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_publishes_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((80, 2)))
    command = [sys.executable, "-m", "vaekit", "train", "rows.npy", "--set", "training.steps=1000000"]
    command += ["--set", "training.patience=1000000"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    )
    assert process.stderr is not None
    try:
        seen = ""
        while "reading" not in seen:
            seen += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "nothing was published" in rest
    assert "Traceback" not in rest
    assert models(tmp_path / "models") == []


@pytest.mark.parametrize("name", ["breast-cancer", "digits"])
def test_the_committed_bundles_have_the_configs_of_the_examples(name: str) -> None:
    folder = ROOT / "models" / name / "1"
    assert load_config(folder / "config.toml") == load_config(ROOT / "examples" / f"{name}.toml")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 500_000
