"""Measures one set: trains on some of its normal rows and counts false alarms among the others.

python -m benchmarks.calibration.arm FOLDER NAME --steps S --models M --resplits R --most-rows N
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.laws import count_alarms, resplit, share_of_ties
from benchmarks.detection.sets import load
from benchmarks.main_job import score
from vaekit.bundle import Calibration
from vaekit.bundle.tail import fit_tail
from vaekit_training.config import make_config
from vaekit_training.data.load import Rows
from vaekit_training.run import run
from vaekit_training.trained import Trained

FRACTIONS = {"train": 0.4, "validation": 0.1, "calibration": 0.25, "test": 0.25}
TAIL_LEVEL = 0.001  # level of p_value_tail, below the smallest p-value of TAIL_ROWS calibration rows
TAIL_ROWS, MIN_TEST_ROWS = 199, 2000  # calibration rows and smallest number of test rows for the tail


def normal_rows(folder: Path, name: str, most: int) -> NDArray[np.float64]:
    """The normal rows of a set, (n, D), in the order of the file; a random sample if there are too many."""
    x, is_anomaly = load(folder, name)
    x = x[~is_anomaly]
    return x if len(x) <= most else x[np.sort(np.random.default_rng(0).choice(len(x), most, replace=False))]


def measure(x: NDArray[np.float64], steps: int, models: int, resplits: int) -> dict[str, Any]:
    """Counts of false alarms among normal rows, for random splits and for a split in the order of the file.

    Args:
        x: (n, D), raw, in the order of the file.
        steps: training steps; the distributions hold for any model, trained or not.
        models: number of runs, each with a new random split.
        resplits: number of resplits of the rows that the first model was not trained on.
    """
    splits = [_scores(_trained(x, "random", steps, seed)) for seed in range(models)]
    own = [count_alarms(*parts) for parts in splits]
    (calibration, test), rng = splits[0], np.random.default_rng(0)
    pool = np.concatenate([calibration, test])
    return {
        "n": len(calibration),
        "m": len(test),
        "tied": max(share_of_ties(np.concatenate(parts)) for parts in splits),
        "alarms": resplit(pool, len(calibration), resplits, rng),
        "own": {alpha: [each[alpha] for each in own] for alpha in own[0]},
        "ordered": count_alarms(*_scores(_trained(x, "time:row", steps, seed=0))),
        "far": _tail_rate(pool, resplits, rng) if len(pool) >= TAIL_ROWS + MIN_TEST_ROWS else None,
    }


def _trained(x: NDArray[np.float64], split: str, steps: int, seed: int) -> Trained:
    tree = {
        "name": "law",
        "data": {"source": "normals", "split": split, "fractions": FRACTIONS},
        "likelihood": {"name": "auto"},
        "training": {"steps": steps, "evaluate_every": max(1, steps // 4), "seed": seed},
    }
    names = tuple(f"x{d}" for d in range(x.shape[1]))
    rows = Rows(x, names, np.zeros(len(x), dtype=bool), split_key=np.arange(len(x)))
    return run(make_config(tree), device="cpu", rows=rows)


def _scores(trained: Trained) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of the calibration and the test split."""
    return score(trained, trained.splits.calibration), score(trained, trained.splits.test)


def _tail_rate(pool: NDArray[np.float64], resplits: int, rng: np.random.Generator) -> float | None:
    """The rate of p_value_tail <= TAIL_LEVEL, extrapolated from TAIL_ROWS calibration rows; None without a tail."""
    rates = []
    for _ in range(resplits):
        order = rng.permutation(pool)
        scores = np.sort(order[:TAIL_ROWS])
        p_value_tail = Calibration(scores, tail=fit_tail(scores)).p_value_tail(order[TAIL_ROWS:])
        if p_value_tail is not None:
            rates.append(float((p_value_tail <= TAIL_LEVEL).mean()))
    return float(np.mean(rates)) if rates else None


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration.arm")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    for option in ("--steps", "--models", "--resplits", "--most-rows"):
        parser.add_argument(option, type=int, required=True)
    options = parser.parse_args(arguments)
    x = normal_rows(options.folder, options.name, options.most_rows)
    print(json.dumps(measure(x, options.steps, options.models, options.resplits)))


if __name__ == "__main__":
    main(sys.argv[1:])
