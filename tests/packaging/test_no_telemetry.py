"""ONNX Runtime's telemetry is switched off; its Linux builds have sent reports by default since 1.29."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SWITCHES = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "XDG_CACHE_HOME")
OPEN = "from vaekit.runtime.device import open_session; open_session(__import__('pathlib').Path({graph!r}), 'cpu')"


def files_left(home: Path, code: str, **variables: str) -> list[str]:
    """The files that a new process leaves in its home folder: ONNX Runtime's identifier and reports, if any."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SWITCHES)}
    environment = {**kept, "HOME": str(home), **variables}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    return sorted(path.name for path in home.rglob("*") if path.is_file())


@pytest.fixture
def open_a_graph(models_dir: Path) -> str:
    return OPEN.format(graph=str(models_dir / "breast-cancer" / "1" / "encoder.onnx"))


def test_opening_a_model_leaves_no_identifier_and_no_report(tmp_path: Path, open_a_graph: str) -> None:
    assert files_left(tmp_path, open_a_graph) == []


def test_a_telemetry_setting_of_the_user_is_kept(tmp_path: Path) -> None:
    code = "import os, vaekit.runtime.device; assert os.environ['ORT_DISABLE_TELEMETRY'] == '0'"
    files_left(tmp_path, code, ORT_DISABLE_TELEMETRY="0")
