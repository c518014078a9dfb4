"""The tutorial on `Detector` runs and prints what it shows; its reference lists every method."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vaekit import Detector

DOCS = Path(__file__).resolve().parents[1] / "docs"
TUTORIAL = (DOCS / "tutorials" / "detect-anomalies.md").read_text()
REFERENCE = (DOCS / "reference" / "detector.md").read_text()
NUMBER = re.compile(r"\d+\.?\d*")


@pytest.mark.slow
def test_the_worked_example_prints_what_is_shown() -> None:
    ((snippet, shown),) = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", TUTORIAL, re.DOTALL)
    done = subprocess.run([sys.executable, "-W", "error", "-c", snippet], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert NUMBER.sub("#", done.stdout) == NUMBER.sub("#", shown)
    for got, want in zip(NUMBER.findall(done.stdout), NUMBER.findall(shown), strict=True):
        assert float(got) == pytest.approx(
            float(want), rel=0.1, abs=0.05
        )  # another processor trains a little otherwise


def test_every_method_is_on_the_page_and_every_one_on_it_exists() -> None:
    (table,) = re.findall(r"## Methods\n(.*?)\n## ", REFERENCE + "\n## ", re.DOTALL)[:1]
    named = set(re.findall(r"^\| `(\w+)\(", table, re.MULTILINE))
    public = {name for name in vars(Detector) if not name.startswith("_") and callable(getattr(Detector, name))}
    assert named == public - {"fit", "fit_predict", "of"}
