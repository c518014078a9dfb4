"""Compares what bundles with and without training rows inside reveal about them, and how well they detect anomalies.

    python -m benchmarks.privacy [--quick] --out build/benchmarks/privacy.json

The default recipe is fitted on normal rows of data sets that ship with scikit-learn, with its aggregate prior and with
prior.name = "normal". The figures on privacy are those of the manifest; the AUROC is of rows that were not fitted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.metrics import roc_auc_score

from benchmarks.report import Figure, publish
from vaekit import Detector

# By name: rows (n, D), and which of them are anomalies (n,).
SETS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "breast-cancer": lambda: _labelled(load_breast_cancer(return_X_y=True), 0),  # malignant
    "digits": lambda: _labelled(load_digits(return_X_y=True), 9),
    "wine": lambda: _labelled(load_wine(return_X_y=True), 0),
}
PRIORS = ("aggregate", "normal")
SHARE, SEEDS, QUICK_STEPS = 0.75, 3, 20  # share of the normal rows that are fitted; repetitions; steps with --quick
PRIVACY = {
    "membership_auc": "AUC",
    "training_rows_reconstructed": "share",
    "held_out_rows_reconstructed": "share",
    "training_rows_reconstructed_at_1": "share",
    "held_out_rows_reconstructed_at_1": "share",
}


def _labelled(data: tuple[Any, Any], anomaly: int) -> tuple[Any, Any]:
    return data[0], data[1] == anomaly


def measure(name: str, prior: str, seed: int, settings: list[str]) -> dict[str, Any]:
    """Figures of one detector: those on privacy in its manifest, and the AUROC of anomalies."""
    x, is_anomaly = SETS[name]()
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~is_anomaly))
    fitted, test = np.split(order, [int(SHARE * len(order))])
    detector = Detector(alpha=0.1, settings=[f"prior.name={prior}", *settings], random_state=seed).fit(x[fitted])
    manifest = detector.model_.manifest
    assert manifest.privacy is not None
    rows = np.concatenate([test, np.flatnonzero(is_anomaly)])
    return {
        "set": name,
        "prior": prior,
        "seed": seed,
        "training_rows": manifest.privacy.training_rows,
        **{metric: manifest.metrics[metric].value for metric in PRIVACY},
        "auroc": float(roc_auc_score(is_anomaly[rows], -detector.score_samples(x[rows]))),
    }


def figures(runs: list[dict[str, Any]]) -> list[Figure]:
    """Means over seeds, for each data set and prior."""
    found = []
    for name, prior in dict.fromkeys((run["set"], run["prior"]) for run in runs):
        own = [run for run in runs if (run["set"], run["prior"]) == (name, prior)]
        for what, unit in {"training_rows": "rows", **PRIVACY, "auroc": "AUROC"}.items():
            values = [float(run[what]) for run in own]
            name_of = f"{name}, {prior}: {what}"
            better: Literal["lower", "higher"] = "higher" if what == "auroc" else "lower"
            mean = statistics.mean(values)
            found.append(Figure(name_of, mean, unit, min(values), max(values), better=better))
    return found


def main(arguments: list[str]) -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.privacy", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/privacy.json"))
    parser.add_argument("--quick", action="store_true", help="one set, one seed, few steps")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    names, seeds = (["wine"], 1) if options.quick else (list(SETS), SEEDS)
    settings = [f"training.steps={QUICK_STEPS}"] if options.quick else []
    runs = [measure(name, prior, seed, settings) for name in names for prior in PRIORS for seed in range(seeds)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    title = f"Privacy of the default recipe under two priors, {len(names)} sets, {seeds} seeds"
    publish(options.out, title, figures(runs), ["torch", "numpy"], runs=runs)


if __name__ == "__main__":
    main(sys.argv[1:])
