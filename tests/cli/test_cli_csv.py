"""How a .csv file is written: told once, at the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import once_per_run
from vaekit.cli import app
from vaekit.cli.csv_options import same_csv
from vaekit.errors import InputError
from vaekit.scoring.files.csv_dialect import chosen_dialect, trained_dialect
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit_training.config import load_config

WRITTEN = CsvDialect(";", ",", ".")


def vae(*words: Any) -> Any:
    return CliRunner().invoke(app, list(map(str, words)))


def write(path: Path, delimiter: str = ";", decimal: str = ",", label: str = "fault") -> Path:
    x = np.random.default_rng(0).normal(70, 5, (90, 2)).round(2)
    x[:3] += 60
    lines = [delimiter.join(["temp", "flow", label])]
    cells = [[*(str(value).replace(".", decimal) for value in row), str(int(i < 3))] for i, row in enumerate(x)]
    lines += map(delimiter.join, cells)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def presses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows in semicolons and decimal commas, and a model of them."""

    def make(folder: Path) -> Path:
        rows = write(folder / "rows.csv")
        told = ["--delimiter", ";", "--decimal", ",", "--label", "fault", "--name", "press", "--quiet"]
        done = vae("train", rows, *told, "--models", folder / "models", "--run", folder / "run")
        assert done.exit_code == 0, done.output
        return folder

    return once_per_run(tmp_path_factory, "presses", make)


@pytest.mark.slow
def test_files_are_read_as_the_training_file_unless_told_otherwise(presses: Path, tmp_path: Path) -> None:
    models, rows = ["--models", presses / "models"], presses / "rows.csv"
    assert load_config(presses / "models/press/1/config.toml").data.delimiter == ";"
    plain, new = write(tmp_path / "plain.csv", ",", "."), write(tmp_path / "new.csv")
    for command in (
        ["score", "press", rows, tmp_path / "scored.csv"],
        ["explain", "press", rows, "--top", 1],
        ["evaluate", "press", rows, "-k", 1, "--label", "fault"],
        ["calibrate", "press", new, "--label", "fault", "--propose"],
    ):
        done = vae(*command, *models)
        assert done.exit_code == 0, done.output
        other = [plain if word in (rows, new) else word for word in command]
        refused = vae(*other, *models).exception
        assert isinstance(refused, InputError)
        wanted = "its cells seem to be separated by ',': use --delimiter ','"
        assert str(refused).endswith(f"plain.csv: one column, 'temp,flow,fault'; {wanted}")
        done = vae(*other, *models, "--delimiter", ",", "--decimal", ".")
        assert done.exit_code == 0, done.output
    scored = vae("score", "press", tmp_path / "scored.csv", tmp_path / "again.csv", *models)  # with commas and quotes
    assert "its cells seem to be separated by ',': use --delimiter ','" in str(scored.exception)


@pytest.mark.parametrize(
    ("delimiter", "cells", "options"),
    [
        (";", "70,5;1.234,50;x", "--delimiter ';' --decimal ',' --thousands ."),
        (";", "70,5;7;x", "--delimiter ';' --decimal ','"),
        (";", "70.5;1.234;x", "--delimiter ';'"),
        ("\t", "70,5\t7,25\tx", "--delimiter '\\t' --decimal ','"),
        ("|", "1,234.5|7|x", "--delimiter '|' --thousands ','"),
    ],
)
def test_one_error_names_all_options_that_a_file_needs(
    tmp_path: Path, models_dir: Path, delimiter: str, cells: str, options: str
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join([delimiter.join("abc"), *[cells] * 30]), encoding="utf-8")
    for command in (["train", rows], ["train", rows, "--label", "c"], ["init", tmp_path / "new", "--data", rows]):
        assert str(vae(*command).exception).endswith(f": use {options}")
    for words in (["score", "breast-cancer", rows, tmp_path / "scored.csv"], ["explain", "breast-cancer", rows]):
        refused = vae(*words, "--models", models_dir).exception
        shown = delimiter.join("abc")
        assert (
            str(refused)
            == f"{rows}: one column, {shown!r}; its cells seem to be separated by {delimiter!r}: use {options}"
        )


def test_the_dialect_of_a_bundle_is_that_of_its_config_or_the_usual_one(tmp_path: Path) -> None:
    assert trained_dialect(tmp_path) == PLAIN
    for text, dialect in (
        ('[data]\ndelimiter = ";"\ndecimal = ","\nthousands = "."\n', WRITTEN),
        ('[data]\ndelimiter = "\\t"\n', CsvDialect("\t")),
        ("name = 'a'\n", PLAIN),
        ("data = 1\n", PLAIN),
        ("not TOML", PLAIN),
        ("[data]\ndelimiter = 3\n", PLAIN),
    ):
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")
        assert trained_dialect(tmp_path) == dialect


def test_a_chosen_separator_wins() -> None:
    assert chosen_dialect(WRITTEN) == WRITTEN
    assert chosen_dialect(WRITTEN, ",", ".") == PLAIN
    assert chosen_dialect(WRITTEN, decimal=".") == CsvDialect(";")
    assert chosen_dialect(PLAIN, "\t", ",", "'") == CsvDialect("\t", ",", "'")
    with pytest.raises(InputError, match="both"):
        chosen_dialect(WRITTEN, thousands=",")


def test_options_that_were_given_are_in_the_next_command() -> None:
    assert same_csv(";", ",", None) == " --delimiter ';' --decimal ,"
    assert same_csv(None, None, "") == " --thousands ''"


def test_init_takes_a_file_with_semicolons(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.csv")
    done = vae("init", tmp_path / "plant", "--data", rows, "--delimiter", ";", "--decimal", ",", "--label", "fault")
    assert done.exit_code == 0, done.output
    assert load_config(tmp_path / "plant/config.toml").data.decimal == ","
    refused = vae("init", tmp_path / "other", "--delimiter", ";")
    assert "name them with --data" in str(refused.exception)
