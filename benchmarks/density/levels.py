"""Compares held-out probabilities of tables of categories: the ELBO of vaekit, independent columns, and classes.

    python -m benchmarks.density.levels --data DIR [--seeds 3] --out build/benchmarks/levels.json

DIR holds data sets as NAME.npz with X (n, D) and y (n,), where 1 marks an anomaly, such as ADBench's "Classical" folder
(github Minqi824/ADBench). The columns with 2 to 20 different values are taken as categories, and sets with at least 5
of them are used. Only normal rows are used: half to train, half to test, without the few test rows with a level that
the training rows do not have. Settings are chosen by held-out training rows. log P in nats per row.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.special import logsumexp

from benchmarks.density.ours import shares
from benchmarks.detection import sets as labelled
from benchmarks.detection.methods import in_torch
from benchmarks.report import Figure, publish

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
LogMass = Callable[[Codes], Array]  # indices of levels (m, D) -> log P (m,)

FEWEST_COLUMNS, MOST_LEVELS, SEEDS, MOST_ROWS, VALIDATION = 5, 20, 3, 10_000, 0.15
CLASSES = (1, 2, 3, 5, 8, 12, 20, 32, 50)
EM_STEPS, STARTS = 100, 3
PACKAGES = ["torch", "scikit-learn", "numpy"]
NETWORKS = ["likelihood.name=mixed"]  # without a kernel prior


@dataclass(frozen=True)
class LevelSplit:
    """Indices of levels; every level of the test rows is in the training rows."""

    train: Codes  # (n, D)
    test: Codes  # (m, D)
    counts: list[int]  # levels of each column


def split(folder: Path, name: str, seed: int) -> LevelSplit | None:
    """Half of the normal rows of a set for training, the other half for testing; None if it has too few categories."""
    x, is_anomaly = labelled.load(folder, name)
    rows = np.random.default_rng(seed).permutation(x[~is_anomaly])[:MOST_ROWS]
    train, test = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    levels = [np.unique(column) for column in train.T]
    kept = [d for d, values in enumerate(levels) if 2 <= len(values) <= MOST_LEVELS]
    if len(kept) < FEWEST_COLUMNS:
        return None
    seen = np.all([np.isin(test[:, d], levels[d]) for d in kept], axis=0)
    codes = [np.stack([np.searchsorted(levels[d], part[:, d]) for d in kept], axis=1) for part in (train, test[seen])]
    return LevelSplit(codes[0], codes[1], [len(levels[d]) for d in kept])


def independent(split: LevelSplit, seed: int) -> LogMass:  # noqa: ARG001  all contenders have a seed
    """The shares of the levels of each column, with half a row added to each level."""
    return _classes(split.train, split.counts, 1, 0)


def latent_classes(split: LevelSplit, seed: int) -> LogMass:
    """A mixture of up to 50 classes, in which columns are independent, by EM from several starts."""
    held = max(2, round(VALIDATION * len(split.train)))
    fit, validation = split.train[held:], split.train[:held]
    tried = {
        (k, start): float(_classes(fit, split.counts, k, seed + start)(validation).mean())
        for k in CLASSES
        if 2 * k <= len(fit)
        for start in range(STARTS)
    }
    k, start = max(tried, key=lambda one: tried[one])
    return _classes(split.train, split.counts, k, seed + start)


def _classes(codes: Codes, counts: Sequence[int], k: int, seed: int) -> LogMass:
    hot = _one_hot(codes, counts)
    column = np.repeat(np.arange(len(counts)), counts)
    share = np.random.default_rng(seed).dirichlet(np.ones(k), len(codes))  # (n, k)
    before = -math.inf
    log_p, log_weight = np.empty(0), np.empty(0)
    for _ in range(EM_STEPS):
        size = share.sum(axis=0)
        own = share.T @ hot + 0.5  # (k, L)
        total = np.stack([np.bincount(column, one, len(counts)) for one in own])
        log_p, log_weight = np.log(own / total[:, column]), np.log((size + 1.0) / (len(codes) + k))
        joint = hot @ log_p.T + log_weight
        each = logsumexp(joint, axis=1)
        share = np.exp(joint - each[:, None])
        if each.mean() - before < 1e-4:
            break
        before = float(each.mean())
    return lambda rows: np.asarray(logsumexp(_one_hot(rows, counts) @ log_p.T + log_weight, axis=1))


def _one_hot(codes: Codes, counts: Sequence[int]) -> Array:
    return np.concatenate([np.eye(count)[codes[:, d]] for d, count in enumerate(counts)], axis=1)


def ours(settings: Sequence[str]) -> Callable[[LevelSplit, int], LogMass]:
    """vaekit's default recipe with these settings, on the names of levels; the ELBO is a lower bound of log P."""

    def fit(split: LevelSplit, seed: int) -> LogMass:
        from vaekit.detector_training import config_of
        from vaekit_training.data.load import of_array
        from vaekit_training.run import run

        names = np.array([[f"level {code:02}" for code in row] for row in split.train.tolist()], dtype=object)
        kinds = [f"data.kinds.x{d}=category" for d in range(names.shape[1])]  # else a column of names is left out
        config = config_of(names, settings=[*shares(len(names)), *kinds, *settings], seed=seed)
        rows = of_array(names, config=config.data, likelihood=config.likelihood)
        trained = run(config, device="cpu", rows=rows)
        return lambda codes: np.asarray(in_torch(trained, codes.astype(np.float64)).elbo)

    return fit


CONTENDERS: dict[str, Callable[[LevelSplit, int], LogMass]] = {
    "independent columns": independent,
    "latent classes": latent_classes,
    "vaekit": ours(()),
    "vaekit, networks": ours(NETWORKS),
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.density.levels", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME.npz with X and y")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/levels.json"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--sets", nargs="+", help="only these sets")
    options = parser.parse_args(arguments)
    figures, facts = [], {}
    for name in track(options.sets or labelled.names(options.data), "sets", transient=True):
        found = measure(options.data, name, options.seeds)
        if found is None:
            continue
        facts[name] = found
        for contender in CONTENDERS:
            values = [one[contender]["log_p"] for one in found["splits"]]
            figures.append(Figure.of(f"{name}, {found['columns']} columns: {contender}", values, "nats"))
    if not facts:
        raise SystemExit("no set has enough categories")
    publish(options.out, f"Held-out log P of categories, {len(facts)} sets", figures, PACKAGES, sets=facts)


def measure(folder: Path, name: str, seeds: int) -> dict[str, Any] | None:
    """Mean log P of the test rows and seconds of each contender on each split of a set; None without categories."""
    columns, splits = 0, []
    for seed in range(seeds):
        one = split(folder, name, seed)
        if one is None:
            return None
        columns, results = len(one.counts), {}
        for contender, fit in CONTENDERS.items():
            began = perf_counter()
            log_p = fit(one, seed)(one.test)
            results[contender] = {"log_p": float(log_p.mean()), "seconds": perf_counter() - began}
        splits.append(results)
    return {"columns": columns, "splits": splits}


if __name__ == "__main__":
    main(sys.argv[1:])
