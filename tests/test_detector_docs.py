"""The code in the Detector tutorial prints what the page shows, and the Detector reference lists every method."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from vaekit import Detector

DOCS = Path(__file__).resolve().parents[1] / "docs"
TUTORIAL = (DOCS / "tutorials" / "detect-anomalies.md").read_text()
REFERENCE = (DOCS / "reference" / "detector.md").read_text()
NUMBER = re.compile(r"\d+\.?\d*(?:e[+-]\d+)?")
CELL = re.compile(rf"[a-z ]+: {NUMBER.pattern}, expected {NUMBER.pattern} to {NUMBER.pattern}")


@pytest.mark.slow
def test_the_tutorials_code_prints_what_the_page_shows() -> None:
    ((snippet, shown),) = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", TUTORIAL, re.DOTALL)
    done = subprocess.run([sys.executable, "-W", "error", "-c", snippet], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    printed, expected = (text.splitlines() for text in (done.stdout, shown))
    assert len(printed) == len(expected)
    for got, want in zip(printed, expected, strict=True):
        if CELL.fullmatch(want):  # close ties: which cell comes second differs between processors
            assert CELL.fullmatch(got)
            continue
        assert NUMBER.sub("#", got) == NUMBER.sub("#", want)
        for value, known in zip(NUMBER.findall(got), NUMBER.findall(want), strict=True):
            assert float(value) == pytest.approx(float(known), rel=0.1, abs=0.05)


def test_the_reference_lists_exactly_the_public_methods() -> None:
    (table,) = re.findall(r"## Methods\n(.*?)\n## ", REFERENCE + "\n## ", re.DOTALL)[:1]
    named = set(re.findall(r"^\| `(\w+)\(", table, re.MULTILINE))
    public = {name for name in vars(Detector) if not name.startswith("_") and callable(getattr(Detector, name))}
    assert named == public - {"fit", "fit_predict", "of"}


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
