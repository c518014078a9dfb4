"""The commands and the Python of docs/how-to/windows-of-a-series.md work, in order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "windows-of-a-series.md"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_page_walks_from_a_file_to_scores(tmp_path: Path) -> None:
    said = {}
    for language, code in re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        each = [line for line in code.splitlines() if line] if language == "sh" else [code]
        for one in each:
            program = [sys.executable, "-m", "vaekit", *shlex.split(one)[1:]]
            command = program if language == "sh" else [sys.executable, "-c", one]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
            assert done.returncode == 0, done.stderr
            said[one.split("\n")[0]] = done.stdout + done.stderr
    assert "22 time steps have no score" in said["vae score series series.csv scored.csv --alpha 0.02"]
    assert "load[t] " in said["vae explain series series.csv --row 7801"]
    assert said["import pandas as pd"].strip().endswith("-1")
    assert "'feature': 'load[t]'" in said["import pandas as pd"]
    lines = (tmp_path / "scored.csv").read_text("utf-8").splitlines()
    assert len(lines) == 8001
    assert lines[1 + 7801].split(",")[10] == "true"
