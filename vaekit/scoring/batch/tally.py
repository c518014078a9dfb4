"""Counts of what a run scored, of bounded size: they add up over parts, and travel as JSON.

A p-value takes at most n + 1 values where n rows calibrate, so that all of them are kept as counts.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaekit.scoring.scorers import Scores

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BINS = 40  # of the histogram of scores, and two open ones at its ends
BEYOND = 0.5  # how far the histogram goes on beyond the largest calibration score, in widths of their range


class Odd(NamedTuple):
    """A row of a high score."""

    score: float  # nats
    row: int  # over the whole input
    file: str


@dataclass
class Tally:
    """What there was among some rows."""

    keep: int = 10  # how many of the oddest rows are named
    edges: Sequence[float] = ()  # of the histogram of scores; none: there is no histogram
    rows: int = 0  # that were scored
    anomalies: int = 0
    unknown: int = 0  # rows without a p-value where others have one
    bad: Counter[str] = field(default_factory=Counter)  # rows that were not scored, by what is wrong with them
    p_values: Floats = field(default_factory=lambda: np.empty(0))  # those that occurred, ascending
    p_counts: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # of each
    scores: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # by bin, the open ones at the ends
    top: list[Odd] = field(default_factory=list)  # the oddest first

    def __post_init__(self) -> None:
        if not len(self.scores) and len(self.edges):
            self.scores = np.zeros(len(self.edges) + 1, dtype=np.int64)

    @property
    def judged(self) -> int:
        """Rows that have a p-value."""
        return int(self.p_counts.sum())

    @property
    def read(self) -> int:
        """All rows, bad ones too."""
        return self.rows + self.bad.total()

    def add(self, scores: Scores, numbers: Ints, file: str) -> None:
        """Count rows of one file by their scores and their numbers over the whole input, each (n,)."""
        self.rows += len(scores)
        if scores.p_value is not None and scores.is_anomaly is not None:
            known = ~np.isnan(scores.p_value)
            self.unknown += int((~known).sum())
            self.anomalies += int(scores.is_anomaly.sum())
            self._count(*np.unique(scores.p_value[known], return_counts=True))
        score = scores.score
        if len(self.edges):
            self.scores += binned(score, self.edges)
        self._name(Odd(float(score[i]), int(numbers[i]), file) for i in _highest(score, self.keep))

    def merge(self, other: Tally) -> None:
        """Add what another counted; both have the same edges."""
        self.rows += other.rows
        self.anomalies += other.anomalies
        self.unknown += other.unknown
        self.bad.update(other.bad)
        self.scores = self.scores + other.scores
        self._count(other.p_values, other.p_counts)
        self._name(other.top)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        plain = {name: value.tolist() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        top = [list(odd) for odd in self.top]
        return {**vars(self), **plain, "edges": list(self.edges), "bad": dict(self.bad), "top": top}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Tally:
        """What to_json gave."""
        return cls(
            **{
                **found,
                "bad": Counter(found["bad"]),
                "p_values": np.array(found["p_values"], dtype=np.float64),
                "p_counts": np.array(found["p_counts"], dtype=np.int64),
                "scores": np.array(found["scores"], dtype=np.int64),
                "top": [Odd(*odd) for odd in found["top"]],
            }
        )

    def _count(self, values: Floats, counts: Ints) -> None:
        both = np.concatenate([self.p_values, values])
        self.p_values, at = np.unique(both, return_inverse=True)
        found = np.bincount(at, np.concatenate([self.p_counts, counts]), minlength=len(self.p_values))
        self.p_counts = found.astype(np.int64)  # exact: counts below 2**53

    def _name(self, more: Any) -> None:
        self.top = heapq.nsmallest(self.keep, [*self.top, *more], key=lambda odd: (-odd.score, odd.row))


def _highest(scores: Floats, keep: int) -> Ints:
    """Where the highest scores are, the first ones of those that are equal."""
    if keep >= len(scores):
        return np.arange(len(scores))
    if keep == 0:
        return np.arange(0)
    last = -np.partition(-scores, keep - 1)[keep - 1]
    above = np.flatnonzero(scores > last)
    return np.concatenate([above, np.flatnonzero(scores == last)[: keep - len(above)]])


def binned(scores: Floats, edges: Sequence[float]) -> Ints:
    """How many scores lie below the edges, in each bin between them, and above."""
    at = np.searchsorted(edges, scores, side="right")
    return np.bincount(at, minlength=len(edges) + 1).astype(np.int64)


def edges_for(held_out: Floats | None) -> list[float]:
    """Edges of equal bins over the range of the calibration scores and some way beyond; none where there are none."""
    if held_out is None:
        return []
    low, high = float(held_out[0]), float(held_out[-1])
    width = max(high - low, 1e-9 * max(abs(low), 1.0))
    return [float(edge) for edge in np.linspace(low, high + BEYOND * width, BINS + 1)]
