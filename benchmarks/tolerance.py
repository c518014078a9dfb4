"""Measures which alarms tolerance rules remove: those of tolerated deviations, and those of other cells.

    python -m benchmarks.tolerance [--quick] --out build/benchmarks/tolerance.json

The default recipe is fitted on normal rows. In held-out rows without an alarm, cells are then made wrong: in columns
with a rule that tolerates the error, in columns without one, or in both. A third of the columns have a rule. Two ways
to decide are compared: cell by cell in order of relief, as vaekit does, and all tolerated cells at once. A figure is
the share of alarms that is removed; it should be 1 if only tolerated cells are wrong, and 0 otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.privacy import SETS
from benchmarks.report import Figure, publish
from vaekit import Detector, Model
from vaekit.bundle import VectorSpec
from vaekit.bundle.tolerance import Tolerances
from vaekit.runtime.explain.explanation import rank_cells
from vaekit.runtime.explain.tolerance import tolerated
from vaekit.tolerance_rules import ToleranceRule

ALPHA, SHARE, SEEDS, QUICK_STEPS = 0.1, 0.75, 3, 20
TOLERATED = 1.5  # times the error: the size of a rule
WITH_RULE = 3  # every third column has a rule
ROWS = 60  # largest number of rows per case
ERRORS = ("swapped", "4 sd", "8 sd")  # another row's value; standard deviations, up or down
CASES = {  # wrong cells in columns with a rule, and in columns without
    "one tolerated cell": (1, 0),
    "two tolerated cells": (2, 0),
    "another cell": (0, 1),
    "a tolerated and another cell": (1, 1),
}
Rows = NDArray[np.float64]
Flags = NDArray[np.bool_]
Decide = Callable[[Model, Rows, Tolerances], Flags]


def in_order(model: Model, rows: Rows, rules: Tolerances) -> Flags:
    """Cell by cell in order of relief, until the alarm is gone or the next cell is not tolerated."""
    return tolerated(model, rows, tolerances=rules, alpha=ALPHA).removed


def at_once(model: Model, rows: Rows, rules: Tolerances) -> Flags:
    """Every cell that a rule tolerates gets its expected value, given all other cells as they are."""
    assert model.surprises is not None
    replaced = rows.copy()
    for x in replaced:
        elbo = model.cells_checked(x[None])
        ranked = rank_cells(model, x[None], elbo, model.surprises, len(x))
        which = ranked.which[0]
        expected = ranked.predicted(model, np.arange(len(which))[None], interval=False).expected[0]
        given = dict(zip(which.tolist(), expected, strict=True))
        tolerates = {d: rules.permits(r, x[d] - given[d]) for r, d in enumerate(rules.columns)}
        for d in (d for d, permitted in tolerates.items() if permitted):
            x[d] = given[d]
    return ~alarms(model, replaced)


WAYS: dict[str, Decide] = {"in order": in_order, "at once": at_once}


def alarms(model: Model, rows: Rows) -> Flags:
    calibration = model.calibration()
    assert not isinstance(calibration, str)
    if not len(rows):
        return np.zeros(0, dtype=bool)
    found = calibration.verdict(model.bound_checked(rows), ALPHA).is_anomaly
    assert found is not None
    return found


@dataclass(frozen=True)
class Planted:
    """Rows with wrong cells that are alarms, and the rules."""

    rows: Rows
    rules: Tolerances


def plant(model: Model, normal: Rows, case: str, error: str, rng: np.random.Generator) -> Planted:
    """Make cells wrong in rows that are no alarms. With another wrong cell, only rows that it alone makes alarms."""
    assert isinstance(model.spec, VectorSpec)
    varies = np.flatnonzero(normal.std(axis=0) > 0)
    ruled = np.sort(rng.choice(varies, max(2, len(varies) // WITH_RULE), replace=False))
    free, sd = np.setdiff1d(varies, ruled), normal.std(axis=0)
    size = None if error == "swapped" else float(error.split()[0])  # standard deviations
    limit = {d: "any" if size is None else TOLERATED * size * float(sd[d]) for d in ruled}
    rules = {model.spec.names[d]: ToleranceRule(above=limit[d], below=limit[d]) for d in ruled}  # type: ignore[arg-type]  # a number or 'any'
    rows = normal[rng.permutation(len(normal))[:ROWS]]
    alone = rows.copy()  # with the wrong cells in columns without a rule only
    for i in range(len(rows)):
        for columns, count, both in ((ruled, CASES[case][0], False), (free, CASES[case][1], True)):
            for d in rng.choice(columns, count, replace=False):
                wrong = (
                    rng.choice(normal[:, d]) if size is None else rows[i, d] + rng.choice([-1, 1]) * size / 1.5 * sd[d]
                )
                rows[i, d] = wrong
                alone[i, d] = wrong if both else alone[i, d]
    found = Tolerances.of(rules, model.spec)
    assert found is not None
    return Planted(rows[alarms(model, rows) & (alarms(model, alone) if CASES[case][1] else True)], found)


def measure(name: str, seed: int, settings: list[str]) -> list[dict[str, Any]]:
    """Counts of one model: the alarms of each case and error, and those that each way removes."""
    x, is_anomaly = SETS[name]()
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~is_anomaly))
    fitted, test = np.split(order, [int(SHARE * len(order))])
    model = Detector(alpha=ALPHA, settings=settings, random_state=seed).fit(x[fitted]).model_
    assert isinstance(model.spec, VectorSpec)
    columns = [int(column[1:]) for column in model.spec.names]  # x0, x1, ...; fit may leave some out
    rows = np.asarray(x[test][:, columns], dtype=np.float64)
    normal, rng, found = rows[~alarms(model, rows)], np.random.default_rng(seed), []
    for case in CASES:
        for error in ERRORS:
            planted = plant(model, normal, case, error, rng)
            counts: dict[str, Any] = {"set": name, "seed": seed, "case": case, "error": error}
            counts["alarms"] = len(planted.rows)
            counts["score_seconds"] = _seconds(partial(alarms, model, planted.rows))[1]
            for way, decide in WAYS.items():
                removed, seconds = _seconds(partial(decide, model, planted.rows, planted.rules))
                counts[f"{way}_seconds"] = seconds
                counts[way] = int(removed.sum())
            found.append(counts)
    return found


def _seconds(call: Callable[[], Flags]) -> tuple[Flags, float]:
    start = perf_counter()
    found = call()
    return found, perf_counter() - start


def figures(runs: list[dict[str, Any]]) -> list[Figure]:
    """Shares of removed alarms over all sets and seeds, and the time of an alarm."""
    found = []
    for case in CASES:
        better: Literal["lower", "higher"] = "lower" if CASES[case][1] else "higher"
        for error in ERRORS:
            own = [run for run in runs if (run["case"], run["error"]) == (case, error)]
            total = max(1, sum(run["alarms"] for run in own))
            for way in WAYS:
                share = sum(run[way] for run in own) / total
                found.append(Figure(f"{case}, {error}: {way}", share, f"of {total} alarms", better=better))
    total = max(1, sum(run["alarms"] for run in runs))
    for name, what in (("score", "a row scored"), *((way, f"an alarm compared, {way}") for way in WAYS)):
        seconds = sum(run[f"{name}_seconds"] for run in runs)
        found.append(Figure(what, 1e3 * seconds / total, "ms"))
    return found


def main(arguments: list[str]) -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tolerance", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/tolerance.json"))
    parser.add_argument("--quick", action="store_true", help="one set, one seed, few steps")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    names, seeds = (["wine"], 1) if options.quick else (["breast-cancer", "wine"], SEEDS)
    settings = [f"training.steps={QUICK_STEPS}"] if options.quick else []
    runs = [counts for name in names for seed in range(seeds) for counts in measure(name, seed, settings)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    title = f"Alarms that tolerance rules remove, {len(names)} sets, {seeds} seeds"
    publish(options.out, title, figures(runs), ["torch", "numpy"], runs=runs)


if __name__ == "__main__":
    main(sys.argv[1:])
