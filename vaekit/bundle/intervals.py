"""Exact intervals of rates, and of the number of false alarms that chance explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.95
MOST_VALUES = 100_000  # of a distribution that is computed in full


def clopper_pearson(hits: int, n: int, coverage: float = COVERAGE) -> tuple[float, float]:
    """The exact interval of a rate, from `hits` of n independent rows: it contains the rate at least so often.

        low = B(a / 2; hits, n - hits + 1),  high = B(1 - a / 2; hits + 1, n - hits),  a = 1 - coverage

    B(.; a, b) are quantiles of the beta distribution (Clopper and Pearson 1934).
    """
    from scipy.special import betaincinv

    assert 0 <= hits <= n > 0
    tail = (1.0 - coverage) / 2.0
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1.0 - tail))
    return low, high


@dataclass(frozen=True)
class ByChance:
    """The number of flagged rows among normal ones: its mean over calibrations, and its central interval."""

    expected: float
    low: int
    high: int


def alarms_by_chance(n: int, calibration_rows: int, alpha: float, coverage: float = COVERAGE) -> ByChance:
    """How many of n normal rows are flagged at alpha, over calibrations with c rows:

        X ~ BetaBinomial(n, k, c + 1 - k),   k = #{i: i / (c + 1) <= alpha},   E[X] = n k / (c + 1)

    X follows this law if the rows are exchangeable with the calibration rows and their scores differ (Vovk 2012). For
    more than MOST_VALUES rows it is computed on a grid of values.
    """
    k = _rank(calibration_rows, alpha)
    if not k or not n:
        return ByChance(0.0, 0, 0)
    values, mass = _beta_binomial(n, k, calibration_rows + 1 - k)
    tail, below = (1.0 - coverage) / 2.0, mass.cumsum()
    low, high = (int(values[min(int(np.searchsorted(below, at)), len(values) - 1)]) for at in (tail, 1.0 - tail))
    return ByChance(n * k / (calibration_rows + 1), low, high)


def chance_of_alarms(hits: int, n: int, calibration_rows: int, alpha: float) -> float:
    """P(X >= hits) for the number X of flagged rows among n normal ones, as in `alarms_by_chance`."""
    k = _rank(calibration_rows, alpha)
    if not k or not n:
        return float(hits <= 0)
    values, mass = _beta_binomial(n, k, calibration_rows + 1 - k)
    return float(min(1.0, mass[values >= hits].sum()))


@dataclass(frozen=True)
class AboveAll:
    """The rows that score above every held-out row: they have the smallest possible p-value, 1 / (c + 1)."""

    rows: int
    n: int  # of so many rows
    expected: float  # of n normal rows, on average over calibrations: n / (c + 1)
    chance: float  # P(X >= rows) for normal rows

    @classmethod
    def of(cls, rows: int, n: int, calibration_rows: int) -> AboveAll:
        smallest = 1.0 / (calibration_rows + 1)
        expected = alarms_by_chance(n, calibration_rows, smallest).expected
        return cls(rows, n, expected, chance_of_alarms(rows, n, calibration_rows, smallest))

    @property
    def is_many(self) -> bool:
        """Whether they are more than chance explains."""
        return self.rows > 0 and self.chance < (1.0 - COVERAGE) / 2

    def sentence(self) -> str:
        """How many, and how many chance explains, without a full stop."""
        rows = f"{self.rows:,} of {self.n:,} rows {'scores' if self.rows == 1 else 'score'} above every held-out row"
        about = f"{self.expected:.2g}" if self.expected < 10 else f"{self.expected:,.0f}"
        return f"{rows}; chance explains about {about}"


def _rank(calibration_rows: int, alpha: float) -> int:
    """k, with the same comparison as a verdict."""
    return int((np.arange(1, calibration_rows + 2) / (calibration_rows + 1) <= alpha).sum())


def _beta_binomial(n: int, a: float, b: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of X, 0 to n in equal steps, and the mass of each."""
    from scipy.special import gammaln

    x = np.unique(np.rint(np.linspace(0, n, min(n + 1, MOST_VALUES))))
    log = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1) + gammaln(x + a) + gammaln(n - x + b)
    mass = np.exp(log - log.max())
    return x, mass / mass.sum()
