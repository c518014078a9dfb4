"""Runs one arm of a comparison in its own process, and reads the JSON in its last line of output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.report import in_turns

ROOT = Path(__file__).parents[1]
TAIL = 2000  # characters of a failed arm's output to show


def command(module: str, arguments: Sequence[str], python: Path | str = sys.executable) -> list[str]:
    """The command that runs a module of benchmarks from ROOT."""
    return [str(python), "-m", f"benchmarks.{module}", *arguments]


def environment(threads: int = 1, **more: str) -> dict[str, str]:
    """This process's environment, with the number of threads for all libraries that read OMP_NUM_THREADS."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), **more}


def ask(
    module: str, arguments: Sequence[str], *, python: Path | str = sys.executable, threads: int = 1
) -> dict[str, Any]:
    """The arm's result, with `process_seconds` from start to end of its process.

    Raises:
        SystemExit: the arm failed; the message ends with the end of its output.
    """
    start = perf_counter()
    found = run(f"arm {module}", command(module, arguments, python), threads)
    return {**found, "process_seconds": perf_counter() - start}


def run(name: str, command: Sequence[str], threads: int = 1) -> dict[str, Any]:
    """The result in the last line of a command's output.

    Raises:
        SystemExit: it failed; the message has the name and the end of its output.
    """
    done = subprocess.run(command, cwd=ROOT, env=environment(threads), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{name} ended with code {done.returncode}:\n{(done.stdout + done.stderr)[-TAIL:]}")
    return answer(done.stdout)


def answer(output: str) -> dict[str, Any]:
    """The last line of an arm's output, as JSON."""
    return dict(json.loads(output.strip().splitlines()[-1]))


def ask_in_turns(
    arms: Mapping[str, tuple[Path | str, str, Sequence[str]]], rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Results of each arm (python, module, arguments), run once per round in a rotating order."""
    contenders = {
        name: partial(ask, module, arguments, python=python) for name, (python, module, arguments) in arms.items()
    }
    return in_turns(contenders, rounds)
