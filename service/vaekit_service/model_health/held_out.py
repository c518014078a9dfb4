"""The held-out rows of a calibration as one set, or one per group, to compare live rows with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.calibration import Calibration
from vaekit.bundle.comparison import TOLERANCE, rank_score
from vaekit.bundle.folds import FoldCalibration
from vaekit.bundle.grouped import AnyCalibration, GroupedCalibration, every_row

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """The scores of N rows: a vaekit.bundle.calibration.ScoredRows without its other arrays."""

    score: Floats  # (N,)
    fold_elbo: Floats | None  # (N, F)
    novel: NDArray[np.bool_] | None  # (N,)
    group_node: NDArray[np.integer] | None  # (N,)


@dataclass(frozen=True)
class LiveRows:
    """Live rows as they are compared with the held-out ones, N of them."""

    sets: Ints  # (N,), the set that each row is compared with
    scores: Floats  # (N,), finite numbers that order rows as their p-values do; high is anomalous
    p_values: Floats  # (N,)
    novel: NDArray[np.bool_]  # (N,)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, at: slice) -> LiveRows:
        return LiveRows(self.sets[at], self.scores[at], self.p_values[at], self.novel[at])

    def joined(self, other: LiveRows) -> LiveRows:
        """These rows and then the others."""
        return LiveRows(
            np.concatenate([self.sets, other.sets]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.p_values, other.p_values]),
            np.concatenate([self.novel, other.novel]),
        )


class HeldOutRows:
    """The held-out rows by set. Of a calibration by folds it is the fold with most rows, by its own model.

    Within a set, held-out and live scores are exchangeable as long as the live rows are like the held-out rows.
    """

    def __init__(self, calibration: AnyCalibration) -> None:
        self._fold = _largest_fold(calibration)
        self._own = calibration if self._fold is None else _one_fold(calibration, self._fold)
        own = self._own.each if isinstance(self._own, GroupedCalibration) else {0: self._own}
        sets = {node: each for node, each in own.items() if isinstance(each, Calibration)}  # all are: one fold is left
        self.scores = {node: _scores(each) for node, each in sets.items()}  # of each set, ascending
        self.p_values = _p_values(self._own, sets)  # of each set, among themselves
        self.rows = _rows(calibration)  # of each set, that its verdicts depend on

    @property
    def separate(self) -> frozenset[int]:
        """The sets that do not contain another set."""
        if not isinstance(self._own, GroupedCalibration):
            return frozenset(self.scores)
        within = {node: set(np.flatnonzero(self._own.groups.inside(node)).tolist()) for node in self.scores}
        return frozenset(node for node in self.scores if within[node] & self.scores.keys() == {node})

    def live(self, scored: Scores) -> LiveRows:
        """Live rows; a score that ties with a held-out score is set to it."""
        if self._fold is not None:
            assert scored.fold_elbo is not None
            scored = replace(scored, score=-scored.fold_elbo[:, self._fold], fold_elbo=None)
        scores = rank_score(scored.score, scored.novel)
        sets = np.zeros(len(scores), dtype=np.int64)
        if isinstance(self._own, GroupedCalibration):
            assert scored.group_node is not None
            sets = self._own.groups.compared[scored.group_node]
        snapped = scores.copy()
        for one in np.unique(sets):
            at = sets == one
            snapped[at] = _snapped(scores[at], self.scores[int(one)])
        novel = np.zeros(len(scores), dtype=bool) if scored.novel is None else scored.novel
        return LiveRows(sets, snapped, self._own.verdict(scored).p_value, novel)


def _largest_fold(calibration: AnyCalibration) -> int | None:
    every = every_row(calibration)
    return int(np.argmax([fold.n for fold in every.folds])) if isinstance(every, FoldCalibration) else None


def _one_fold(calibration: AnyCalibration, fold: int) -> Calibration | GroupedCalibration:
    """The calibration on the held-out rows of one fold."""
    every = every_row(calibration)
    assert isinstance(every, FoldCalibration)
    own = replace(every.folds[fold], tail=None)
    if not isinstance(calibration, GroupedCalibration):
        return own
    groups = [group.model_copy(update={"tails": ()}) for group in calibration.groups.groups]
    named = calibration.groups.model_copy(update={"groups": tuple(groups)})
    return GroupedCalibration(own, named, (calibration.nodes[fold],))


def _rows(calibration: AnyCalibration) -> dict[int, int]:
    """The number of held-out rows of each set that decides whether a row is an anomaly; with folds, their median."""
    own = calibration.each if isinstance(calibration, GroupedCalibration) else {0: calibration}
    folds = {node: each.folds if isinstance(each, FoldCalibration) else (each,) for node, each in own.items()}
    return {node: sorted(fold.n for fold in each)[len(each) // 2] for node, each in folds.items()}


def _p_values(own: AnyCalibration, sets: Mapping[int, Calibration]) -> dict[int, Floats]:
    """The p-values of the held-out rows that are compared with each set; of all its rows if none is.

    A set of pooled groups has other rows too, but live rows of these groups are only like the rows of these groups.
    """
    found = {node: each.held_out_p_values for node, each in sets.items()}
    p_values = own.held_out_p_values
    if not isinstance(own, GroupedCalibration) or p_values is None:
        return found
    compared = own.groups.compared[np.concatenate([own.nodes[0].scores, own.nodes[0].novel_scores])]  # (n,)
    return {node: p_values[compared == node] if (compared == node).any() else other for node, other in found.items()}


def _scores(calibration: Calibration) -> Floats:
    novel = rank_score(calibration.novel_scores, np.ones(calibration.novel_scores.size, dtype=bool))
    return np.concatenate([calibration.scores, novel])


def _snapped(scores: Floats, held_out: Floats) -> Floats:
    """Each score, or the nearest held-out score if that is within the tolerance of the one comparison of scores."""
    right = np.minimum(np.searchsorted(held_out, scores), held_out.size - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(scores - held_out[left] < held_out[right] - scores, held_out[left], held_out[right])
    return np.where(np.abs(scores - nearest) <= TOLERANCE * np.maximum(1.0, np.abs(scores)), nearest, scores)
