"""Compares calibration by fold models with one calibration split, on small data sets.

    python -m benchmarks.folds --data DIR [--quick] [--set KEY=VALUE ...] --out build/benchmarks/folds.json

DIR holds data sets as NAME.npz with X (n, D) and y (n,), 1 for an anomaly, as in ADBench's "Classical" folder. The
default recipe gets half of the normal rows. The other half and all anomalies are test rows. Each run is saved beside
--out, and the same command resumes after the last saved run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.detection import sets
from benchmarks.detection.methods import in_torch
from benchmarks.report import Figure, publish
from vaekit.bundle import AnyCalibration, Calibration, FoldCalibration
from vaekit.detector_training import config_of
from vaekit.runtime import Bound
from vaekit_training.data.load import of_array
from vaekit_training.run import run
from vaekit_training.trained import Trained

SETS = (
    "15_Hepatitis",
    "21_Lymphography",
    "46_WPBC",
    "14_glass",
    "39_vertebral",
    "37_Stamps",
    "42_WBC",
    "43_WDBC",
)
METHODS = {"one split": None, "3 folds": 3, "5 folds": 5}
ALPHAS = (0.05, 0.1)
SPLITS, QUICK_STEPS = 3, 60
Run = dict[str, Any]  # figures of one run


def scored(trained: Trained, x: Any) -> Bound:
    """The bound of rows (m, D) as a Bound of vaekit.runtime."""
    found = in_torch(trained, x)
    folds = None if found.fold_elbo is None else found.fold_elbo.numpy()
    elbo, log_likelihood, kl = (values.numpy() for values in found[:3])
    return Bound(elbo=elbo, log_likelihood=log_likelihood, kl=kl, fold_elbo=folds)


def calibration(trained: Trained) -> AnyCalibration:
    """The calibration on the run's held-out rows."""
    parts, x = trained.splits, trained.rows.x
    if not parts.folds:
        return Calibration.of(scored(trained, x[parts.calibration]).score)
    elbos = [scored(trained, x[fold]).fold_elbo for fold in parts.folds]
    return FoldCalibration.of([-elbo[:, f] for f, elbo in enumerate(elbos) if elbo is not None])


def measure(folder: Path, name: str, seed: int, method: str, settings: list[str]) -> Run:
    """Figures of one run. There are no rates for an alpha that is too small for the calibration."""
    split = sets.split(*sets.load(folder, name), seed, protocol="clean", most_rows=10_000)
    config = config_of(split.train, settings=settings, seed=seed, folds=METHODS[method])
    rows = of_array(split.train, config=config.data, likelihood=config.likelihood)
    trained = run(config, device="cpu", rows=rows)
    found, held_out = scored(trained, split.test), calibration(trained)
    p_value = held_out.p_value(held_out.scores_to_compare(found))
    resolvable = [alpha for alpha in ALPHAS if alpha >= held_out.smallest_alpha]
    return {
        "set": name,
        "seed": seed,
        "way": method,
        "rows": len(split.train),
        "smallest_alpha": held_out.smallest_alpha,
        "auroc": float(roc_auc_score(split.is_anomaly, found.score)),
        "ap": float(average_precision_score(split.is_anomaly, found.score)),
        "false_alarms": {str(a): float((p_value[~split.is_anomaly] <= a).mean()) for a in resolvable},
        "detected": {str(a): float((p_value[split.is_anomaly] <= a).mean()) for a in resolvable},
    }


def figures(runs: list[Run]) -> list[Figure]:
    """Means over sets. Rates at an alpha use only the sets that are large enough for it with every method."""
    found = []
    for method in METHODS:
        own = [one for one in runs if one["way"] == method]
        found += [_mean(f"{method}: {name.upper()}", own, name) for name in ("auroc", "ap")]
        for alpha in map(str, ALPHAS):
            shared = {one["set"] for one in runs} - {one["set"] for one in runs if alpha not in one["false_alarms"]}
            comparable = [one for one in own if one["set"] in shared]
            for what in ("false_alarms", "detected") if comparable else ():
                name = f"{method}: {what.replace('_', ' ')} at alpha = {alpha}, {len(shared)} sets"
                found.append(_mean(name, comparable, what, alpha))
            large_enough = {one["set"] for one in own if alpha in one["false_alarms"]}
            found.append(
                Figure(f"{method}: sets large enough for alpha = {alpha}", len(large_enough), "sets", better="higher")
            )
    return found


def _mean(name: str, runs: list[Run], what: str, alpha: str | None = None) -> Figure:
    """The mean over sets; the value of a set is its mean over splits."""
    by_set: dict[str, list[float]] = {}
    for one in runs:
        by_set.setdefault(one["set"], []).append(one[what] if alpha is None else one[what][alpha])
    means = [statistics.mean(values) for values in by_set.values()]
    better: Literal["lower", "higher"] = "lower" if what == "false_alarms" else "higher"
    return Figure(name, statistics.mean(means), "share", min(means), max(means), better=better)


def table(runs: list[Run]) -> Table:
    """For each set and method: AUROC, AP, and false alarms at alpha = 0.1 if the set has enough rows."""
    shown = Table(
        "set", "rows", *(f"{method}: {what}" for what in ("AUROC", "AP", "alarms at 0.1") for method in METHODS)
    )
    for name in dict.fromkeys(one["set"] for one in runs):
        by_way = [[one for one in runs if (one["set"], one["way"]) == (name, method)] for method in METHODS]
        cells = [[one[what] for one in own] for what in ("auroc", "ap") for own in by_way]
        cells += [[one["false_alarms"]["0.1"] for one in own if "0.1" in one["false_alarms"]] for own in by_way]
        shown.add_row(name, str(by_way[0][0]["rows"]), *(f"{statistics.mean(c):.3f}" if c else "" for c in cells))
    return shown


def main(arguments: list[str]) -> None:
    """Measure, write, print."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    kept = options.out.with_suffix(".jsonl")
    kept.parent.mkdir(parents=True, exist_ok=True)
    runs = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    done = {(one["set"], one["seed"], one["way"]) for one in runs}
    names, seeds = (SETS[:2], 1) if options.quick else (SETS, options.splits)
    settings = [*options.set, *([f"training.steps={QUICK_STEPS}"] if options.quick else [])]
    for job in ((name, seed, method) for seed in range(seeds) for name in names for method in METHODS):
        if job not in done:
            runs.append(measure(options.data, *job, settings))
            with kept.open("a") as file:
                file.write(json.dumps(runs[-1]) + "\n")
    Console(width=200).print(table(runs))
    title = f"Fold models and one calibration split, {len(names)} sets, {seeds} splits"
    publish(options.out, title, figures(runs), ["torch", "numpy"], runs=runs, changed=options.set)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.folds", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME.npz with X and y")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/folds.json"))
    parser.add_argument("--quick", action="store_true", help="two sets, one split, few steps")
    parser.add_argument("--splits", type=int, default=SPLITS, help=f"number of splits of each set (default {SPLITS})")
    parser.add_argument("--set", nargs="+", default=[], help="training settings that override the default recipe")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
