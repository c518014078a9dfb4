"""Measures drift from the p-values of a run.

If the rows of a run are exchangeable with the n calibration rows, their p-values are uniform on 1/(n + 1), ..., 1. The
distance between the p-values and this uniform distribution equals the distance between the scores of the run and the
calibration scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ALPHAS = (0.001, 0.005, 0.01, 0.05, 0.1)
BINS = 10  # of the population stability index; the usual number
SMALL, LARGE = 0.1, 0.25  # PSI: below SMALL no change, from LARGE a large change (Siddiqi 2006)
CHANCE = 1.358  # times sqrt(1/m + 1/n): the Kolmogorov-Smirnov distance exceeded by chance in 5 % of runs
MIN_ROWS = 50  # smallest number of rows for a reading


@dataclass(frozen=True)
class Drift:
    """Two distances between the scores of a run and the calibration scores, and their reading."""

    ks: float  # Kolmogorov-Smirnov: largest difference of the two distribution functions
    ks_by_chance: float  # exceeded in 5 % of runs without drift
    psi: float  # population stability index over deciles of the calibration
    reading: str


def rates(p_values: Floats, counts: Ints, smallest: float = 0.0) -> dict[float, float | None]:
    """Share of the rows with p <= alpha for common alphas; None if alpha is below the smallest possible p-value."""
    total = counts.sum()
    shares = {alpha: float(counts[p_values <= alpha].sum() / total) for alpha in ALPHAS} if total else {}
    return {alpha: share if alpha >= smallest else None for alpha, share in shares.items()}


def histogram(p_values: Floats, counts: Ints, bins: int) -> Ints:
    """Number of p-values in each of (0, 1/bins], ..., (1 - 1/bins, 1]."""
    at = np.clip(np.ceil(p_values * bins - 1e-9).astype(np.int64) - 1, 0, bins - 1)
    found: Ints = np.bincount(at, counts, minlength=bins).astype(np.int64)
    return found


def drift(p_values: Floats, counts: Ints, n: int) -> Drift | None:
    """Distances of the p-values from uniform; None without p-values.

        KS  = sup_p |F(p) - p|                  over p = 1/(n + 1), ..., 1
        PSI = sum_b (a_b - e_b) ln(a_b / e_b)   a: share of the rows in a bin, plus half a row; e: share expected

    Args:
        p_values: distinct p-values, ascending.
        counts: number of rows with each.
        n: number of calibration rows.
    """
    m = int(counts.sum())
    if m == 0:
        return None
    ks = _distance(p_values, counts / m, 1.0 / (n + 1))
    bins = min(BINS, n + 1)
    grid = np.arange(1, n + 2) / (n + 1)
    expected = histogram(grid, np.ones(n + 1, dtype=np.int64), bins) / (n + 1)
    share = (histogram(p_values, counts, bins) + 0.5) / (m + 0.5 * bins)
    psi = float(np.sum((share - expected) * np.log(share / expected)))
    by_chance = CHANCE * float(np.sqrt(1.0 / m + 1.0 / n))
    return Drift(ks, by_chance, psi, _reading(m, ks, by_chance, psi))


def _distance(p_values: Floats, shares: Floats, step: float) -> float:
    cdf = np.cumsum(shares)  # F at each distinct p-value
    before = np.concatenate([[0.0], cdf[:-1]])  # F just below each distinct p-value
    return float(max(np.abs(cdf - p_values).max(), np.abs(before - (p_values - step)).max()))


def _reading(m: int, ks: float, by_chance: float, psi: float) -> str:
    if m < MIN_ROWS:
        return f"{m} rows are too few to tell drift from chance"
    if ks <= by_chance:
        return "no drift beyond chance for this number of rows"
    if psi < SMALL:
        return "small drift, but more than by chance"
    if psi < LARGE:
        return "drift: check recent rows before you rely on p-values"
    return "large drift: many anomalies, or the normal rows have changed"
