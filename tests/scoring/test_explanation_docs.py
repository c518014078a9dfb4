"""The code and commands of docs/tutorials/explain-a-row.md run, and print what the page shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorials" / "explain-a-row.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
NUMBER = re.compile(r"-?\d+\.?\d*")


@pytest.fixture
def folder(tmp_path: Path, models_dir: Path) -> Path:
    """A copy of the examples and models, in which commands may write."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(models_dir, tmp_path / "models")
    return tmp_path


def run(words: list[str], folder: Path) -> str:
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_tutorial_works(command, folder):
    run(["-c", "from vaekit.cli import main; main()", *shlex.split(command)[1:]], folder)


@pytest.mark.slow
def test_the_worked_example_prints_the_output_in_the_tutorial(folder):
    ((snippet, shown),) = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    printed = run(["-W", "error", "-c", snippet], folder)
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    for got, want in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        assert float(got) == pytest.approx(float(want), rel=0.02)
