"""The Detector reference lists every method, and the code in the images benchmark does what its page says."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from vaekit import Detector
from vaekit.cli import app
from vaekit.runtime import Model

DOCS = Path(__file__).resolve().parents[1] / "docs"
REFERENCE = (DOCS / "reference" / "detector.md").read_text()


def test_the_reference_lists_exactly_the_public_methods() -> None:
    (table,) = re.findall(r"## Methods\n(.*?)\n## ", REFERENCE + "\n## ", re.DOTALL)[:1]
    named = set(re.findall(r"^\| `(\w+)\(", table, re.MULTILINE))
    public = {name for name in vars(Detector) if not name.startswith("_") and callable(getattr(Detector, name))}
    assert named == public - {"fit", "fit_predict", "of"}


def numbers(n: int) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(n, 3)), columns=["a", "b", "c"])


@pytest.mark.slow
def test_a_detector_with_the_fractions_that_the_page_shows_gives_the_p_values_of_vae_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = numbers(200)
    rows.to_csv("rows.csv", index=False)
    done = CliRunner().invoke(app, ["train", "rows.csv", "--quiet"])
    assert done.exit_code == 0, done.output
    trained = Detector.of(Model.load("models/rows/1")).p_value(rows)
    page = (DOCS / "how-to" / "train.md").read_text()
    (settings,) = re.findall(r"^    Detector\(settings=(.*)\)$", page, re.MULTILINE)
    same = Detector(settings=ast.literal_eval(settings), random_state=0).fit(pd.read_csv("rows.csv"))
    np.testing.assert_array_equal(same.p_value(rows), trained)
    assert (Detector(random_state=0).fit(pd.read_csv("rows.csv")).p_value(rows) != trained).any()


@pytest.mark.parametrize("had_missing", [False, True])
def test_missing_cells_are_counted_in_whichever_columns_they_are(had_missing: bool) -> None:
    rows = numbers(100)
    if had_missing:
        rows.loc[::3, "a"] = np.nan
    detector = Detector(alpha=0.5).fit(rows)
    new = pd.DataFrame([[0.0, np.nan, 0.0], [np.nan, np.nan, 0.0]], columns=rows.columns)
    bound = detector.model_.bound(new)
    assert bound.novel is not None
    assert bound.novel.tolist() == [not had_missing, True]


def test_a_table_of_principal_components_finds_odd_images_as_the_page_says() -> None:
    page = (DOCS / "reference" / "benchmarks" / "images.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    digits = load_digits()
    normal, odd = digits.images[digits.target != 4], digits.images[digits.target == 4]
    names: dict[str, Any] = {"train": normal[::2], "test": np.concatenate([normal[1::2], odd])}
    exec(snippet, names)
    is_odd = names["is_odd"]
    assert is_odd[-len(odd) :].mean() > 0.7
    assert is_odd[: -len(odd)].mean() < 0.12
