"""Checks that a run killed at random moments and resumed ends with the same rows."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.plan import Plan
from benchmarks.processes import ROOT, TAIL, environment
from benchmarks.report import Figure, Measured
from benchmarks.scoring import rows

KILLS = (20, 2)  # full, quick
ROWS = (2_000_000, 40_000)
PARTS = 50
KILL_TIMES = (0.1, 0.5)  # range of the time of a kill, as a share of the time of an uninterrupted run


def measure(plan: Plan) -> Measured:
    """Count rows that are lost, duplicated or different. New runs are started until the number of kills is reached."""
    wanted, n = plan.pick(*KILLS), plan.pick(*ROWS)
    bundle, source = rows.model(plan.work), rows.generate(plan.work / "rows", n)
    command = [sys.executable, "-c", "from vaekit.cli import main; main()", "score", str(bundle), str(source)]
    options = ["--part-rows", str(max(1, n // PARTS)), "--fdr", "0.1", "--resume"]
    whole, rng = plan.work / "whole", np.random.default_rng(0)
    start = time.perf_counter()
    _run([*command, str(whole), *options])
    longest = time.perf_counter() - start
    kills: list[int] = []  # number of kills of each run
    differ = 0
    while sum(kills) < wanted:
        folder = plan.work / f"killed-{len(kills)}"
        run, count = [*command, str(folder), *options], 0
        while sum(kills) + count < wanted and _killed(run, longest * float(rng.uniform(*KILL_TIMES))):
            count += 1
        if not count:
            raise SystemExit("a run ended before it could be killed")
        _run(run)
        differ += differing(whole, folder)
        shutil.rmtree(folder)
        kills.append(count)
    name = "rows lost, duplicated or different after kill -9 and --resume"
    figure = Figure(name, differ, f"of {n * len(kills):,}, {sum(kills)} kills", target=0)
    return Measured([figure], {"kills": kills, "seconds_uninterrupted": longest})


def differing(whole: Path, other: Path) -> int:
    """The number of rows that differ between two folders of parts, compared in order."""
    a, b = (pa.concat_tables(map(parquet.read_table, sorted(folder.glob("part-*")))) for folder in (whole, other))
    if a.num_rows != b.num_rows:
        return max(1, abs(int(a.num_rows) - int(b.num_rows)))
    same = np.ones(a.num_rows, dtype=bool)
    for name in a.column_names:
        same &= a[name].to_numpy() == b[name].to_numpy()
    return int((~same).sum())


def _killed(command: list[str], seconds: float) -> bool:
    """Start a run and kill it after a time; False if it had finished before."""
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=nowhere, stderr=nowhere) as run:
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
    return run.returncode == -signal.SIGKILL


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"vae score ended with code {done.returncode}:\n{(done.stdout + done.stderr)[-TAIL:]}")
