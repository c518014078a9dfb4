"""Counts over scored rows. They can be merged over parts and stored as JSON.

Their size is bounded: with n calibration rows there are at most n + 1 distinct p-values, each kept with its count.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle.comparison import LEAST_NOVEL, rank_score
from vaekit.scoring.scorers import Scores
from vaekit.tabular.row_names import id_text

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BINS = 40  # bins of the histogram of scores, plus an open one at each end
MARGIN = 0.5  # the histogram extends beyond the highest calibration score by this share of the range of scores


class TopRow(NamedTuple):
    """One of the most anomalous rows."""

    score: float  # nats; for a novel row its rank_score
    row: int  # number in the whole input, from 0
    file: str
    id: str | None = None  # its cell of the model's id column; None if it is unknown


class GroupCount(NamedTuple):
    """Rows that were compared with one calibration group."""

    rows: int
    anomalies: int
    pooled: bool  # whether the group is larger than the rows' own groups


@dataclass
class Tally:
    """Counts over some rows."""

    keep: int = 10  # number of most anomalous rows to keep
    edges: Sequence[float] = ()  # of the histogram of scores; empty: no histogram
    rows: int = 0  # scored rows
    anomalies: int = 0
    unknown: int = 0  # rows without a p-value, if others have one
    novel: int = 0  # rows unlike any training row
    unscored: int = 0  # those of them that the model cannot score: a bundle before format 1.3
    without_window: int = 0  # time steps at which no window ends, which have no score
    tolerated: int = 0  # rows whose alarm tolerance rules removed
    rules: Counter[str] = field(default_factory=Counter)  # those rows by column of a rule; a row may have several
    bad: Counter[str] = field(default_factory=Counter)  # invalid rows by reason
    p_values: Floats = field(default_factory=lambda: np.empty(0))  # distinct values, ascending
    p_counts: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # rows with each
    scores: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # rows per bin, including the open ones
    top: list[TopRow] = field(default_factory=list)  # the most anomalous first
    groups: dict[str, GroupCount] = field(default_factory=dict)  # by name; empty without groups

    def __post_init__(self) -> None:
        if not len(self.scores) and len(self.edges):
            self.scores = np.zeros(len(self.edges) + 1, dtype=np.int64)

    @property
    def judged(self) -> int:
        """Rows with a p-value."""
        return int(self.p_counts.sum())

    @property
    def written(self) -> int:
        """Rows of the output: those with a score, and time steps without one."""
        return self.rows + self.without_window

    @property
    def read(self) -> int:
        """All rows, valid and invalid."""
        return self.written + self.bad.total()

    def add(self, scores: Scores, numbers: Ints, file: str, ids: pa.Array | None = None) -> None:
        """Add rows of one file. `numbers` (n,) are their row numbers in the whole input; ids: their id cells, (n,)."""
        self.rows += len(scores)
        if scores.p_value is not None and scores.is_anomaly is not None:
            known = ~np.isnan(scores.p_value)
            self.unknown += int((~known).sum())
            self.anomalies += int(scores.is_anomaly.sum())
            self._add_p_values(*np.unique(scores.p_value[known], return_counts=True))
            if scores.group is not None and scores.group_pooled is not None:
                self._add_groups(_by_group(scores.group, scores.group_pooled, scores.is_anomaly))
        is_novel = None if scores.novel is None else np.array([names is not None for names in scores.novel])
        self.novel += 0 if is_novel is None else int(is_novel.sum())
        self.unscored += int(np.isnan(scores.elbo).sum())
        for names in () if scores.rules is None else scores.rules:
            self.tolerated += bool(names)
            self.rules.update(names)
        score = rank_score(scores.score, is_novel)
        if len(self.edges):
            self.scores += binned(score, self.edges)
        highest = _highest(score, self.keep).tolist()
        texts = {} if ids is None else {i: id_text(ids[i].as_py()) for i in highest}
        self._add_top(TopRow(float(score[i]), int(numbers[i]), file, texts.get(i)) for i in highest)

    def merge(self, other: Tally) -> None:
        """Add another tally with the same edges."""
        self.rows += other.rows
        self.anomalies += other.anomalies
        self.unknown += other.unknown
        self.novel += other.novel
        self.unscored += other.unscored
        self.without_window += other.without_window
        self.bad.update(other.bad)
        self.tolerated += other.tolerated
        self.rules.update(other.rules)
        self.scores = self.scores + other.scores
        self._add_p_values(other.p_values, other.p_counts)
        self._add_top(other.top)
        self._add_groups(other.groups)

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        arrays = {name: value.tolist() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        top = [list(row) for row in self.top]
        counters = {"bad": dict(self.bad), "rules": dict(self.rules)}
        groups = {name: list(count) for name, count in self.groups.items()}
        return {**vars(self), **arrays, **counters, "edges": list(self.edges), "top": top, "groups": groups}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Tally:
        """The tally that to_json stored."""
        return cls(
            **{
                **found,
                "bad": Counter(found["bad"]),
                "rules": Counter(found.get("rules", {})),
                "p_values": np.array(found["p_values"], dtype=np.float64),
                "p_counts": np.array(found["p_counts"], dtype=np.int64),
                "scores": np.array(found["scores"], dtype=np.int64),
                "top": [TopRow(*row) for row in found["top"]],
                "groups": {name: GroupCount(*count) for name, count in found.get("groups", {}).items()},
            }
        )

    def _add_p_values(self, values: Floats, counts: Ints) -> None:
        both = np.concatenate([self.p_values, values])
        self.p_values, at = np.unique(both, return_inverse=True)
        found = np.bincount(at, np.concatenate([self.p_counts, counts]), minlength=len(self.p_values))
        self.p_counts = found.astype(np.int64)  # exact: counts below 2**53

    def _add_groups(self, more: Mapping[str, GroupCount]) -> None:
        for name, count in more.items():
            rows, anomalies, _ = self.groups.get(name, (0, 0, False))
            self.groups[name] = GroupCount(rows + count.rows, anomalies + count.anomalies, count.pooled)

    def _add_top(self, more: Any) -> None:
        self.top = heapq.nsmallest(self.keep, [*self.top, *more], key=lambda found: (-found.score, found.row))


def _by_group(
    group: NDArray[np.str_], pooled: NDArray[np.bool_], is_anomaly: NDArray[np.bool_]
) -> dict[str, GroupCount]:
    """The counts of rows (n,) by the name of their group."""
    names, first, at = np.unique(group, return_index=True, return_inverse=True)
    rows, anomalies = np.bincount(at), np.bincount(at, is_anomaly)
    return {
        str(name): GroupCount(int(rows[i]), int(anomalies[i]), bool(pooled[first[i]])) for i, name in enumerate(names)
    }


def _highest(scores: Floats, keep: int) -> Ints:
    """Indices of the `keep` highest scores; among equal scores, the first."""
    if keep >= len(scores):
        return np.arange(len(scores))
    if keep == 0:
        return np.arange(0)
    last = -np.partition(-scores, keep - 1)[keep - 1]
    above = np.flatnonzero(scores > last)
    return np.concatenate([above, np.flatnonzero(scores == last)[: keep - len(above)]])


def binned(scores: Floats, edges: Sequence[float]) -> Ints:
    """Number of scores below the edges, in each bin, and above the edges."""
    at = np.searchsorted(edges, scores, side="right")
    return np.bincount(at, minlength=len(edges) + 1).astype(np.int64)


def edges_for(held_out: Floats | None) -> list[float]:
    """Edges of equal bins from the lowest calibration score to beyond the highest; empty without calibration scores.

    Novel rows, whatever their score, are in the open bin above the edges.

    Args:
        held_out: rank scores of the calibration rows, (n,), ascending; None if they are unknown.
    """
    known = np.empty(0) if held_out is None else held_out[held_out < LEAST_NOVEL]
    if not known.size:
        return []
    low, high = float(known[0]), float(known[-1])
    width = max(high - low, 1e-9 * max(abs(low), 1.0))
    return [float(edge) for edge in np.linspace(low, high + MARGIN * width, BINS + 1)]
