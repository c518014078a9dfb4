"""Rows a second from Parquet to Parquet, beside raw ONNX Runtime over arrays and PyOD's decision_function.

Every arm is a process of its own on the same number of threads, and arms take turns. What the others read and write is
not counted: their rows lie in memory.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import venvs
from benchmarks.plan import Plan
from benchmarks.processes import ask
from benchmarks.report import Figure, Measured, in_turns
from benchmarks.scoring import rows
from vaekit.bundle.store import read_manifest

FEW = 2  # draws, the smallest K
ROUNDS = (3, 1)  # in full, quickly
ROWS = (1_000_000, 60_000)
TARGETS = {"raw": 0.8, f"PyOD, K = {FEW}": 10.0, "PyOD": 1.5}


def measure(plan: Plan) -> Measured:
    """The default K and the smallest one."""
    bundle = rows.model(plan.work)
    source = rows.generate(plan.work / "rows", plan.pick(*ROWS))
    default = read_manifest(bundle).draws.default
    threads = len(os.sched_getaffinity(0))
    pyod = None if plan.peers is None else venvs.make(venvs.PYOD, plan.peers)
    arms: dict[str, tuple[Path | str, str, int]] = {}
    for k in (FEW, default):
        arms[f"vaekit, K = {k}"] = (sys.executable, "ours", k)
        arms[f"raw, K = {k}"] = (sys.executable, "raw", k)
    if pyod is not None:
        arms["PyOD"] = (pyod, "peer_pyod", default)
    found = in_turns(
        {name: _asker(plan, bundle, source, threads, *arm) for name, arm in arms.items()}, plan.pick(*ROUNDS)
    )
    rates = {name: [one["rows"] / one["seconds"] for one in each] for name, each in found.items()}
    facts = {"threads": threads, "default_k": default, "raw_chunks": [one["chunk"] for one in found[f"raw, K = {FEW}"]]}
    return Measured(compare(rates, default), facts)


def _asker(
    plan: Plan, bundle: Path, source: Path, threads: int, python: Path | str, module: str, num_samples: int
) -> Any:
    out = plan.work / "out"
    arguments = ["--bundle", str(bundle), "--source", str(source), "--out", str(out)]
    arguments += ["--num-samples", str(num_samples), "--threads", str(threads)]

    def run() -> dict[str, Any]:
        shutil.rmtree(out, ignore_errors=True)
        return ask(f"scoring.arms.{module}", arguments, python=python, threads=threads)

    return run


def compare(rates: dict[str, list[float]], default: int) -> list[Figure]:
    """How many times the others we are, and the rates of all."""
    figures = []
    for k in (FEW, default):
        ours = rates[f"vaekit, K = {k}"]
        raw_target = TARGETS["raw"] if k == default else None
        figures.append(times(f"vaekit / raw ONNX Runtime, K = {k}", ours, rates[f"raw, K = {k}"], raw_target))
        if "PyOD" in rates:
            target = TARGETS["PyOD" if k == default else f"PyOD, K = {FEW}"]
            figures.append(times(f"vaekit, K = {k} / PyOD", ours, rates["PyOD"], target))
    return figures + [Figure.of(name, each, "rows/s") for name, each in rates.items()]


def times(name: str, ours: list[float], other: list[float], target: float | None) -> Figure:
    """A ratio of medians, and the range of the rounds' own ratios."""
    rounds = [a / b for a, b in zip(ours, other, strict=True)]
    value = statistics.median(ours) / statistics.median(other)
    return Figure(name, value, "times as fast", min(rounds), max(rounds), target, better="higher")
