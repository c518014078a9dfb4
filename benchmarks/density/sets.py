"""Loads the tables of the density benchmark and splits them; only normal rows are used, and no labels are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from benchmarks.detection import sets as labelled

Array = NDArray[np.float64]

SHIPPED: dict[str, Callable[..., Any]] = {
    "breast-cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "digits": load_digits,
    "iris": load_iris,
    "wine": load_wine,
}  # tables that scikit-learn ships; all of their rows count as normal
LEAST_SCALE = 0.01  # standard deviations of the column
VALIDATION = 0.15  # share of the training rows
MOST_REPEATS = 0.5  # a set whose cells repeat more often is reported apart


@dataclass(frozen=True)
class DensitySplit:
    """Rows in standard deviations of the training rows; columns that are constant in them are left out."""

    train: Array  # (n, D), with the validation rows
    fit: Array  # the training rows without the validation rows
    validation: Array
    test: Array  # (m, D)
    floor: Array  # (D,), the smallest scale that a density may have in a column
    repeats: float  # share of the training cells whose value was seen before in its column


def names(folder: Path | None) -> list[str]:
    """The sets of a folder, and the shipped ones."""
    return [*SHIPPED, *(labelled.names(folder) if folder is not None else ())]


def split(folder: Path | None, name: str, seed: int, most_rows: int) -> DensitySplit:
    """Half of the normal rows for training, the other half for testing; shuffled by the seed."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(_normal(folder, name))[:most_rows]
    half = len(rows) // 2
    train, test = rows[:half], rows[half:]
    varies = np.ptp(train, axis=0) > 0
    train, test = train[:, varies], test[:, varies]
    mean, scale = train.mean(axis=0), train.std(axis=0)
    train, test = (train - mean) / scale, (test - mean) / scale
    held = max(2, round(VALIDATION * half))
    return DensitySplit(train, train[held:], train[:held], test, floors(train), repeats(train))


def floors(x: Array) -> Array:
    """Half of the smallest gap between distinct values of each column, at least LEAST_SCALE, (D,)."""
    return np.array([max(LEAST_SCALE, np.diff(values).min() / 2.0) for values in _distinct(x)])


def repeats(x: Array) -> float:
    """The share of cells whose value occurs in an earlier row of the same column."""
    return float(np.mean([1.0 - len(values) / len(x) for values in _distinct(x)]))


def _distinct(x: Array) -> Iterator[Array]:
    return (np.unique(column) for column in x.T)


def _normal(folder: Path | None, name: str) -> Array:
    if name in SHIPPED:
        return np.asarray(SHIPPED[name](return_X_y=True)[0], dtype=np.float64)
    assert folder is not None
    x, is_anomaly = labelled.load(folder, name)
    return x[~is_anomaly]
