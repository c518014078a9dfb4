"""Fixtures of the tests of clients/javascript: the installed packages, and what Python says about rows and cells."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import ROOT, once_per_run
from tests.javascript import bundles
from tests.javascript.read_cells import write_cells, write_draws
from tests.javascript.scored_rows import series_rows, write_case
from tests.kinds import Published
from vaekit.runtime import Model

PACKAGE = ROOT / "clients" / "javascript"
ANY = {"above": "any", "below": "any"}
PROGRAMS, OLDEST_NODE = ("node", "npm"), 20
LONGEST = 600  # seconds for one command


def run_in(folder: Path, command: list[str], environment: Mapping[str, str]) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def node_environment() -> dict[str, str]:
    """The environment of node: without settings of the service and without a proxy."""
    import os

    dropped = ("VAE", "NODE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(dropped)}


@pytest.fixture(scope="session")
def package(node_environment: dict[str, str]) -> Path:
    """The folder of the JavaScript package with its development packages installed by its lock file."""
    if absent := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"needs {' and '.join(absent)}")
    version = run_in(PACKAGE, ["node", "--version"], node_environment).strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"needs node {OLDEST_NODE} or newer, not {version}")
    installed = PACKAGE / "node_modules"
    stamp = installed / ".vaekit-lock"
    lock = hashlib.sha256((PACKAGE / "package-lock.json").read_bytes()).hexdigest()
    with FileLock(PACKAGE / ".install.lock"):
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != lock:
            run_in(PACKAGE, ["npm", "ci", "--ignore-scripts"], node_environment)
            stamp.write_text(lock, encoding="utf-8")
    return PACKAGE


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A kernel prior on columns of four kinds with missing cells and tolerance rules, trained once per test run."""
    return once_per_run(tmp_path_factory, "kernel", bundles.train_kernel)


@pytest.fixture(scope="session")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Images of three channels, trained once per test run."""
    return once_per_run(tmp_path_factory, "colour", bundles.train_colour)


@pytest.fixture(scope="session")
def cases(
    tmp_path_factory: pytest.TempPathFactory,
    models_dir: Path,
    mixed: Published,
    several: Published,
    folded: Published,
    grouped: Published,
    shown: Published,
    windowed: Published,
    kernel: Published,
    colour: Published,
) -> Path:
    """Files with rows, cells and draws, and what Python makes of them, written once per test run."""
    committed = [models_dir / "breast-cancer", models_dir / "digits", ROOT / "tests" / "old" / "sensors"]
    trained = [published.folder for published in (mixed, several, folded, grouped, shown, kernel, colour)]
    with_rules = ((mixed, ["load", "size"]), (several, ["a", "b"]), (folded, ["a", "c"]))

    def write(folder: Path) -> Path:
        for model in (*committed, *trained):
            write_case(folder / "bundles", model.name, model / "1")
        for published, rules in with_rules:
            name = f"{published.name}-with-rules"
            write_case(folder / "bundles", name, published.folder / "1", ignore=dict.fromkeys(rules, ANY))
        with Model.load(windowed.folder, device="cpu") as model:
            parts = series_rows(model)
        write_case(folder / "bundles", windowed.name, windowed.folder / "1", parts)
        write_cells(folder / "cells.json")
        write_draws(folder / "draws.json")
        return folder

    return once_per_run(tmp_path_factory, "javascript", write)
