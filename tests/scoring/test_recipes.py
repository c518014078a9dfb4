"""Every recipe of the page on SQL and frames runs, and finds the most anomalous row of the example."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "score-from-sql-and-frames.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(recipe: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", recipe],
        cwd=ROOT,
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def highest(breast_cancer) -> str:
    """The whole part of the highest score of the example's rows."""
    return str(int(breast_cancer.elbo(pyarrow.csv.read_csv(ROOT / "examples" / "rows.csv").drop("sample")).score.max()))


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if "import ray" not in recipe])
def test_a_recipe_runs_and_finds_the_most_anomalous_row(recipe, url, highest):
    assert highest in run(recipe.replace("http://127.0.0.1:8000", url))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'vaekit[ray]'")
@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if "import ray" in recipe])
def test_the_recipe_for_ray_runs_and_finds_the_most_anomalous_row(recipe, highest):
    assert highest in run(recipe)
