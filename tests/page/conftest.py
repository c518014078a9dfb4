"""Fixtures of the tests of the page: a browser, a service with several models, and a way to play scenarios.

VAEKIT_PAGE_SHOTS=FOLDER writes screenshots of every panel into a folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import ROOT, once_per_run
from tests.page import mixed_table
from tests.service.conftest import Process

HERE = Path(__file__).parent
TOOLS = ROOT / "build" / "page"
PACKAGES = ("playwright-core@1.65.1", "axe-core@4.14.1")
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
LONGEST = 400  # seconds for one scenario in all its cases

Play = Callable[..., list[Any]]


def screens(**more: Any) -> list[dict[str, Any]]:
    """A case for each width and colour scheme."""
    return [{"width": width, "scheme": scheme, **more} for width in WIDTHS for scheme in SCHEMES]


@pytest.fixture(scope="session")
def page_tools() -> dict[str, str]:
    """The environment of node with playwright-core, axe-core and Chromium."""
    if absent := [program for program in ("node", "npm", "chromium") if shutil.which(program) is None]:
        pytest.skip(f"needs {' and '.join(absent)}")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with FileLock(TOOLS / ".lock"):
        if not all((TOOLS / "node_modules" / name.partition("@")[0]).exists() for name in PACKAGES):
            flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(TOOLS)]
            subprocess.run(["npm", "install", *flags, *PACKAGES], check=True, capture_output=True)
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    return {**kept, "VAEKIT_PAGE_TOOLS": str(TOOLS), "VAEKIT_CHROMIUM": str(shutil.which("chromium"))}


@pytest.fixture(scope="session")
def models_of_the_page(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """A models folder with both committed models and one of a mixed table with groups."""

    def make(folder: Path) -> Path:
        root = folder / "models"
        for name in ("breast-cancer", "digits"):
            shutil.copytree(models_dir / name, root / name)
        mixed_table.train(root)
        return root

    return once_per_run(tmp_path_factory, "page", make)


@pytest.fixture(scope="session")
def page_url(models_of_the_page: Path, page_tools: dict[str, str]) -> Iterator[str]:
    """The address of a service with these models."""
    assert page_tools
    service = Process("--models", str(models_of_the_page))
    try:
        url = service.until(r"listening on (http://\S+:\d+)")
        service.until("(try):")
        yield url
    finally:
        service.end()


@pytest.fixture(scope="session")
def play(page_tools: Mapping[str, str]) -> Play:
    """play(scenario, cases): play a scenario of tests/page/scenarios in each case.

    Problems fail the test. The result is what the scenario returned in each case.
    """
    shots = {"shots": os.environ["VAEKIT_PAGE_SHOTS"]} if os.environ.get("VAEKIT_PAGE_SHOTS") else {}

    def played(scenario: str, cases: Sequence[Mapping[str, Any]]) -> list[Any]:
        given = json.dumps([{**shots, **one} for one in cases])
        script = HERE / "scenarios" / f"{scenario}.mjs"
        command = ["node", str(HERE / "play.mjs"), str(script), given]
        done = subprocess.run(command, env=page_tools, capture_output=True, text=True, timeout=LONGEST, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["problems"] == [], "\n".join(found["problems"])
        returned: list[Any] = found["returned"]
        return returned

    return played
