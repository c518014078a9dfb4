"""Tests whether counts of false alarms follow their known distribution, called their law here.

Among m rows exchangeable with n calibration rows, without ties of scores, the number with p_value <= alpha is

    BetaBinomial(m, k, n + 1 - k),  k = floor(alpha (n + 1)),  mean m k / (n + 1) <= m alpha

(Vovk 2012). Two kinds of splits are tested against it.

Resplits of one pool of scores: given the pool, each count has this law, whatever the scores are. The counts are
independent, because each split is drawn independently from the same pool. Tests over them are therefore exact. They
test the code from score to verdict.

A model's own split: each model has a new random split. Given its training rows, its calibration and test rows are
exchangeable. These counts are therefore independent over models and sets as well. They have this law unless information
from calibration rows has leaked into the model. Resplits would not show such a leak.

Both tests shuffle the rows, so that neither detects rows that are not exchangeable in file order. The effect of file
order is measured separately. With ties fewer rows are flagged. Only too many flagged rows violate the guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, kstest, norm

from vaekit.bundle import Calibration

ALPHAS = (0.01, 0.05, 0.1)
LEVEL = 0.01  # significance level of each test over all sets


def law(n: int, m: int, alpha: float) -> Any:
    """The law of the number of alarms among m rows; None if n calibration rows are too few for alpha."""
    k = Calibration.of(np.zeros(n)).rank(alpha)
    return betabinom(m, k, n + 1 - k) if k else None


def count_alarms(calibration: NDArray[np.float64], rows: NDArray[np.float64]) -> dict[float, int]:
    """The number of flagged rows, for each of ALPHAS that the calibration can resolve."""
    held_out = Calibration.of(calibration)
    p_value = held_out.p_value(rows)
    resolvable = [alpha for alpha in ALPHAS if held_out.rank(alpha)]
    return {alpha: int((p_value <= alpha).sum()) for alpha in resolvable}


def resplit(pool: NDArray[np.float64], n: int, times: int, rng: np.random.Generator) -> dict[float, list[int]]:
    """Counts of alarms by alpha, one per resplit: n random scores of the pool are the calibration, others the test."""
    orders = [rng.permutation(pool) for _ in range(times)]
    counts = [count_alarms(order[:n], order[n:]) for order in orders]
    return {alpha: [each[alpha] for each in counts] for alpha in counts[0]}


def share_of_ties(scores: NDArray[np.float64]) -> float:
    """The share of scores that are equal to another score."""
    _, counts = np.unique(scores, return_counts=True)
    return float(counts[counts > 1].sum() / len(scores))


def mean_rate_p_value(counts: Sequence[int], n: int, m: int, alpha: float) -> float:
    """p-value for a mean rate over resplits of at most alpha: a normal test with the law's variance."""
    error = law(n, m, alpha).std() / m / np.sqrt(len(counts))
    return float(norm.sf((np.mean(counts) / m - alpha) / error))


def uniforms(counts: Sequence[int], n: int, m: int, alpha: float, seed: int = 0) -> NDArray[np.float64]:
    """F(c - 1) + V P(c) of each count c, V uniform: uniform under the law, near 1 for many alarms."""
    found, c = law(n, m, alpha), np.asarray(counts)
    v = np.random.default_rng(seed).uniform(size=len(c))
    return np.asarray(found.cdf(c - 1) + v * found.pmf(c))


def distribution_p_value(u: NDArray[np.float64], *, ties: bool) -> float:
    """p-value of the hypothesis that counts follow their law: Kolmogorov-Smirnov on uniforms(), one-sided with ties."""
    return float(kstest(u, "uniform", alternative="less" if ties else "two-sided").pvalue)


def holm(p_values: Sequence[float], level: float = LEVEL) -> NDArray[np.bool_]:
    """Which hypotheses are rejected, with a family-wise error rate of at most `level` (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    passed = np.cumprod(p[order] <= level / np.arange(len(p), 0, -1)).astype(bool)
    rejected = np.zeros(len(p), dtype=bool)
    rejected[order[passed]] = True
    return rejected
