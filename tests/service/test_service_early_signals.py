"""Signals that arrive while `vae serve` still imports, also as process 1 of a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from importlib.abc import MetaPathFinder

*sys.argv, number, module = sys.argv

class Sender(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), int(number))

sys.meta_path.insert(0, Sender())
from vaekit.cli import main
main()
"""
AS_PROCESS_1 = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]


def ended(*command: str, sig: int, module: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """`vae COMMAND`, which sends itself the signal when it imports the module."""
    line = [*(before or []), sys.executable, "-c", PROGRAM, *command, str(int(sig)), module]
    env = {name: value for name, value in os.environ.items() if not name.startswith("VAE_")}
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, env=env)


def can_be_process_1() -> bool:
    try:
        return subprocess.run([*AS_PROCESS_1, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("module", ["typer", "vaekit.cli.serve", "uvicorn", "vaekit_service.app"])
def test_sigterm_while_importing_exits_with_0(module: str, models_dir: Path) -> None:
    done = ended("serve", "--port", "0", "--models", str(models_dir), sig=signal.SIGTERM, module=module)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not can_be_process_1(), reason="needs namespaces of processes")
@pytest.mark.parametrize("module", ["typer", "uvicorn"])
def test_sigterm_while_importing_ends_process_1_too(module: str, models_dir: Path) -> None:
    arguments = ("serve", "--port", "0", "--models", str(models_dir))
    done = ended(*arguments, sig=signal.SIGTERM, module=module, before=AS_PROCESS_1)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_sighup_while_importing_changes_nothing(tmp_path: Path) -> None:
    done = ended("serve", "--models", str(tmp_path / "nowhere"), sig=signal.SIGHUP, module="uvicorn")
    assert done.returncode == 1
    assert "no such folder" in " ".join(done.stderr.split())


def test_other_commands_end_by_the_signal() -> None:
    done = ended("score", "--help", sig=signal.SIGTERM, module="typer")
    assert done.returncode == -signal.SIGTERM
