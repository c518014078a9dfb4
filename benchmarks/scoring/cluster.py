"""Measures how the throughput of scoring on Ray grows with the number of actors."""

from __future__ import annotations

import shutil

from benchmarks.plan import Plan
from benchmarks.processes import run_arm
from benchmarks.report import Figure, Measured
from benchmarks.scoring import rows

ACTORS = (1, 2)
ROWS = (1_000_000, 40_000)  # full, quick
PARTS = 20


def measure(plan: Plan) -> Measured:
    """Rows per second by number of actors, one core each; the start of the cluster is not counted."""
    n = plan.pick(*ROWS)
    bundle, source = rows.model(plan.work), rows.generate(plan.work / "rows", n)
    rates, found = {}, {}
    for actors in ACTORS:
        arguments = ["--bundle", str(bundle), "--source", str(source), "--out", str(plan.work / "out")]
        arguments += ["--actors", str(actors), "--part-rows", str(max(1, n // PARTS))]
        found[actors] = run_arm("scoring.arms.ray", arguments)
        shutil.rmtree(plan.work / "out")
        rates[actors] = found[actors]["rows"] / found[actors]["seconds"]
    first, last = ACTORS[0], ACTORS[-1]
    figures = [Figure(f"{count} actors", rate, "rows/s", better="higher") for count, rate in rates.items()]
    ratio = Figure(f"{last} actors / {first}", rates[last] / rates[first], "times as fast", better="higher")
    return Measured([ratio, *figures], {str(count): one for count, one in found.items()})
