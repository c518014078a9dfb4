"""Compares anomaly detection by the ELBO with other detectors on the same splits.

    python -m benchmarks.detection --data DIR [--quick] [--jobs 2] --out build/benchmarks/detection.json

DIR holds data sets as NAME.npz with X (n, D) and y (n,), where 1 marks an anomaly, such as ADBench's "Classical" folder
(github Minqi824/ADBench). Each result is saved beside --out, and the same command resumes after the last saved one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import venvs
from benchmarks.detection import methods, plots, sets, summary
from benchmarks.detection.runs import Store, failures, run_all
from benchmarks.detection.worker import Job
from benchmarks.report import publish

OURS = "vaekit"
SEEDS, QUICK_SEEDS, QUICK_CELLS_FIRST = 5, 2, 8
MOST_ROWS = 50_000  # as in the published tables
PACKAGES = ["torch", "scikit-learn", "numpy", "onnxruntime"]


def main(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(arguments)
    names = sets.names(options.data)
    if options.half:
        names = sets.half(names, options.half)
    if options.sets:
        names = [
            name for name in names if name in options.sets or summary.family(name) in map(str.casefold, options.sets)
        ]
    if options.quick:
        names = names[:QUICK_CELLS_FIRST]
    contenders = _contenders(options)
    seeds = options.seeds or (QUICK_SEEDS if options.quick else SEEDS)
    jobs = [
        Job(
            str(options.data),
            name,
            seed,
            options.protocol,
            options.most_rows,
            method,
            settings,
            _exported(options, settings),
        )
        for name in names
        for seed in range(seeds)
        for method, settings in contenders.items()
    ]
    needs = any(method in methods.PYOD_METHODS for method in contenders)
    python = venvs.make(venvs.PYOD, options.peers) if needs else sys.executable
    store = Store(options.out.with_suffix(".jsonl"))
    results = run_all(jobs, store, workers=options.jobs, python=python)
    for line in (failed := failures(results)):
        Console(stderr=True).print(f"failed: {line}", style="yellow", highlight=False, soft_wrap=True)
    table = summary.tabulate(results, list(contenders))
    if not table.sets:
        raise SystemExit("no set was finished by every method")
    ours = [name for name, settings in contenders.items() if settings is not None] or [next(iter(contenders))]
    _publish(options, table, ours, seeds, failed)


def _publish(options: argparse.Namespace, table: summary.Table, ours: list[str], seeds: int, failed: list[str]) -> None:
    out: Path = options.out
    out.parent.mkdir(parents=True, exist_ok=True)
    summary.write_csv(out.with_suffix(".csv"), table, summary.published(options.published))
    plots.ranks(out.with_name(f"{out.stem}-ranks.png"), table, set(ours))
    for other in ("kNN-mean", "PyOD VAE"):
        if other in table.methods:
            name = f"{out.stem}-{other.lower().replace(' ', '-')}.png"
            plots.differences(out.with_name(name), table, ours[0], other)
    publish(
        out,
        f"Anomaly detection, {len(table.sets)} sets, {seeds} seeds, {options.protocol} protocol",
        summary.figures(table, ours[0]),
        PACKAGES,
        sets=table.sets,
        left_out=table.left_out,
        failed=failed,
        seeds=seeds,
        protocol=options.protocol,
        most_rows=options.most_rows,
    )


def _contenders(options: argparse.Namespace) -> dict[str, tuple[str, ...] | None]:
    """Settings by method: vaekit's default first, then other configs, then the peers with None."""
    found: dict[str, tuple[str, ...] | None] = {} if options.no_default else {OURS: ()}
    for text in options.config:
        name, _, path = text.rpartition("=")
        found[name or Path(path).stem] = tuple(json.loads(Path(path).read_text()))
    if not options.no_peers:
        found |= dict.fromkeys(options.methods or methods.PEERS)
    return found


def _exported(options: argparse.Namespace, settings: tuple[str, ...] | None) -> bool:
    return settings is None or not options.no_export


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME.npz with X and y")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/detection.json"))
    parser.add_argument("--quick", action="store_true", help=f"the {QUICK_CELLS_FIRST} smallest sets, two seeds")
    parser.add_argument(
        "--jobs", type=int, default=1, help="number of detectors that run at the same time, one thread each"
    )
    parser.add_argument("--seeds", type=int, help=f"splits of each set (default {SEEDS})")
    parser.add_argument("--sets", nargs="+", help="only these sets, by name or family")
    parser.add_argument("--half", choices=sets.HALVES, help="only the sets for tuning settings or for checking them")
    parser.add_argument("--methods", nargs="+", choices=methods.PEERS, metavar="PEER", help="only these peers")
    parser.add_argument("--config", nargs="+", default=[], metavar="[NAME=]FILE", help="JSON lists of settings to add")
    parser.add_argument("--protocol", choices=sets.PROTOCOLS, default="clean")
    parser.add_argument(
        "--most-rows", type=int, default=MOST_ROWS, help="largest number of rows of a set; larger sets are sampled"
    )
    parser.add_argument(
        "--published", type=Path, help="CSV of published AUROC by set, added to the CSV output as columns"
    )
    parser.add_argument("--peers", type=Path, default=Path("build/benchmarks/peers"), help="the peers' environments")
    parser.add_argument("--no-export", action="store_true", help="score vaekit in torch: equal to 1e-5, seconds faster")
    parser.add_argument("--no-peers", action="store_true", help="only vaekit")
    parser.add_argument("--no-default", action="store_true", help="only the configs given")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
