""".ci/tools.sh never fails, and says which tests skip on a machine where it can install nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT


def test_a_machine_without_apt_is_told_which_tests_skip(tmp_path: Path) -> None:
    for name in ("bash", "cut", "id"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    script = (ROOT / ".ci" / "tools.sh").read_text(encoding="utf-8").replace("PATH=$PATH:/usr/sbin:/sbin", "")
    done = subprocess.run(
        [str(tmp_path / "bash"), "-c", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "tools: no kcat (Debian package kcat): its tests skip: the recipe with Kafka" in done.stdout.splitlines()
    assert len(done.stdout.splitlines()) >= 8


def test_it_is_the_first_step_of_the_build() -> None:
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert steps.index("bash .ci/tools.sh") < steps.index("make check")
