"""Makes one cell of each row wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHIFT, FACTOR = 3.0, 10.0  # standard deviations; times the value
MIN_ERROR = 0.5  # smallest error of a wrong cell, in standard deviations


@dataclass(frozen=True)
class Planted:
    """Rows (n, D) with one wrong cell each."""

    rows: Floats
    clean: Floats  # the original rows
    column: NDArray[np.intp]  # (n,), column of the wrong cell

    @property
    def truth(self) -> Floats:
        """The original values of the cells, (n,)."""
        return self.clean[np.arange(len(self.clean)), self.column]


# Ways to make cells wrong: functions of the own values, values of other rows, and standard deviations, (n,) each.
WAYS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "swapped": lambda _own, other, _sd: other,  # in the column's range, but inconsistent with the other cells
    "shifted": lambda own, _other, sd: own + SHIFT * sd,
    "scaled": lambda own, _other, _sd: FACTOR * own,  # like a wrong unit
}


def plant(way: str, rows: Floats, train: Floats, seed: int) -> Planted:
    """Make one cell of each row wrong, in a random column that varies in `train`.

    Rows whose cell changes by less than MIN_ERROR standard deviations are left out.

    Args:
        way: one of WAYS.
        rows: (n, D), held-out rows.
        train: (m, D), gives the standard deviations of columns.
        seed: seed for the choice of columns and of other rows.
    """
    rng, sd = np.random.default_rng(seed), train.std(axis=0)
    at = rng.choice(np.flatnonzero(sd > 0), size=len(rows))
    own, other = rows[np.arange(len(rows)), at], rows[rng.permutation(len(rows)), at]
    wrong = WAYS[way](own, other, sd[at])
    keep = np.abs(wrong - own) >= MIN_ERROR * sd[at]
    planted = rows[keep].copy()
    planted[np.arange(len(planted)), at[keep]] = wrong[keep]
    return Planted(planted, rows[keep], at[keep])
