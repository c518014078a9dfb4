"""Compares rows per second from Parquet to Parquet with raw ONNX Runtime on arrays and PyOD's decision_function.

Every arm runs in its own process with the same number of threads, and rounds are interleaved. The other arms
score rows in memory; their reading and writing are not counted.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import venvs
from benchmarks.plan import Plan
from benchmarks.processes import run_arm
from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.scoring import rows
from vaekit.bundle.read import read_manifest

SMALLEST_K = 2
ROUNDS = (3, 1)  # full, quick
ROWS = (1_000_000, 60_000)
PYOD = {"PyOD": 32, "PyOD in batches of 1,024": 1_024}  # batch sizes: the default, and the fastest measured
FASTEST = "PyOD in batches of 1,024"
RAW_TARGET = 0.8  # ratio to raw; none at the smallest K and for the default recipe: reading and writing dominate there


def measure(plan: Plan) -> Measured:
    """Measure one gaussian VAE with the smallest and the default K, the default recipe and the recipe of networks."""
    bundle, recipe, networks = rows.model(plan.work), rows.model(plan.work, "kernel"), rows.model(plan.work, "auto")
    source = rows.generate(plan.work / "rows", plan.pick(*ROWS))
    ways = {
        f"K = {SMALLEST_K}": (bundle, SMALLEST_K, 10.0),
        **{f"K = {k}": (bundle, k, 1.5) for k in [_default(bundle)]},
        **{f"default recipe, K = {k}": (recipe, k, 1.5) for k in [_default(recipe)]},
        **{f"recipe of networks, K = {k}": (networks, k, None) for k in [_default(networks)]},
    }
    threads = len(os.sched_getaffinity(0))
    pyod = None if plan.peers is None else venvs.make(venvs.PYOD, plan.peers)
    arms: dict[str, Any] = {}
    for name, (model, k, _) in ways.items():
        for label, module in (("vaekit", "ours"), ("raw", "raw")):
            arms[f"{label}, {name}"] = _arm(plan, [model, source], threads, sys.executable, module, k)
    if pyod is not None:
        for name, batch in PYOD.items():
            arms[name] = _arm(plan, [bundle, source], threads, pyod, "peer_pyod", SMALLEST_K, ["--batch", str(batch)])
    found = run_rounds(arms, plan.pick(*ROUNDS))
    rates = {name: [one["rows"] / one["seconds"] for one in each] for name, each in found.items()}
    chunks = {name: [one["chunk"] for one in each] for name, each in found.items() if name.startswith("raw")}
    targets = {name: target for name, (_, _, target) in ways.items()}
    return Measured(compare(rates, targets), {"threads": threads, "raw_chunks": chunks})


def _default(bundle: Path) -> int:
    return read_manifest(bundle).draws.default


def _arm(
    plan: Plan,
    paths: list[Path],
    threads: int,
    python: Path | str,
    module: str,
    num_samples: int,
    more: Sequence[str] = (),
) -> Any:
    bundle, source, out = *paths, plan.work / "out"
    arguments = ["--bundle", str(bundle), "--source", str(source), "--out", str(out)]
    arguments += ["--num-samples", str(num_samples), "--threads", str(threads), *more]

    def run() -> dict[str, Any]:
        shutil.rmtree(out, ignore_errors=True)
        return run_arm(f"scoring.arms.{module}", arguments, python=python, threads=threads)

    return run


def compare(rates: dict[str, list[float]], targets: dict[str, float | None]) -> list[Figure]:
    """The ratios of vaekit's rate to the others, and all rates; `targets`: of the ratio to PyOD, by way of scoring."""
    figures = []
    for name, target in targets.items():
        ours = rates[f"vaekit, {name}"]
        is_quick = name == f"K = {SMALLEST_K}" or name.startswith("default recipe")
        raw_target = None if is_quick else RAW_TARGET
        figures.append(ratio_figure(f"vaekit / raw ONNX Runtime, {name}", ours, rates[f"raw, {name}"], raw_target))
        for peer in (peer for peer in PYOD if peer in rates):
            wanted = target if peer == (FASTEST if name.startswith("default recipe") else "PyOD") else None
            figures.append(ratio_figure(f"vaekit, {name} / {peer}", ours, rates[peer], wanted))
    return figures + [Figure.of(name, each, "rows/s") for name, each in rates.items()]


def ratio_figure(name: str, ours: list[float], other: list[float], target: float | None) -> Figure:
    """A ratio of medians, with the range of the ratios by round."""
    rounds = [a / b for a, b in zip(ours, other, strict=True)]
    value = statistics.median(ours) / statistics.median(other)
    return Figure(name, value, "times as fast", min(rounds), max(rounds), target, better="higher")
