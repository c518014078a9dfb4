"""The OpenAPI document passes a linter with strict rules."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOOL = HERE.parents[1] / "build" / "redocly"
LINTER = "@redocly/cli@2.77.0"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_openapi_document_passes_redocly() -> None:
    if not (TOOL / "node_modules").exists():
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(TOOL), LINTER]
        subprocess.run(install, check=True, capture_output=True)
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(
        [str(TOOL / "node_modules/.bin/redocly"), "lint", "--config", "redocly.yaml", "openapi.json"],
        cwd=HERE,
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
