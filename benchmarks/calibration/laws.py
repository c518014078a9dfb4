"""Counts of false alarms against their law. Knows scores and ranks; not models, not where rows come from.

Of m rows exchangeable with n calibration rows, no two scores alike, the number with p_value <= alpha is

    BetaBinomial(m, k, n + 1 - k),  k = floor(alpha (n + 1)),  mean m k / (n + 1) <= m alpha

(Vovk 2012). Two kinds of splits are tested against it.

Resplits of one pool of scores. Given the pool each has that law whatever the scores are, and they are independent of
each other: they are draws of the split, not of rows. So tests over them are exact, and what they test is all that lies
between a score and a verdict.

A model's own split. Rows are dealt out anew for each model, and given what trained it, calibration and test rows are
exchangeable by the deal; so these counts are independent too, over models and over sets, and have the law as long as
nothing of the calibration rows has come into the model, which resplitting would hide.

Neither sees that rows are not exchangeable where they come from, since both shuffle: that is what an order does, which
is measured apart. Where scores tie, fewer rows are flagged, and only too many break the promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, kstest, norm

from vaekit.bundle import Calibration

ALPHAS = (0.01, 0.05, 0.1)
LEVEL = 0.01  # of every test, over all sets together


def law(n: int, m: int, alpha: float) -> Any:
    """Of the number of alarms among m rows; None where n calibration rows cannot tell alpha."""
    k = Calibration.of(np.zeros(n)).rank(alpha)
    return betabinom(m, k, n + 1 - k) if k else None


def alarms(calibration: NDArray[np.float64], rows: NDArray[np.float64]) -> dict[float, int]:
    """How many of the rows' scores are flagged, by each of ALPHAS that can be told."""
    held_out = Calibration.of(calibration)
    p_value = held_out.p_value(rows)
    told = [alpha for alpha in ALPHAS if held_out.rank(alpha)]
    return {alpha: int(held_out.is_anomaly(p_value, alpha).sum()) for alpha in told}


def resplit(pool: NDArray[np.float64], n: int, times: int, rng: np.random.Generator) -> dict[float, list[int]]:
    """Alarms among the rest of a pool of scores after each of so many random choices of n of them, by alpha."""
    orders = [rng.permutation(pool) for _ in range(times)]
    counts = [alarms(order[:n], order[n:]) for order in orders]
    return {alpha: [each[alpha] for each in counts] for alpha in counts[0]}


def tied(scores: NDArray[np.float64]) -> float:
    """The share of scores that another one equals."""
    _, counts = np.unique(scores, return_counts=True)
    return float(counts[counts > 1].sum() / len(scores))


def too_many(counts: Sequence[int], n: int, m: int, alpha: float) -> float:
    """p-value of the mean rate over independent resplits being at most alpha: normal, with the law's own variance."""
    error = law(n, m, alpha).std() / m / np.sqrt(len(counts))
    return float(norm.sf((np.mean(counts) / m - alpha) / error))


def uniforms(counts: Sequence[int], n: int, m: int, alpha: float, seed: int = 0) -> NDArray[np.float64]:
    """F(c - 1) + V P(c) of each count c, V uniform: uniform under the law, near 1 where there are many alarms."""
    found, c = law(n, m, alpha), np.asarray(counts)
    v = np.random.default_rng(seed).uniform(size=len(c))
    return np.asarray(found.cdf(c - 1) + v * found.pmf(c))


def departs(u: NDArray[np.float64], *, ties: bool) -> float:
    """p-value of counts following their law, by Kolmogorov-Smirnov on uniforms(); with ties, of not exceeding it."""
    return float(kstest(u, "uniform", alternative="less" if ties else "two-sided").pvalue)


def holm(p_values: Sequence[float], level: float = LEVEL) -> NDArray[np.bool_]:
    """Which hypotheses are rejected, with any true one among them in at most `level` of all cases (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    passed = np.cumprod(p[order] <= level / np.arange(len(p), 0, -1)).astype(bool)
    rejected = np.zeros(len(p), dtype=bool)
    rejected[order[passed]] = True
    return rejected
