"""kill -9 at every step of a publish: no half-written version is ever listed, and those that are listed load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vaekit import Model
from vaekit.bundle import find, models, versions
from vaekit.bundle.models_folder import taken_numbers

NAME = "breast-cancer"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the publisher")
def test_a_publish_that_is_killed_at_any_step_lists_no_version_that_is_not_complete(
    models_dir: Path, tmp_path: Path
) -> None:
    source = models_dir / NAME / "1"
    command = [sys.executable, "-m", "benchmarks.chaos.killed_publish", str(source), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    files = sum(path.is_file() for path in source.rglob("*"))
    assert len(outcomes) > 3 * files  # each file is opened, half written, written and synced
    before: list[int] = []
    for _, _, listed in outcomes:
        if listed != before:  # killed after the rename, or not at all: the version is complete
            assert listed == [*before, len(before) + 1]
            with Model.load(find(tmp_path, NAME, listed[-1]), device="cpu") as model:
                assert model.manifest.version == listed[-1]
        before = listed
    assert [killed for _, killed, _ in outcomes] == [True] * (len(outcomes) - 1) + [False]
    assert taken_numbers(tmp_path / NAME) == versions(tmp_path, NAME) == before
    assert models(tmp_path) == [NAME]
    assert len(before) <= 3
