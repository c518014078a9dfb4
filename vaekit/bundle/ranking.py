"""AUROC and average precision of scores. n normal rows, m anomalies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def auroc(normal: Array, anomalous: Array) -> tuple[float, float | None]:
    """P(score of an anomaly > score of a normal row), ties counted half, and its standard error.

        AUROC = (1 / (n m)) sum_ij [ anomalous_i > normal_j ] + [ anomalous_i = normal_j ] / 2

    The standard error is that of DeLong et al. (1988); None if either group has fewer than two rows.
    """
    n, m = len(normal), len(anomalous)
    ranks = midranks(np.concatenate([anomalous, normal]))
    above = (ranks[:m] - midranks(anomalous)) / n  # share of normal rows below each anomaly, (m,)
    below = 1.0 - (ranks[m:] - midranks(normal)) / m  # share of anomalies above each normal row, (n,)
    area = float(above.mean())
    if min(n, m) < 2:
        return area, None
    return area, float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))


def average_precision(normal: Array, anomalous: Array) -> float:
    """sum_t (R_t - R_{t-1}) P_t over the distinct scores t, from the highest; R recall, P precision at score >= t."""
    scores = np.concatenate([anomalous, normal])
    _, at = np.unique(-scores, return_inverse=True)  # index 0: the highest score
    hits = np.bincount(at[: len(anomalous)], minlength=at.max() + 1).cumsum()  # anomalies with score >= t
    called = np.bincount(at).cumsum()  # rows with score >= t
    recall = hits / len(anomalous)
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / called))


def midranks(values: Array) -> Array:
    """Ranks 1, 2, ...; equal values share their mean rank."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    shared: Array = (last - (counts - 1) / 2.0)[at]
    return shared
