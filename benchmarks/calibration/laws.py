"""Tests counts of false alarms against their known distribution (their law).

Among m rows exchangeable with n calibration rows, without ties of scores, the number with p_value <= alpha is

    BetaBinomial(m, k, n + 1 - k),  k = floor(alpha (n + 1)),  mean m k / (n + 1) <= m alpha

(Vovk 2012). Two kinds of splits are tested against it.

Resplits of one pool of scores: given the pool, each count has that law for any scores. The counts are independent,
because the splits are drawn, not the rows. So tests over them are exact. They test the code from score to verdict.

A model's own split: each model has a new random split. Given its training rows, its calibration and test rows are
exchangeable. So these counts are independent over models and sets as well, and have the law unless information from
calibration rows has leaked into the model. Resplits would hide such a leak.

Neither test detects rows that are not exchangeable in their file, because both shuffle. The order of the file is
measured separately. With ties fewer rows are flagged, and only too many flagged rows violate the guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, kstest, norm

from vaekit.bundle import Calibration

ALPHAS = (0.01, 0.05, 0.1)
LEVEL = 0.01  # of each test, over all sets together


def law(n: int, m: int, alpha: float) -> Any:
    """The law of the number of alarms among m rows; None if n calibration rows are too few for alpha."""
    k = Calibration.of(np.zeros(n)).rank(alpha)
    return betabinom(m, k, n + 1 - k) if k else None


def alarms(calibration: NDArray[np.float64], rows: NDArray[np.float64]) -> dict[float, int]:
    """The number of flagged rows, for each of ALPHAS that the calibration can resolve."""
    held_out = Calibration.of(calibration)
    p_value = held_out.p_value(rows)
    told = [alpha for alpha in ALPHAS if held_out.rank(alpha)]
    return {alpha: int((p_value <= alpha).sum()) for alpha in told}


def resplit(pool: NDArray[np.float64], n: int, times: int, rng: np.random.Generator) -> dict[float, list[int]]:
    """Alarms in resplits, by alpha: n random scores of the pool calibrate, and the rest are tested."""
    orders = [rng.permutation(pool) for _ in range(times)]
    counts = [alarms(order[:n], order[n:]) for order in orders]
    return {alpha: [each[alpha] for each in counts] for alpha in counts[0]}


def tied(scores: NDArray[np.float64]) -> float:
    """The share of scores that are equal to another."""
    _, counts = np.unique(scores, return_counts=True)
    return float(counts[counts > 1].sum() / len(scores))


def too_many(counts: Sequence[int], n: int, m: int, alpha: float) -> float:
    """p-value for the mean rate over resplits being at most alpha: normal test with the variance of the law."""
    error = law(n, m, alpha).std() / m / np.sqrt(len(counts))
    return float(norm.sf((np.mean(counts) / m - alpha) / error))


def uniforms(counts: Sequence[int], n: int, m: int, alpha: float, seed: int = 0) -> NDArray[np.float64]:
    """F(c - 1) + V P(c) of each count c, V uniform: uniform under the law, near 1 for many alarms."""
    found, c = law(n, m, alpha), np.asarray(counts)
    v = np.random.default_rng(seed).uniform(size=len(c))
    return np.asarray(found.cdf(c - 1) + v * found.pmf(c))


def departs(u: NDArray[np.float64], *, ties: bool) -> float:
    """p-value for counts following their law: a Kolmogorov-Smirnov test on uniforms(), one-sided if there are ties."""
    return float(kstest(u, "uniform", alternative="less" if ties else "two-sided").pvalue)


def holm(p_values: Sequence[float], level: float = LEVEL) -> NDArray[np.bool_]:
    """Which hypotheses are rejected, with a family-wise error rate of at most `level` (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    passed = np.cumprod(p[order] <= level / np.arange(len(p), 0, -1)).astype(bool)
    rejected = np.zeros(len(p), dtype=bool)
    rejected[order[passed]] = True
    return rejected
