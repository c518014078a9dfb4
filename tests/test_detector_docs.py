"""What docs/reference/detector.md shows is run, prints what is shown, and names what the detector has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vaekit import Detector

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reference" / "detector.md").read_text()
NUMBER = re.compile(r"\d+\.?\d*")


def test_the_worked_example_prints_what_is_shown() -> None:
    ((snippet, shown),) = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run([sys.executable, "-W", "error", "-c", snippet], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert NUMBER.sub("#", done.stdout) == NUMBER.sub("#", shown)
    for got, want in zip(NUMBER.findall(done.stdout), NUMBER.findall(shown), strict=True):
        assert float(got) == pytest.approx(
            float(want), rel=0.1, abs=0.05
        )  # another processor trains a little otherwise


def test_every_method_is_on_the_page_and_every_one_on_it_exists() -> None:
    (table,) = re.findall(r"## What each method says\n(.*?)\n## ", PAGE + "\n## ", re.DOTALL)[:1]
    named = set(re.findall(r"^\| `(\w+)\(", table, re.MULTILINE))
    public = {name for name in vars(Detector) if not name.startswith("_") and callable(getattr(Detector, name))}
    assert named == public - {"fit", "fit_predict", "of"}
