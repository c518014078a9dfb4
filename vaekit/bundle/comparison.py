"""The one comparison of scores: which held-out scores count as at least as high as the score of a row.

The score of a row moves by about 1e-7 of its size with the other rows of its batch, because a device sums in another
order. Without a tolerance, a row that repeats a held-out row would rank above or below it by chance. Scores are not
rounded; they are compared with a tolerance:

    a held-out score h counts as at least s  if  h >= s - TOLERANCE max(1, |s|)

Ties count as at least as high, so the tolerance can only raise a p-value.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

TOLERANCE = 1e-5  # relative to scores above 1 nat, absolute below


def tie_floor(score: ArrayLike) -> NDArray[np.float64]:
    """s - TOLERANCE max(1, |s|), (...): the lowest held-out score that counts as at least s. It never falls with s."""
    s = np.asarray(score, dtype=np.float64)
    return np.where(s > 1.0, s * (1.0 - TOLERANCE), np.where(s < -1.0, s * (1.0 + TOLERANCE), s - TOLERANCE))


def tie_ceiling(held_out: float) -> float:
    """The highest score s with tie_floor(s) <= held_out: a held-out score counts as at least s exactly up to this s."""
    if held_out > 1.0 - TOLERANCE:
        s = held_out / (1.0 - TOLERANCE)
    elif held_out < -1.0 - TOLERANCE:
        s = held_out / (1.0 + TOLERANCE)
    else:
        s = held_out + TOLERANCE
    while tie_floor(s) > held_out:  # the division rounds: move by single floats
        s = math.nextafter(s, -math.inf)
    while tie_floor(above := math.nextafter(s, math.inf)) <= held_out:
        s = above
    return s
