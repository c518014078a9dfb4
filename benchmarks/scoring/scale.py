"""Measures time and memory for scoring very many rows. Memory must not grow."""

from __future__ import annotations

import os
import shutil

import numpy as np

from benchmarks.plan import Plan
from benchmarks.processes import run_arm
from benchmarks.report import Figure, Measured
from benchmarks.scoring import rows
from benchmarks.training.memory import thinned

ROWS = {False: 100_000_000, True: 200_000}  # by quick
K = 2  # draws; few, because the measurement is about everything except the graph
MIN_SAMPLES = 4  # of memory
MAX_GROWTH = 1.15  # target for memory in the second half / in the first; a quick run is too short for it


def measure(plan: Plan, n: int | None = None) -> Measured:
    """Measure one run over n rows, whose output has row numbers and scores."""
    count = n or ROWS[plan.quick]
    bundle, source = rows.model(plan.work), rows.generate(plan.work / "rows", count)
    threads = len(os.sched_getaffinity(0))
    arguments = ["--bundle", str(bundle), "--source", str(source), "--out", str(plan.work / "out")]
    found = run_arm(
        "scoring.arms.ours", [*arguments, "--num-samples", str(K), "--threads", str(threads), "--bare"], threads=threads
    )
    shutil.rmtree(plan.work / "out")
    if len(found["samples"]) < MIN_SAMPLES:
        raise SystemExit(f"{count:,} rows are too few: the run ended before {MIN_SAMPLES} samples of memory")
    samples = np.array(found["samples"])  # (S, 3): seconds, parts, bytes
    over = samples[:, 2] - found["start_bytes"]
    late = samples[:, 0] > samples[-1, 0] / 2
    label = f"{count:,} rows"
    growth = float(np.median(over[late]) / np.median(over[~late]))
    figures = [
        Figure(f"{label}: wall-clock time", found["seconds"], "s"),
        Figure(f"{label}: rate", count / found["seconds"], "rows/s", better="higher"),
        Figure(f"{label}: peak memory over the start", float(over.max()) / 1e6, "MB"),
        Figure(
            f"{label}: memory of the second half / of the first", growth, "times", target=plan.pick(MAX_GROWTH, None)
        ),
    ]
    return Measured(figures, {"threads": threads, "num_samples": K, "curve": thinned(found["samples"])})
