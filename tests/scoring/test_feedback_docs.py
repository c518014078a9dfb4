"""docs/how-to/feedback.md: its snippet and its commands work, from the log to an accepted version."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.live import serving
from vaekit.bundle.models_folder import latest
from vaekit.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "feedback.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
    if line.startswith("vae ")
]  # fmt: skip


def test_the_page_works_from_the_log_to_an_accepted_version(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with serving(copied, score_log=tmp_path / "scores") as url:
        code = snippet.replace("http://127.0.0.1:8000", url)
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
    said = {}
    for command in COMMANDS:
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, (command, done.output, done.exception)
        said[command.split()[1]] = done.stdout
    assert "12 of 12 labels have a score" in said["feedback"]
    assert latest(copied, "breast-cancer") == 2
