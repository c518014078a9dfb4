"""What the p-values of a run say together: rates, drift, discoveries.

Rows exchangeable with the calibration rows have p-values uniform on 1/(n + 1), ..., 1: how far those of a run are from
that is how far its scores are from the calibration's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ALPHAS = (0.001, 0.005, 0.01, 0.05, 0.1)
BINS = 10  # of the population stability index, as usual
SMALL, LARGE = 0.1, 0.25  # PSI: what credit scoring takes for no change, and for a large one (Siddiqi 2006)
CHANCE = 1.358  # times sqrt(1/m + 1/n): the Kolmogorov-Smirnov distance that chance exceeds in 5 % of runs
FEW = 50  # rows below which nothing is said


@dataclass(frozen=True)
class Drift:
    """Two distances between this run's scores and the calibration's, and what they mean."""

    ks: float  # Kolmogorov-Smirnov: the largest difference of the two distribution functions
    ks_by_chance: float  # exceeded in 5 % of runs without drift
    psi: float  # population stability index over deciles of the calibration
    reading: str


def rates(p_values: Floats, counts: Ints, smallest: float = 0.0) -> dict[float, float | None]:
    """Share of the rows with p <= alpha, of some usual alphas; None below the smallest p-value that there can be."""
    total = counts.sum()
    shares = {alpha: float(counts[p_values <= alpha].sum() / total) for alpha in ALPHAS} if total else {}
    return {alpha: share if alpha >= smallest else None for alpha, share in shares.items()}


def histogram(p_values: Floats, counts: Ints, bins: int) -> Ints:
    """How many p-values lie in each of (0, 1/bins], ..., (1 - 1/bins, 1]."""
    at = np.clip(np.ceil(p_values * bins - 1e-9).astype(np.int64) - 1, 0, bins - 1)
    found: Ints = np.bincount(at, counts, minlength=bins).astype(np.int64)
    return found


def drift(p_values: Floats, counts: Ints, n: int) -> Drift | None:
    """How far the p-values are from uniform; None where there are none.

        KS  = sup_p |F(p) - p|                  over p = 1/(n + 1), ..., 1
        PSI = sum_b (a_b - e_b) ln(a_b / e_b)   a: share of the rows in a bin, half a row added; e: the calibration's

    Args:
        p_values: those that occurred, ascending.
        counts: how often.
        n: calibration rows.
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
    at = np.cumsum(shares)
    before = np.concatenate([[0.0], at[:-1]])  # F just below each value that occurred
    return float(max(np.abs(at - p_values).max(), np.abs(before - (p_values - step)).max()))


def _reading(m: int, ks: float, by_chance: float, psi: float) -> str:
    if m < FEW:
        return f"{m} rows are too few to tell drift from chance"
    if ks <= by_chance:
        return "no drift that so many rows tell from chance"
    if psi < SMALL:
        return "the scores have moved a little from the calibration's, more than chance moves them"
    if psi < LARGE:
        return "the scores have moved from the calibration's: look at recent rows before p-values are relied on"
    return "the scores have moved far from the calibration's: many anomalies, or normal rows that have changed"
