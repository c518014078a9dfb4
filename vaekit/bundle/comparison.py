"""The one comparison of scores: which held-out scores count as at least as high as the score of a row.

The score of a row moves by about 1e-7 of its size with the other rows of its batch, because a device sums in another
order. Without a tolerance, a row that repeats a held-out row would rank above or below it by chance. Scores are not
rounded; they are compared with a tolerance:

    a held-out score h counts as at least s  if  h >= s - TOLERANCE max(1, |s|)

Ties count as at least as high, so the tolerance can only raise a p-value.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

TOLERANCE = 1e-5  # relative to scores above 1 nat, absolute below
NOVEL = 1e30  # above the score of every row that is not novel: its residuals are cut at 1e9 scales
LEAST_NOVEL = 0.5 * NOVEL  # below the rank_score of every novel row, and above that of every other row


def tie_floor(score: ArrayLike) -> NDArray[np.float64]:
    """s - TOLERANCE max(1, |s|), (...): the lowest held-out score that counts as at least s. It never falls with s."""
    s = np.asarray(score, dtype=np.float64)
    # the lowest of three lines, of which each is the formula in its own range; s - TOLERANCE |s| is NaN at infinity
    return np.minimum(np.minimum(s * (1.0 - TOLERANCE), s * (1.0 + TOLERANCE)), s - TOLERANCE)


@lru_cache(maxsize=1024)
def tie_ceiling(held_out: float) -> float:
    """The highest score s with tie_floor(s) <= held_out: a held-out score counts as at least s exactly up to this s.

    It is found by bisection, because the last bits of tie_floor are rounded.
    """
    margin = 2.0 * TOLERANCE * max(1.0, abs(held_out))
    low, high = held_out, held_out + margin  # tie_floor(low) <= held_out < tie_floor(high)
    while low < (middle := low + (high - low) / 2.0) < high:
        low, high = (middle, high) if tie_floor(middle) <= held_out else (low, middle)
    return low


def rank_score(score: ArrayLike, novel: ArrayLike | None = None) -> NDArray[np.float64]:
    """A finite number that orders rows as their p-values do, (N,): the score, and above all scores for novel rows.

    Args:
        score: nats, (N,); NaN for a novel row that the model cannot score, which ranks highest.
        novel: which rows are novel, (N,); None: no row is.
    """
    s = np.asarray(score, dtype=np.float64)
    if novel is None or not np.any(novel):
        return s
    share = np.where(np.isnan(s), 1.0, s / (1.0 + np.abs(s)))  # between -1 and 1, rising with s
    return np.where(novel, NOVEL * (1.0 + 0.1 * share), s)
