"""Whether a run that is killed at random moments and gone on with ends at the same rows. Knows processes and tables."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.processes import ROOT, TAIL, environment
from benchmarks.report import Figure, Measured
from benchmarks.scoring import rows
from benchmarks.training.plan import Plan

KILLS = (20, 2)  # in full, quickly
ROWS = (2_000_000, 40_000)
PARTS = 50


def measure(plan: Plan) -> Measured:
    """How many rows differ, are lost or are there twice after all kills."""
    kills, n = plan.pick(*KILLS), plan.pick(*ROWS)
    bundle, source = rows.model(plan.work), rows.generate(plan.work / "rows", n)
    command = [sys.executable, "-c", "from vaekit.cli import main; main()", "score", str(bundle), str(source)]
    asked = ["--part-rows", str(max(1, n // PARTS)), "--fdr", "0.1", "--resume"]
    whole, killed = plan.work / "whole", plan.work / "killed"
    start = time.perf_counter()
    _run([*command, str(whole), *asked])
    longest = time.perf_counter() - start
    done = sum(_killed([*command, str(killed), *asked], longest, seed) for seed in range(kills))
    _run([*command, str(killed), *asked])
    if not done:
        raise SystemExit(f"none of {kills} runs was killed: all had ended before")
    differ = differing(whole, killed)
    return Measured(
        [
            Figure(
                "rows that differ, are lost or are there twice after kill -9 and --resume",
                differ,
                f"of {n:,}, {done} kills",
                target=0,
            )
        ],
        {"kills": done, "starts": kills, "seconds_uninterrupted": longest},
    )


def differing(whole: Path, other: Path) -> int:
    """Rows of two folders of parts that are not the same, by their order."""
    a, b = (pa.concat_tables(map(parquet.read_table, sorted(folder.glob("part-*")))) for folder in (whole, other))
    if a.num_rows != b.num_rows:
        return max(1, abs(int(a.num_rows) - int(b.num_rows)))
    same = np.ones(a.num_rows, dtype=bool)
    for name in a.column_names:
        same &= a[name].to_numpy() == b[name].to_numpy()
    return int((~same).sum())


def _killed(command: list[str], longest: float, seed: int) -> bool:
    """Start, kill after a random while; False where it had ended by itself."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as run:
        try:
            run.wait(longest * np.random.default_rng(seed).uniform(0.1, 0.5))
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
    return run.returncode == -signal.SIGKILL


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"vae score ended with code {done.returncode}:\n{(done.stdout + done.stderr)[-TAIL:]}")
