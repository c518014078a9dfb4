"""Plants faults into test rows and counts how many of them are flagged: what to expect without labelled anomalies.

n rows, D columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import AnyCalibration, VectorSpec
from vaekit.runtime import Model
from vaekit_training.evaluate import ALPHA

Floats = NDArray[np.float64]

SHIFTS = (2.0, 3.0, 5.0, 8.0)  # standard deviations of the column over the test rows
SHIFTED = ("real", "positive", "count")  # kinds whose values may be raised by any amount


@dataclass(frozen=True)
class Fault:
    """One kind of fault, planted into one cell of each test row."""

    size: float | None  # how far the cell was raised, in standard deviations; None: it is the cell of another row
    flagged: int
    rows: int

    @property
    def share(self) -> float:
        return self.flagged / self.rows


def plant(model: Model, held_out: AnyCalibration, test: NDArray[np.generic], seed: int) -> tuple[Fault, ...]:
    """The faults that the model flags at ALPHA in test rows (n, D), one wrong cell per row, in a random column.

    There are none for images, and where no p-value can be as small as ALPHA.
    """
    spec = model.spec
    if not isinstance(spec, VectorSpec) or held_out.smallest_alpha > ALPHA or len(test) < 2:
        return ()
    x, rng = np.asarray(test, dtype=np.float64), np.random.default_rng(seed)
    varies = np.array([column.constant is None for column in spec.columns])
    shifted = varies & np.array([column.kind in SHIFTED for column in spec.columns])
    planted = [(None, _swapped(x, varies, rng)), *((size, _raised(x, shifted, spec, size, rng)) for size in SHIFTS)]
    found = []
    for size, rows in planted:
        if len(rows):
            flagged = held_out.verdict(model.bound_checked(rows), ALPHA).is_anomaly
            assert flagged is not None  # alpha was given
            found.append(Fault(size, int(flagged.sum()), len(rows)))
    return tuple(found)


def _swapped(x: Floats, columns: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """The rows with one cell taken from another row; without rows where no other value was drawn."""
    other = x[(np.arange(len(x)) + rng.integers(1, len(x), len(x))) % len(x)]
    return _with(x, other, columns & ~np.isnan(x) & ~np.isnan(other) & (x != other), rng)


def _raised(x: Floats, columns: NDArray[np.bool_], spec: VectorSpec, size: float, rng: np.random.Generator) -> Floats:
    """The rows with one cell raised by `size` standard deviations of its column; counts stay whole numbers."""
    step = size * _std(x)
    counts = np.array([column.kind == "count" for column in spec.columns])
    step = np.where(counts, np.ceil(step), step)
    return _with(x, x + step, columns & ~np.isnan(x) & (step > 0), rng)


def _std(x: Floats) -> Floats:
    """The standard deviation of each column over its observed cells, (D,); 0 if there are none."""
    observed = ~np.isnan(x)
    n = np.maximum(observed.sum(axis=0), 1)
    off = np.where(observed, x - np.where(observed, x, 0.0).sum(axis=0) / n, 0.0)
    return np.asarray(np.sqrt(np.square(off).sum(axis=0) / n))


def _with(x: Floats, other: Floats, may: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """The rows of x (n, D) with one cell of `other`, chosen at random among those where `may` (n, D) is true."""
    rows = np.flatnonzero(may.any(axis=1))
    at = np.where(may, rng.random(x.shape), -1.0).argmax(axis=1)  # (n,)
    found = x.copy()
    found[rows, at[rows]] = other[rows, at[rows]]
    return found[rows]
