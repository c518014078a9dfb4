"""Compares held-out densities: the ELBO of vaekit with simple densities and a flow, on the same splits.

    python -m benchmarks.density [--data DIR] [--quick] --out build/benchmarks/density.json

DIR holds data sets as NAME.npz with X (n, D) and y (n,), where 1 marks an anomaly, such as ADBench's "Classical" folder
(github Minqi824/ADBench); tables that scikit-learn ships are always included. Only normal rows are used: half to train,
half to test. No density may have a scale below half the smallest gap between the values of a column, or below 0.01
standard deviations. The contender "neural spline flow" needs the package zuko. Each result is saved beside --out, and
the same command resumes after the last saved one.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as Shown

from benchmarks.density import sets, summary
from benchmarks.density.runs import CONTENDERS, FLOW, Job, run_all
from benchmarks.report import publish, show

SEEDS, QUICK_SETS = 3, ("iris", "wine")
MOST_ROWS = 10_000  # normal rows of a set
PACKAGES = ["torch", "scikit-learn", "numpy", "scipy"]


def main(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(arguments)
    known = sets.names(options.data)
    if unknown := [name for name in options.sets or () if name not in known]:
        raise SystemExit(f"--sets: no set {unknown[0]!r}; there are {', '.join(known)}")
    names = options.sets or (list(QUICK_SETS) if options.quick else known)
    seeds = options.seeds or (1 if options.quick else SEEDS)
    contenders = options.contenders or [name for name in CONTENDERS if name != FLOW or importlib.util.find_spec("zuko")]
    jobs = [Job(name, seed, c, options.most_rows) for name in names for seed in range(seeds) for c in contenders]
    results = run_all(jobs, options.data, options.out.with_suffix(".jsonl"))
    for one in results:
        if "error" in one:
            Console(stderr=True).print(f"failed: {one['contender']} on {one['set']}: {one['error']}", style="yellow")
    table = summary.tabulate(results, contenders)
    if not table.sets:
        raise SystemExit("no set was finished by every contender")
    publish(
        options.out,
        f"Held-out log p, {len(table.sets)} sets of which {int(table.counted.sum())} count, {seeds} seeds",
        summary.figures(table),
        PACKAGES,
        sets=table.sets,
        left_out=table.left_out,
        seeds=seeds,
        most_rows=options.most_rows,
    )
    show(_by_set(table), options.out.with_suffix(".jsonl"))


def _by_set(table: summary.Table) -> Shown:
    """Mean log p by set; sets that do not count are below the others."""
    shown = Shown(
        title="log p, nats per row in standardised units; * cells repeat: does not count", title_justify="left"
    )
    shown.add_column("set", no_wrap=True)
    for heading in ("columns", *table.contenders):
        shown.add_column(heading, justify="right")
    for s in sorted(range(len(table.sets)), key=lambda s: not table.counted[s]):
        name = table.sets[s] + ("" if table.counted[s] else " *")
        shown.add_row(name, str(table.dims[s]), *(f"{value:.2f}" for value in table.log_p[s]))
    return shown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.density", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of NAME.npz with X and y")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/density.json"))
    parser.add_argument("--quick", action="store_true", help="two small sets, one seed")
    parser.add_argument("--seeds", type=int, help=f"splits of each set (default {SEEDS})")
    parser.add_argument("--sets", nargs="+", help="only these sets")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, metavar="NAME", help="only these contenders")
    parser.add_argument("--most-rows", type=int, default=MOST_ROWS, help="largest number of normal rows of a set")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
