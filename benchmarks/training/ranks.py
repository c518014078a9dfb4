"""Checks that several torchrun ranks with one global batch have the same loss as a single process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.plan import Plan
from benchmarks.processes import ROOT, TAIL, environment, parse_result, run_arm
from benchmarks.report import Figure, Measured
from benchmarks.training.arms.rank import SETTINGS, STEPS

TARGET = 1e-6  # relative
RANKS = (2, 4)


def measure(plan: Plan) -> Measured:
    """The largest relative difference of the loss over the steps, by number of ranks."""
    settings = list(SETTINGS)[: plan.pick(None, 1)]
    alone = {name: run_arm("training.arms.rank", [name])["losses"] for name in settings}
    figures = []
    for ranks in RANKS:
        differences = [difference(alone[name], _run_ranks(name, ranks)["losses"]) for name in settings]
        name = f"loss of {ranks} gloo ranks against one process, {STEPS} steps"
        figures.append(Figure(name, max(differences), "relative", min(differences), max(differences), target=TARGET))
    return Measured(figures, {"settings": settings})


def difference(alone: list[float], together: list[float]) -> float:
    """max over steps of |a - b| / |a|; infinite if the numbers of steps differ."""
    if len(alone) != len(together):
        return float("inf")
    a, b = np.array(alone), np.array(together)
    return float((np.abs(a - b) / np.abs(a)).max())


def _run_ranks(settings: str, ranks: int) -> dict[str, Any]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    done = subprocess.run(
        [*start, "-m", "benchmarks.training.arms.rank", settings],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(f"{ranks} ranks ended with code {done.returncode}:\n{(done.stdout + done.stderr)[-TAIL:]}")
    found = parse_result(done.stdout)
    if found["ranks"] != ranks:
        raise SystemExit(f"{found['ranks']} ranks took part, expected {ranks}")
    return found
