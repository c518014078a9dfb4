"""The commands of docs/tutorials/explain-a-row.md run. Its code is run as a notebook."""

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
