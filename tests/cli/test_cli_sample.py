"""`vae sample`: rows with the names of columns and levels, sheets of images, and the same samples for the same seed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from vaekit.bundle.read import read_manifest
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.runtime import Model


def vae(*words: Any) -> Any:
    return CliRunner().invoke(app, ["sample", *map(str, words)])


def test_rows_go_to_standard_output_as_csv_with_the_names_of_columns(models_dir: Path, breast_cancer: Model) -> None:
    done = vae("breast-cancer", "-n", "5", "--seed", "3", "--models", models_dir)
    found = pd.read_csv(io.StringIO(done.stdout))
    assert list(found.columns) == list(breast_cancer.spec.names)  # type: ignore[union-attr]  # a vector model
    assert np.allclose(found, breast_cancer.sample(5, seed=3).samples)
    more = pd.read_csv(io.StringIO(vae("breast-cancer", "-n", "7", "--seed", "3", "--models", models_dir).stdout))
    assert np.allclose(more[:5], found)


def test_a_file_has_the_names_of_levels(mixed: Any, tmp_path: Path) -> None:
    for ending in (".csv", ".parquet"):
        out = tmp_path / f"samples{ending}"
        assert vae(mixed.folder, "-n", "30", "--observe", "--out", out).exit_code == 0
        found = pd.read_csv(out) if ending == ".csv" else pq.read_table(out).to_pandas()
        levels = {column.name: column.levels for column in read_manifest(mixed.folder / "1").input.columns}
        levels = {name: known for name, known in levels.items() if known}
        assert levels
        for name, known in levels.items():
            assert set(found[name].astype(str)) <= set(known)


def test_json_has_the_samples_or_the_file_that_holds_them(models_dir: Path, tmp_path: Path) -> None:
    found = json.loads(vae("breast-cancer", "-n", "2", "--json", "--models", models_dir).stdout)
    assert (found["model"], found["n"], found["seed"]) == ("breast-cancer@1", 2, 0)
    assert np.shape(found["samples"]) == (2, len(found["columns"]))
    out = tmp_path / "images.npy"
    found = json.loads(vae("digits", "-n", "2", "--json", "--out", out, "--models", models_dir).stdout)
    assert (found["out"], found["columns"]) == (str(out), None)
    assert np.load(out).shape == (2, 8, 8, 1)


def test_images_are_drawn_on_a_sheet(models_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert vae("digits", "-n", "5", "--out", out, "--models", models_dir).exit_code == 0
    with Image.open(out) as drawn:
        assert drawn.size == (3 * 66 + 2, 2 * 66 + 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("digits",), "the samples are images: name a file"),
        (("digits", "--out", "samples.csv"), "samples.csv: expected a name that ends in .png or .npy"),
        (("breast-cancer", "--out", "samples.png"), "expected a name that ends in .csv, .parquet or .npy"),
    ],
)
def test_a_file_that_cannot_hold_the_samples_is_refused(models_dir: Path, words: tuple[str, ...], says: str) -> None:
    done = vae(*words, "--models", models_dir)
    assert isinstance(done.exception, InputError)
    assert says in str(done.exception)
