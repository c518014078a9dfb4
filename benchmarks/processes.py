"""Runs one arm of a comparison (a module that prints its result as JSON) in its own process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.report import run_rounds

ROOT = Path(__file__).parents[1]
TAIL = 2000  # characters of a failed arm's output to show


def free_port() -> int:
    """A port of this machine that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def command(module: str, arguments: Sequence[str], python: Path | str = sys.executable) -> list[str]:
    """The command that runs a module of benchmarks from ROOT."""
    return [str(python), "-m", f"benchmarks.{module}", *arguments]


def environment(threads: int = 1, **more: str) -> dict[str, str]:
    """This process's environment with OMP_NUM_THREADS, the number of threads of most numerical libraries."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), **more}


def run_arm(
    module: str, arguments: Sequence[str], *, python: Path | str = sys.executable, threads: int = 1
) -> dict[str, Any]:
    """Run an arm and return its result, with `process_seconds` from start to end of its process.

    Raises:
        SystemExit: the arm failed; the message ends with the end of its output.
    """
    start = perf_counter()
    found = run(f"arm {module}", command(module, arguments, python), threads)
    return {**found, "process_seconds": perf_counter() - start}


def run(name: str, command: Sequence[str], threads: int = 1) -> dict[str, Any]:
    """Run a command and return the result in its last line of output.

    Raises:
        SystemExit: the command failed; the message has the name and the end of its output.
    """
    done = subprocess.run(command, cwd=ROOT, env=environment(threads), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{name} ended with code {done.returncode}:\n{(done.stdout + done.stderr)[-TAIL:]}")
    return parse_result(done.stdout)


def parse_result(output: str) -> dict[str, Any]:
    """The last line of an arm's output, as JSON."""
    return dict(json.loads(output.strip().splitlines()[-1]))


def run_arms(arms: Mapping[str, tuple[Path | str, str, Sequence[str]]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """The results of each arm (python, module, arguments), run as in run_rounds."""
    contenders = {
        name: partial(run_arm, module, arguments, python=python) for name, (python, module, arguments) in arms.items()
    }
    return run_rounds(contenders, rounds)
