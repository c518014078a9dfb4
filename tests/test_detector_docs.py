"""The Detector reference lists every method, and the code in the images benchmark does what its page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from vaekit import Detector

DOCS = Path(__file__).resolve().parents[1] / "docs"
REFERENCE = (DOCS / "reference" / "detector.md").read_text()


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
