"""What docs/scoring.md shows is run."""

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
PAGE = (ROOT / "docs" / "scoring.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, models_dir: Path) -> Path:
    """A folder like the clone, in which commands may write."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(models_dir, tmp_path / "models")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_works(command, folder, url):
    words = shlex.split(command.replace("http://127.0.0.1:8000", url))
    assert words[0] == "vae"
    python = [sys.executable, "-c", "from vaekit.cli import main; main()", *words[1:]]
    done = subprocess.run(python, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_of_the_page_runs(snippet, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_page_lists_the_appended_columns_in_order():
    table = PAGE.split("## What is appended")[1].split("\n\n")[1]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == APPENDED.names
