"""Statistics of each column over the training rows: mean, scale, resolution, and whether it is constant.

n rows, D columns, C channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Kind

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CONSTANT_SCALE = 1e-6  # scale of a constant column, as a share of |value|: above the rounding error of float32
ROUNDING_ERRORS = 8  # values that differ by at most this many float64 steps count as equal


@dataclass(frozen=True)
class Statistics:
    """Statistics of each column over the training rows, each (D,); missing cells are left out.

    loc and scale are the mean and standard deviation of x, or of log x where `log` is true. For a constant column loc
    is its value and scale is CONSTANT_SCALE |value| (CONSTANT_SCALE if the value is 0). If they overflow or underflow
    float64, they are infinite, NaN or 0.
    """

    count: NDArray[np.int64]  # number of observed cells
    log: Flags  # positive columns that are not constant
    loc: Floats
    scale: Floats
    constant: Flags  # all values are equal up to float64 rounding
    value: Floats  # the first observed value, in raw units; NaN if there is none
    resolution: Floats  # smallest gap between two values (of log x where `log` is true); 0 for constant columns
    most_missing: int = 0  # largest number of missing cells in a row

    @classmethod
    def of(cls, x: Floats, kinds: Sequence[Kind]) -> Statistics:
        """Statistics of an array x (n, D) in memory, NaN where a cell is missing."""
        y, log = _on_the_log(x, kinds)  # (n, D)
        observed = ~np.isnan(x)  # (n, D)
        count = observed.sum(axis=0)
        with np.errstate(all="ignore"):
            mean = np.where(observed, y, 0.0).sum(axis=0) / count
            variance = np.square(np.where(observed, y - mean, 0.0)).sum(axis=0) / count
        constant = _is_constant(*_ends(x)) | (log & _is_constant(*_ends(y)))
        value = x[observed.argmax(axis=0), np.arange(x.shape[1])]
        found = _statistics(count, log, mean, variance, constant, value, resolution(y))
        return replace(found, most_missing=_most_missing(observed))


class Moments:
    """Accumulates the same statistics over chunks of rows; only `resolution` is computed from a sample.

    The means and M2 = sum (y - mean)^2 of two sets a and b are merged as in Chan, Golub and LeVeque (1983):
    delta = mean_b - mean_a, mean = mean_a + delta n_b / n, M2 = M2_a + M2_b + delta^2 n_a n_b / n.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = tuple(kinds)
        d = len(self._kinds)
        self.count = np.zeros(d, dtype=np.int64)
        self._mean, self._m2 = np.zeros(d), np.zeros(d)
        self._most_missing = 0
        self._value, self._low, self._high = np.full(d, np.nan), np.full(d, np.nan), np.full(d, np.nan)

    def add(self, x: Floats) -> None:
        """Add more rows (n, D)."""
        y, _ = _on_the_log(x, self._kinds)  # (n, D)
        observed = ~np.isnan(x)  # (n, D)
        self._most_missing = max(self._most_missing, _most_missing(observed))
        n_b = observed.sum(axis=0)  # (D,)
        n = np.maximum(self.count + n_b, 1)
        with np.errstate(all="ignore"):
            mean_b = np.where(observed, y, 0.0).sum(axis=0) / np.maximum(n_b, 1)
            m2_b = np.square(np.where(observed, y - mean_b, 0.0)).sum(axis=0)
            delta = np.where(n_b > 0, mean_b - self._mean, 0.0)
            self._mean = self._mean + delta * (n_b / n)
            self._m2 = self._m2 + m2_b + delta**2 * (self.count * (n_b / n))
        first = x[observed.argmax(axis=0), np.arange(x.shape[1])] if len(x) else self._value
        self._value = np.where(np.isnan(self._value), first, self._value)
        low, high = _ends(x)
        self._low, self._high = np.fmin(self._low, low), np.fmax(self._high, high)
        self.count = self.count + n_b

    def statistics(self, sample: Floats) -> Statistics:
        """The statistics of all rows added so far; sample (n, D): rows from which the resolution is computed."""
        y, log = _on_the_log(sample, self._kinds)
        with np.errstate(all="ignore"):
            variance = np.where(self.count > 0, self._m2, np.nan) / self.count
            logs = _is_constant(np.log(self._low), np.log(self._high))
        constant = _is_constant(self._low, self._high) | (log & logs)
        mean = np.where(self.count > 0, self._mean, np.nan)
        found = _statistics(self.count, log, mean, variance, constant, self._value, resolution(y))
        return replace(found, most_missing=self._most_missing)


def channels(chunks: Iterable[NDArray[np.uint8]]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each channel, each (C,), of images (n, H, W, C) in chunks."""
    counts: NDArray[np.int64] = np.zeros((1, 256), dtype=np.int64)
    for x in chunks:
        counts = counts + np.stack([np.bincount(x[..., c].ravel(), minlength=256) for c in range(x.shape[-1])])
    level = np.arange(256.0)
    mean = counts @ level / counts.sum(axis=1)  # (C,)
    variance = (counts * np.square(level - mean[:, None])).sum(axis=1) / counts.sum(axis=1)
    return mean, np.sqrt(variance)


def resolution(x: Floats) -> Floats:
    """Smallest gap between two different values in each column of x (n, D), (D,); 0 if all values are equal.

    Recorded values are rounded to about this gap, so a density must not be narrower than it.
    """
    with np.errstate(all="ignore"):
        gaps = np.diff(np.sort(x, axis=0), axis=0)  # (n - 1, D); NaN sorts last, and its gaps are NaN
        nothing = ~(gaps > ROUNDING_ERRORS * np.spacing(np.fmax.reduce(np.abs(x), axis=0, initial=0.0)))
    gaps[nothing] = np.inf
    smallest = gaps.min(axis=0, initial=np.inf)  # (D,)
    return np.where(np.isfinite(smallest), smallest, 0.0)


def _statistics(
    count: NDArray[Any], log: Flags, mean: Floats, variance: Floats, constant: Flags, value: Floats, gap: Floats
) -> Statistics:
    with np.errstate(all="ignore"):
        scale = np.where(constant, np.where(value == 0, 1.0, np.abs(value)) * CONSTANT_SCALE, np.sqrt(variance))
    return Statistics(
        count=count.astype(np.int64),
        log=log & ~constant,
        loc=np.where(constant, value, mean),
        scale=scale,
        constant=constant,
        value=value,
        resolution=np.where(constant, 0.0, gap),
    )


def _most_missing(observed: Flags) -> int:
    """Largest number of missing cells in a row of observed (n, D)."""
    return int((~observed).sum(axis=1).max(initial=0))


def _on_the_log(x: Floats, kinds: Sequence[Kind]) -> tuple[Floats, Flags]:
    """x (n, D) with positive columns replaced by their log, and a mask (D,) of these columns."""
    log = np.array([kind == "positive" for kind in kinds], dtype=bool)  # (D,)
    if not log.any():
        return x, log
    y = x.copy()
    y[:, log] = np.log(x[:, log])
    return y, log


def _ends(x: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest value of each column, (D,) each; NaN for a column without values."""
    return np.fmin.reduce(x, axis=0, initial=np.nan), np.fmax.reduce(x, axis=0, initial=np.nan)


def _is_constant(low: Floats, high: Floats) -> Flags:
    with np.errstate(all="ignore"):
        return np.asarray(high - low <= ROUNDING_ERRORS * np.spacing(np.fmax(np.abs(low), np.abs(high))))
