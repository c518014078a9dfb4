"""Compares detectors of anomalies in labelled series, and measures false alarms on simulated ones.

    python -m benchmarks.series --data DIR [--groups realKnownCause ...] [--window 8] --out build/benchmarks/series.json
    python -m benchmarks.series --data DIR --misplaced --out build/benchmarks/series-misplaced.json
    python -m benchmarks.series --simulate [--runs 20] --out build/benchmarks/series-simulated.json

DIR is a copy of the Numenta Anomaly Benchmark (github numenta/NAB) with its folders `data` and `labels`. A detector is
fitted on the steps before the first labelled window, at most half of the series. All later steps are tested.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.report import Figure, publish
from benchmarks.series import nab, simulation
from benchmarks.series.methods import METHODS, StepScores

GROUPS = ("artificialWithAnomaly", "realAWSCloudwatch", "realKnownCause")
PACKAGES = ["torch", "scikit-learn", "numpy"]
ALPHA = 0.05
Row = dict[str, Any]


def figures_of(series: nab.LabelledSeries, found: StepScores, alpha: float) -> dict[str, float]:
    """AUROC and average precision over the tested steps, events found at alpha, and alarms on unlabelled steps."""
    counts = series.counts
    label, alarm, score = series.is_anomaly[counts], found.p_value <= alpha, found.score[counts]
    events = [alarm[max(0, first - series.fitted) : last + 1 - series.fitted].any() for first, last in series.events]
    return {
        "auroc": float(roc_auc_score(label, score)),
        "average_precision": float(average_precision_score(label, score)),
        "event_recall": float(np.mean(events)),
        "false_alarm_rate": float(alarm[counts][~label].mean()),
        "smallest_p": float(found.p_value.min()),
    }


def compare(options: argparse.Namespace) -> list[Row]:
    """The figures of each method on each series."""
    every = list(nab.read(options.data, tuple(options.groups)))
    if options.misplaced:
        every = [nab.misplaced(series, options.window, options.seed) for series in every]
    rows = []
    for series in track(every, description="series", console=Console(stderr=True), transient=True):
        for name, method in METHODS.items():
            found = figures_of(series, method(series, options.window, options.seed), options.alpha)
            facts = {"series": series.name, "steps": len(series.x), "fitted": series.fitted}
            rows.append({**facts, "method": name, **found})
    return rows


def _summary(rows: Sequence[Row], options: argparse.Namespace) -> list[Figure]:
    """Means over the series, as a table and as figures."""
    names = ("auroc", "average_precision", "event_recall", "false_alarm_rate")
    count = len({row["series"] for row in rows})
    table = Table("method", *names, title=f"{count} series, W = {options.window}, alpha = {options.alpha:g}")
    figures = []
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        means = {name: float(np.mean([row[name] for row in own])) for name in names}
        table.add_row(method, *(f"{100 * means[name]:.1f}" for name in names))
        figures += [Figure(f"{method}: {name}", 100 * value, "%, mean over series") for name, value in means.items()]
    Console().print(table)
    return figures


def _simulate(options: argparse.Namespace) -> list[Figure]:
    table = Table("phi", "held-out windows", "false alarms", "expected", "sd of a run", "with overlap", "sd of a run")
    figures = []
    for phi in simulation.PHIS:
        one = simulation.false_alarms(phi, width=options.window, alpha=options.alpha, runs=options.runs)
        shown = f"{100 * one.rate:.2f} ± {100 * one.standard_error:.2f} %"
        table.add_row(
            f"{phi:g}",
            f"{one.windows:.0f}",
            shown,
            f"{100 * one.expected:.2f} %",
            f"{100 * one.deviation:.2f}",
            f"{100 * one.overlapping:.2f} %",
            f"{100 * one.deviation_overlapping:.2f}",
        )
        unit = f"% of new steps, {options.runs} runs, W = {options.window}, alpha = {options.alpha:g}"
        low, high = (100 * (one.rate + side * 1.96 * one.standard_error) for side in (-1, 1))
        figures.append(Figure(f"AR(1), phi = {phi:g}", 100 * one.rate, unit, low, high))
    Console().print(table)
    return figures


def main(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.simulate:
        publish(options.out, "False alarms on simulated series", _simulate(options), PACKAGES)
        return
    if options.data is None:
        raise SystemExit("give --data DIR, a copy of github numenta/NAB, or --simulate")
    rows = compare(options)
    if not rows:
        raise SystemExit(f"{options.data}: no series with labels in {', '.join(options.groups)}")
    publish(options.out, "Anomalies in labelled series", _summary(rows, options), PACKAGES, rows=rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series", description=__doc__)
    parser.add_argument("--data", type=Path, help="copy of github numenta/NAB")
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), help="folders of its `data`")
    parser.add_argument(
        "--misplaced", action="store_true", help="test values of the first part at other steps, not the labelled events"
    )
    parser.add_argument("--simulate", action="store_true", help="measure false alarms on AR(1) series instead")
    parser.add_argument("--runs", type=int, default=20, help="series of each phi")
    parser.add_argument("--window", type=int, default=8, help="W, time steps")
    parser.add_argument("--alpha", type=float, default=ALPHA)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/series.json"))
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
