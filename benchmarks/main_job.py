"""Measures the two examples over random seeds: AUROC, false alarms, bits per pixel and parity.

    python -m benchmarks.main_job [--quick] --out build/benchmarks/main_job.json

Each seed makes a new split and trains a new model; scores are on the default draws. The data are part of scikit-learn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score

from benchmarks.detection.methods import in_torch
from benchmarks.report import Figure, publish
from vaekit.bundle import Calibration, Manifest
from vaekit_training.config import load_config
from vaekit_training.run import run, train
from vaekit_training.trained import Trained

EXAMPLES = Path(__file__).parents[1] / "examples"
ALPHA = 0.05
SEEDS, RESPLITS = 5, 20
PACKAGES = ["torch", "onnxruntime", "numpy", "scikit-learn"]


@dataclass(frozen=True)
class Split:
    """The results of one random split."""

    auroc: float
    false_alarms: int
    normal: int  # normal test rows
    calibration: int  # rows

    @property
    def rate(self) -> float:
        return self.false_alarms / self.normal

    @property
    def interval(self) -> tuple[float, float]:
        """Central 99 % of the number of false alarms: BetaBinomial(normal, l, n + 1 - l), l = floor(alpha (n + 1))."""
        alarms = int(ALPHA * (self.calibration + 1))
        low, high = betabinom(self.normal, alarms, self.calibration + 1 - alarms).interval(0.99)
        return float(low), float(high)


def score(run: Trained, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """-ELBO of the rows with these indices, (N,) nats, from the default draws; computed in torch, not by the graphs."""
    found: NDArray[np.float64] = in_torch(run, run.rows.x[rows]).elbo.numpy()
    return -found


def split(seed: int) -> Split:
    """Train breast-cancer on one random split of its benign rows."""
    done = run(load_config(EXAMPLES / "breast-cancer.toml", [f"training.seed={seed}"]), device="cpu")
    splits = done.splits
    normal, anomalies = score(done, splits.test), score(done, splits.anomalies)
    calibration = Calibration.of(score(done, splits.calibration))
    labels = np.r_[np.zeros(len(normal)), np.ones(len(anomalies))]
    return Split(
        auroc=float(roc_auc_score(labels, np.r_[normal, anomalies])),
        false_alarms=int((calibration.p_value(normal) <= ALPHA).sum()),
        normal=len(normal),
        calibration=calibration.n,
    )


def digits(seed: int, folder: Path) -> Manifest:
    """Train and publish digits."""
    return train(load_config(EXAMPLES / "digits.toml", [f"training.seed={seed}"]), folder, device="cpu")


def figures(splits: list[Split], manifests: list[Manifest]) -> list[Figure]:
    """Medians and ranges over the seeds; for the false-alarm rate the mean."""
    aurocs = [one.auroc for one in splits[:SEEDS]]
    rates = [one.rate for one in splits]
    outside = sum(not one.interval[0] <= one.false_alarms <= one.interval[1] for one in splits)
    mean_rate = float(np.mean(rates))
    bits = [manifest.metrics["bits_per_dim"].value for manifest in manifests]
    parity = [manifest.metrics["parity"].value for manifest in manifests]
    return [
        Figure.of(f"AUROC, median of {len(aurocs)} seeds", aurocs, "", target=0.97, better="higher"),
        Figure("AUROC, mean", float(np.mean(aurocs)), "", target=0.97, better="higher"),
        Figure(f"false alarms, mean of {len(rates)}", mean_rate, "", min(rates), max(rates), target=ALPHA),
        Figure("splits outside their 99 % interval", outside, f"of {len(splits)}"),
        Figure.of("digits, bits per pixel", bits, "bits"),
        Figure.of("digits, parity", parity, "nats/dim", target=1e-4),
    ]


def main(arguments: list[str]) -> None:
    """Train, measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.main_job", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 seeds and 3 resplits")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/main_job.json"))
    options = parser.parse_args(arguments)
    resplits, seeds = (3, 1) if options.quick else (RESPLITS, 3)
    splits = [split(seed) for seed in track(range(resplits), "breast-cancer")]
    with tempfile.TemporaryDirectory() as folder:
        manifests = [digits(seed, Path(folder)) for seed in track(range(seeds), "digits")]
    facts: dict[str, Any] = {
        "alpha": ALPHA,
        "false_alarms": [one.false_alarms for one in splits],
        "normal_test_rows": splits[0].normal,
        "calibration_rows": splits[0].calibration,
        "interval_99": splits[0].interval,
    }
    publish(options.out, "The two examples over seeds", figures(splits, manifests), PACKAGES, **facts)


if __name__ == "__main__":
    main(sys.argv[1:])
