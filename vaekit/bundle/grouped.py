"""Calibrates each group of rows on its own held-out rows (group-conditional or Mondrian calibration)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.calibration import BaseCalibration, Calibration, ScoredRows, Verdict, at_least
from vaekit.bundle.folds import FoldCalibration, UngroupedCalibration
from vaekit.bundle.groups import Groups
from vaekit.bundle.tail import Tail
from vaekit.errors import InputError

Floats = NDArray[np.float64]
Nodes = NDArray[np.integer]
NAMED = 3  # groups that a message names


@dataclass(frozen=True)
class HeldOutNodes:
    """The nodes of the held-out rows of one calibration, in the order of its scores."""

    scores: Nodes  # of the rows that are not novel
    novel_scores: Nodes  # of the novel ones


@dataclass(frozen=True)
class GroupedCalibration(BaseCalibration):
    """Calibration by groups: a row is compared with the held-out rows of its own group alone.

        p_value(x) = (1 + #{i with g(X_i) = g(x): held-out score i >= score(x)}) / (1 + n_g(x))

    The group g(x) is a function of the row. Given the groups of all rows, the rows of one group are exchangeable, so

        P(p_value <= alpha | g(x)) <= alpha

    in each group that is not pooled (Vovk, Gammerman and Shafer 2005, section 4.5, Mondrian conformal prediction);
    g = 2 F / (F + 1) times alpha with folds. Novel rows, ties and tails are as in Calibration, within the group.

    A group with too few held-out rows is pooled: its rows are compared with the group of one column less, at last with
    all held-out rows. The law then holds over all rows of the larger group, but not for the small group by itself.
    """

    every: UngroupedCalibration  # all held-out rows
    groups: Groups
    nodes: tuple[HeldOutNodes, ...]  # of every, or of each of its folds

    def __post_init__(self) -> None:
        last = len(self.groups.groups)
        for fold, nodes in zip(self._folds(self.every), self.nodes, strict=True):
            for scores, own in ((fold.scores, nodes.scores), (fold.novel_scores, nodes.novel_scores)):
                if own.shape != scores.shape or (own.size and not 0 <= own.min() <= own.max() <= last):
                    raise InputError("calibration: the groups of the held-out rows do not fit their scores")
        if not all(calibration.n for each in self.each.values() for calibration in self._folds(each)):
            raise InputError("calibration: a group that is not pooled has no held-out rows")

    @classmethod
    def of(cls, scores: ArrayLike, novel: ArrayLike | None, nodes: ArrayLike, groups: Groups) -> GroupedCalibration:
        """Calibration on one held-out set.

        Args:
            scores, novel: of the held-out rows, (n,), as in Calibration.of.
            nodes: their nodes, (n,).
            groups: the groups.
        """
        return cls(Calibration.of(scores, novel), groups, (_ordered(scores, novel, nodes),))

    @classmethod
    def of_folds(
        cls,
        scores: Sequence[ArrayLike],
        novel: Sequence[ArrayLike | None],
        nodes: Sequence[ArrayLike],
        groups: Groups,
    ) -> GroupedCalibration:
        """Calibration by folds; of each fold the arrays of `of`."""
        ordered = tuple(_ordered(*each) for each in zip(scores, novel, nodes, strict=True))
        return cls(FoldCalibration.of(scores, novel), groups, ordered)

    @cached_property
    def each(self) -> dict[int, UngroupedCalibration]:
        """The calibration of each node that rows are compared with: node 0 and the groups that are not pooled."""
        found: dict[int, UngroupedCalibration] = {0: self.every}
        for node, group in enumerate(self.groups.groups, start=1):
            if group.pooled:
                continue
            inside = self.groups.inside(node)
            folds = [
                Calibration(fold.scores[inside[own.scores]], fold.novel_scores[inside[own.novel_scores]])
                for fold, own in zip(self._folds(self.every), self.nodes, strict=True)
            ]
            tails: Sequence[Tail | None] = group.tails or [None] * len(folds)
            if len(tails) != len(folds):
                raise InputError(f"calibration: group {self.groups.names[node]}: {len(tails)} tails, not {len(folds)}")
            folds = [replace(fold, tail=tail) for fold, tail in zip(folds, tails, strict=True)]
            found[node] = folds[0] if isinstance(self.every, Calibration) else FoldCalibration(tuple(folds))
        return found

    def verdict(self, scored: ScoredRows, alpha: float | None = None) -> Verdict:
        nodes = _nodes_of(scored)
        found = super().verdict(scored, alpha)
        compared = self.groups.compared[nodes]  # (N,)
        return replace(found, group=self.groups.names[compared], group_pooled=self.groups.is_larger[compared])

    def p_values_of(self, scored: ScoredRows, novel: NDArray[np.bool_] | None) -> tuple[Floats, Floats | None]:
        return self._of_nodes(_nodes_of(scored), self.scores_to_compare(scored), novel)

    def scores_to_compare(self, scored: ScoredRows) -> Floats:
        return self.every.scores_to_compare(scored)

    def p_value(self, score: ArrayLike, novel: ArrayLike | None = None) -> Floats:
        """The p-value among all held-out rows, (N,): that of rows whose group is unknown. Arguments as in `every`."""
        return self.every.p_value(score, novel)

    def both_p_values(self, score: ArrayLike, novel: ArrayLike | None = None) -> tuple[Floats, Floats | None]:
        """p_value and p_value_tail among all held-out rows: those of rows whose group is unknown."""
        return self.every.both_p_values(score, novel)

    def _of_nodes(self, nodes: Nodes, score: Floats, novel: NDArray[np.bool_] | None) -> tuple[Floats, Floats | None]:
        """p_value and p_value_tail of rows of these nodes, (N,) each.

        In a group without a tail, p_value_tail is p_value. It is None if no group has a tail.
        """
        p_value, tails, has_tail = np.empty(len(nodes)), np.empty(len(nodes)), self.has_tail
        for node, at in _each_value(self.groups.compared[nodes]):
            own, tail = self.each[node].both_p_values(score[at], None if novel is None else novel[at])
            p_value[at], tails[at] = own, own if tail is None else tail
        return p_value, tails if has_tail else None

    @cached_property
    def has_tail(self) -> bool:
        """Whether verdicts have a p_value_tail."""
        return any(all(fold.tail is not None for fold in self._folds(each)) for each in self.each.values())

    @property
    def n(self) -> int:
        """The number of held-out rows in all groups."""
        return self.every.n

    @property
    def smallest_alpha(self) -> float:
        """The smallest possible p-value of any row; that of a group is larger."""
        return self.every.smallest_alpha

    @property
    def row_count_text(self) -> str:
        return self.every.row_count_text

    @property
    def held_out_p_values(self) -> Floats | None:
        """The p-values of the held-out rows, each in the group that it is compared with, (n,); None with folds."""
        if not isinstance(self.every, Calibration):
            return None
        nodes = np.concatenate([self.nodes[0].scores, self.nodes[0].novel_scores])
        return self._of_nodes(nodes, self.every.held_out, np.arange(self.n) >= self.every.scores.size)[0]

    def too_few(self, alpha: float) -> str | None:
        """Why no row of some groups can be an anomaly at alpha, and what to do; None if rows of all groups can."""
        if reason := self.every.too_few(alpha):
            return reason
        smallest = {node: each.smallest_alpha for node, each in self.each.items() if each.smallest_alpha > alpha}
        if not smallest:
            return None
        first = ", ".join(f"{self.groups.names[node]} ({self.each[node].n} rows)" for node in list(smallest)[:NAMED])
        more = f" and {len(smallest) - NAMED} more groups" if len(smallest) > NAMED else ""
        lowest = at_least(max(smallest.values()))
        return (
            f"alpha {alpha:g} is below the smallest possible p-value of {first}{more}, so no row there can be an "
            f"anomaly; use an alpha of at least {lowest:g}, or calibrate on more rows of these groups"
        )

    def threshold(self, alpha: float) -> Floats:
        """The threshold of each node at alpha, nats, (1 + groups,), or (1 + groups, F) with folds.

        Raises:
            InputError: alpha is not between 0 and 1.
        """
        found = {node: each.threshold(alpha) for node, each in self.each.items()}
        return np.array([found[int(node)] for node in self.groups.compared])

    def row_thresholds(self, scored: ScoredRows, alpha: float) -> Floats:
        """The threshold of each row's group at alpha, (N,) or (N, F), nats."""
        return np.asarray(self.threshold(alpha)[_nodes_of(scored)])

    def excess(self, score: Floats, threshold: float | Floats) -> Floats:
        """score - threshold, (N,), nats, with the thresholds of `row_thresholds`: above 0 where p_value <= alpha."""
        return self.every.excess(score, threshold)

    @staticmethod
    def _folds(calibration: UngroupedCalibration) -> tuple[Calibration, ...]:
        return (calibration,) if isinstance(calibration, Calibration) else calibration.folds


AnyCalibration = UngroupedCalibration | GroupedCalibration


def every_row(calibration: AnyCalibration) -> UngroupedCalibration:
    """The calibration on all held-out rows together, whatever their groups."""
    return calibration.every if isinstance(calibration, GroupedCalibration) else calibration


def _nodes_of(scored: ScoredRows) -> Nodes:
    assert scored.group_node is not None, "a model with groups gives the node of each row"
    return scored.group_node


def _each_value(values: Nodes) -> Iterator[tuple[int, NDArray[np.intp] | slice]]:
    """Each distinct value with the indices of its rows."""
    if not values.size:
        return
    if (values == values[0]).all():  # the usual case of one row
        yield int(values[0]), slice(None)
        return
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-1))
    for at in np.split(order, starts[1:]):
        yield int(values[at[0]]), at


def _ordered(scores: ArrayLike, novel: ArrayLike | None, nodes: ArrayLike) -> HeldOutNodes:
    """The nodes in the order in which Calibration.of sorts the scores."""
    held_out, own = np.asarray(scores, dtype=np.float64).ravel(), np.asarray(nodes, dtype=np.int32).ravel()
    is_novel = np.zeros(held_out.size, dtype=bool) if novel is None else np.asarray(novel, dtype=bool).ravel()
    order = np.argsort(held_out, kind="stable")
    return HeldOutNodes(own[order[~is_novel[order]]], own[order[is_novel[order]]])
