"""The commands and snippets of the pages on scoring and calibration run, and their tables are right."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vaekit.scoring import APPENDED

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = (DOCS / "reference" / "scoring.md").read_text()
CALIBRATION = (DOCS / "explanation" / "calibration.md").read_text()
HOW_TO = (DOCS / "how-to" / "score-files.md").read_text()
TOLERATE = (DOCS / "how-to" / "tolerate-deviations.md").read_text()
SHOWN = HOW_TO + TOLERATE + (DOCS / "how-to" / "calibrate.md").read_text() + CALIBRATION
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", SHOWN, re.DOTALL) for line in block.splitlines()]
SNIPPETS = re.findall(r"```python\n(.*?)```", HOW_TO + TOLERATE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, models_dir: Path, cancer_csv: Path) -> Path:
    """A copy of the examples and models with a labelled CSV, in which commands may write."""
    shutil.copy(cancer_csv, tmp_path / "cancer.csv")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(models_dir, tmp_path / "models")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_pages_works(command, folder, url):
    words = shlex.split(command.replace("http://127.0.0.1:8000", url))
    assert words[0] in ("vae", "python")
    vae = ["-c", "from vaekit.cli import main; main()"] if words[0] == "vae" else []
    done = subprocess.run([sys.executable, *vae, *words[1:]], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_of_the_how_to_runs(snippet, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_reference_lists_the_appended_columns_in_order():
    table = REFERENCE.split("## Appended columns")[1].split("\n\n")[1]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == APPENDED.names


def test_the_intervals_on_the_calibration_page_match_the_committed_models(breast_cancer, digits):
    (table,) = re.findall(r"^\| held-out rows n .*?\n\n", CALIBRATION, re.MULTILINE | re.DOTALL)
    shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:] if line]
    entries = {e.n: e for model in (breast_cancer, digits) for e in model.manifest.calibration.entries}
    assert len(shown) == 4
    for n, alpha, rank, interval in shown:
        (one,) = [one for one in entries[int(n)].thresholds if one.alpha == float(alpha)]
        assert one.rank == int(rank)
        for text, rate in zip(interval.split(" .. "), (one.rate_low, one.rate_high), strict=True):
            assert float(text) == float(f"{rate:.2g}")
