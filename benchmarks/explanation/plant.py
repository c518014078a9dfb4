"""Rows with one cell of each made wrong. Knows arrays, no models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHIFT, FACTOR = 3.0, 10.0  # standard deviations; times the value
LEAST = 0.5  # standard deviations that a wrong cell is off, at least: what is less is no corruption


@dataclass(frozen=True)
class Planted:
    """Rows (n, D), in each of which one cell is wrong."""

    rows: Floats
    clean: Floats  # the same rows as they were
    column: NDArray[np.intp]  # (n,) where it is

    @property
    def truth(self) -> Floats:
        """What stood there, (n,)."""
        return self.clean[np.arange(len(self.clean)), self.column]


# From a cell's own value, another row's, and the column's standard deviation, (n,) each, to the wrong value.
WAYS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "swapped": lambda _own, other, _sd: other,  # within the column's range, against the other cells
    "shifted": lambda own, _other, sd: own + SHIFT * sd,
    "scaled": lambda own, _other, _sd: FACTOR * own,  # as a wrong unit makes it
}


def plant(way: str, rows: Floats, train: Floats, seed: int) -> Planted:
    """One wrong cell in each row, in a column at random that varies in `train`; rows that hardly change are left out.

    Args:
        way: of WAYS.
        rows: (n, D) held-out rows.
        train: (m, D), says how far columns spread.
        seed: of columns and rows.
    """
    rng, sd = np.random.default_rng(seed), train.std(axis=0)
    at = rng.choice(np.flatnonzero(sd > 0), size=len(rows))
    own, other = rows[np.arange(len(rows)), at], rows[rng.permutation(len(rows)), at]
    wrong = WAYS[way](own, other, sd[at])
    keep = np.abs(wrong - own) >= LEAST * sd[at]
    planted = rows[keep].copy()
    planted[np.arange(len(planted)), at[keep]] = wrong[keep]
    return Planted(planted, rows[keep], at[keep])
