"""Turns scores into p-values and verdicts by comparing them with the scores of held-out rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.comparison import tie_ceiling, tie_floor
from vaekit.bundle.tail import Tail
from vaekit.errors import InputError, NotResolvable


def array_name(num_samples: int, precision: str = "float32") -> str:
    """The name of the array in calibration.npz that holds the scores on K default draws."""
    return f"elbo_k{num_samples}_default" + ("" if precision == "float32" else f"_{precision}")


def check_alpha(alpha: object, name: str = "alpha") -> None:
    """Check that a rate is between 0 and 1, both excluded. `name` is the parameter's name, for the message.

    Raises:
        InputError: the rate is out of range.
    """
    if not isinstance(alpha, float | int | np.floating) or not 0.0 < alpha < 1.0:
        raise InputError(f"{name}: {alpha!s} is not between 0 and 1")


def rows_to_resolve(alpha: float) -> int:
    """The smallest number of held-out rows n that allows a p-value of alpha or less: 1 / (n + 1) <= alpha.

    Raises:
        InputError: alpha is not between 0 and 1.
    """
    check_alpha(alpha)
    n = math.ceil(1.0 / alpha) - 1
    return n if 1.0 / (n + 1) <= alpha else n + 1


class ScoredRows(Protocol):
    """Rows that a model has scored."""

    @property
    def score(self) -> NDArray[np.float64]:
        """(N,), nats. Higher is more anomalous."""

    @property
    def fold_elbo(self) -> NDArray[np.float64] | None:
        """(N, F), nats, by each of F fold models; None without folds. Lower is more anomalous."""

    @property
    def novel(self) -> NDArray[np.bool_] | None:
        """Which rows are novel, (N,): unlike any training row, see vaekit.tabular.novelty. None: no row is."""

    @property
    def group_node(self) -> NDArray[np.integer] | None:
        """The node of each row's group, (N,), see vaekit.bundle.groups; None: the calibration has no groups."""


@dataclass(frozen=True)
class Verdict:
    """The p-values and verdicts of N scored rows. Every row has both."""

    p_value: NDArray[np.float64]  # (N,), between 0 and 1; lower is more anomalous
    p_value_tail: NDArray[np.float64] | None  # (N,), extrapolated beyond the held-out scores; None without a tail
    is_anomaly: NDArray[np.bool_] | None  # (N,), p_value <= alpha; None if alpha is None
    alpha: float | None  # the false-alarm rate of is_anomaly; None if none was given
    reason: str | None  # why no row can be an anomaly at this alpha, and what to do; None if rows can
    group: NDArray[np.str_] | None = None  # (N,), the group that each row was compared with; None without groups
    group_pooled: NDArray[np.bool_] | None = None  # (N,), whether it is larger than the row's own group


class BaseCalibration:
    """The base class of Calibration (one held-out set), FoldCalibration (one per fold) and GroupedCalibration."""

    def verdict(self, scored: ScoredRows, alpha: float | None = None) -> Verdict:
        """The p-values of scored rows, and which rows are anomalies. All verdicts of the project are computed here.

            is_anomaly(x) = p_value(x) <= alpha

        Args:
            scored: rows scored by the same model, graph, precision and draws as the held-out rows.
            alpha: the false-alarm rate; None: p-values only. If it is too small for this many held-out rows, no row is
                an anomaly, and `reason` says what to do.

        Raises:
            InputError: alpha is not between 0 and 1.
        """
        novel = scored.novel if scored.novel is not None and np.count_nonzero(scored.novel) else None
        p_value, tail = self.p_values_of(scored, novel)
        if alpha is None:
            return Verdict(p_value, tail, None, None, None)
        check_alpha(alpha)
        return Verdict(p_value, tail, p_value <= alpha, alpha, self.too_few(alpha))

    def p_values_of(
        self, scored: ScoredRows, novel: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """p_value and p_value_tail of scored rows, (N,) each; `novel` as in p_value."""
        return self.both_p_values(self.scores_to_compare(scored), novel)

    def scores_to_compare(self, scored: ScoredRows) -> NDArray[np.float64]:
        """The scores to compare with the held-out scores, (N,), or (N, F) with folds; nats, high is anomalous."""
        raise NotImplementedError

    def p_value(self, score: ArrayLike, novel: ArrayLike | None = None) -> NDArray[np.float64]:
        """p-value of compared scores, (N,). Lower is more anomalous.

        Args:
            score: the result of `scores_to_compare`; NaN for a novel row that the model cannot score.
            novel: which rows are novel, (N,); None: no row is.
        """
        raise NotImplementedError

    def p_value_tail(self, score: ArrayLike, novel: ArrayLike | None = None) -> NDArray[np.float64] | None:
        """p_value, extrapolated beyond the highest held-out score, (N,); lower is more anomalous. None without a tail.

        See Calibration.both_p_values.
        """
        return self.both_p_values(score, novel)[1]

    def both_p_values(
        self, score: ArrayLike, novel: ArrayLike | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """p_value and p_value_tail. Arguments as in p_value."""
        raise NotImplementedError

    @property
    def has_tail(self) -> bool:
        """Whether verdicts have a p_value_tail."""
        raise NotImplementedError

    def threshold(self, alpha: float) -> float | NDArray[np.float64]:
        """The score beyond which a row is an anomaly at alpha, nats; one per fold and group, if there are any."""
        raise NotImplementedError

    def row_thresholds(self, scored: ScoredRows, alpha: float) -> float | NDArray[np.float64]:  # noqa: ARG002
        """The threshold of each row, nats: one for all, (F,) with folds, and (N,) or (N, F) with groups."""
        return self.threshold(alpha)

    @property
    def held_out_p_values(self) -> NDArray[np.float64] | None:
        """The p-values of the held-out rows among themselves, (n,); None with folds. Lower is more anomalous."""
        return None

    @property
    def smallest_alpha(self) -> float:
        """The smallest possible p-value."""
        raise NotImplementedError

    @property
    def row_count_text(self) -> str:
        """The number of held-out rows as text, for messages."""
        raise NotImplementedError

    def too_few(self, alpha: float) -> str | None:
        """Why no p-value can be as small as alpha, and what to do about it; None if one can."""
        if alpha >= self.smallest_alpha:
            return None
        smallest = self.smallest_alpha
        return (
            f"alpha {alpha:g} is below the smallest possible p-value, {smallest:.3g}, of {self.row_count_text}, so no "
            f"row can be an anomaly; use an alpha of at least {at_least(smallest):g}, or calibrate on at least "
            f"{rows_to_resolve(alpha):,} rows"
        )

    def check_alpha(self, alpha: float) -> None:
        """Check that a p-value can be as small as alpha.

        Raises:
            InputError: alpha is not between 0 and 1.
            NotResolvable: alpha is below the smallest p-value.
        """
        check_alpha(alpha)
        if reason := self.too_few(alpha):
            raise NotResolvable(reason)


@dataclass(frozen=True)
class Calibration(BaseCalibration):
    """Split-conformal calibration on n held-out scores, nats, higher is more anomalous.

        p_value(x) = (1 + #{held-out scores >= score(x)}) / (1 + n)

    Novel rows rank above all others, and among themselves by score; held-out rows rank by the same rule. For rows
    exchangeable with the held-out ones P(p_value <= alpha) <= alpha (Vovk, Gammerman and Shafer 2005; Bates et al. 2023
    for outliers). Scores are compared with a tolerance, see vaekit.bundle.comparison.
    """

    scores: NDArray[np.float64]  # of the held-out rows that are not novel, ascending
    novel_scores: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # of the novel ones, ascending
    tail: Tail | None = None  # fitted to the highest of `scores`; None: too few scores, or not fitted

    def __post_init__(self) -> None:
        if self.tail is None:
            return
        if not self.scores.size:
            raise InputError("calibration: a tail, but no held-out score of a row that is not novel")
        if not self.tail.scale_at(float(self.scores[-1])) > 0:
            raise InputError("calibration: the tail ends before the highest held-out score")

    @classmethod
    def of(cls, scores: ArrayLike, novel: ArrayLike | None = None) -> Calibration:
        """Calibration on these scores, any order.

        Args:
            scores: of the held-out rows, (n,), nats.
            novel: which of them are novel, (n,); None: no row is.

        Raises:
            InputError: no scores, or a score that is not finite.
        """
        held_out = np.asarray(scores, dtype=np.float64).ravel()
        if held_out.size == 0:
            raise InputError("calibration: no held-out scores")
        if not np.isfinite(held_out).all():
            raise InputError("calibration: a held-out score is not finite")
        is_novel = np.zeros(held_out.size, dtype=bool) if novel is None else np.asarray(novel, dtype=bool).ravel()
        return cls(np.sort(held_out[~is_novel]), np.sort(held_out[is_novel]))

    @property
    def n(self) -> int:
        """The number of held-out rows, novel ones included."""
        return int(self.scores.size + self.novel_scores.size)

    @property
    def held_out(self) -> NDArray[np.float64]:
        """The scores of all held-out rows as they rank, (n,): ascending, those of novel rows last."""
        return np.concatenate([self.scores, self.novel_scores])

    @property
    def held_out_p_values(self) -> NDArray[np.float64]:
        """The p-values of the held-out rows among themselves, (n,), each row counted too. Lower is more anomalous."""
        novel = self.p_value(self.novel_scores, np.ones(self.novel_scores.size, dtype=bool))
        return np.concatenate([self.p_value(self.scores), novel])

    @property
    def row_count_text(self) -> str:
        return f"{self.n} calibration rows"

    def scores_to_compare(self, scored: ScoredRows) -> NDArray[np.float64]:
        """The scores to compare with the held-out scores, (N,)."""
        return scored.score

    @property
    def smallest_alpha(self) -> float:
        """The smallest possible p-value, 1 / (n + 1)."""
        return 1.0 / (self.n + 1)

    def p_value(self, score: ArrayLike, novel: ArrayLike | None = None) -> NDArray[np.float64]:
        """p-value of each score, (N,), between 1 / (n + 1) and 1. Lower is more anomalous.

        Args:
            score: nats, (N,); NaN for a novel row that the model cannot score, which gets 1 / (n + 1).
            novel: which rows are novel, (N,); None: no row is.
        """
        floor = tie_floor(score)
        at_least = self.n - np.searchsorted(self.scores, floor, side="left")  # all novel held-out rows rank higher
        if novel is not None and np.any(novel):
            novel_at_least = self.novel_scores.size - np.searchsorted(self.novel_scores, floor, side="left")
            at_least = np.where(np.asarray(novel, dtype=bool), novel_at_least, at_least)
        return np.asarray((1.0 + at_least) / (1.0 + self.n), dtype=np.float64)

    @property
    def has_tail(self) -> bool:
        """Whether verdicts have a p_value_tail."""
        return self.tail is not None

    def both_p_values(
        self, score: ArrayLike, novel: ArrayLike | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """p_value, and p_value extrapolated by the tail beyond the highest held-out score, (N,); None without a tail.

            p_value_tail(s) = max(floor, P(S > s | S > last) p_value(s)) where s > last, else p_value(s)

        `last` is the score up to which the highest held-out score of a row that is not novel counts as at least s.
        Lower is more anomalous. It is never above p_value, never rises with s, and is continuous beyond `last`. If the
        fitted tail were the true one, P(p_value_tail <= a) <= a would hold for every a. It is an extrapolation, so this
        is not guaranteed. For novel rows it is p_value.

        Args:
            score, novel: as in p_value.
        """
        p_value = self.p_value(score, novel)
        if self.tail is None:
            return p_value, None
        last = tie_ceiling(float(self.scores[-1]))
        beyond = np.asarray(score) > last
        if novel is not None:
            beyond &= ~np.asarray(novel, dtype=bool)
        if not beyond.any():  # the usual case
            return p_value, p_value
        extrapolated = np.maximum(p_value * self.tail.survival(score, beyond=last), self.tail.floor)
        return p_value, np.where(beyond, np.minimum(extrapolated, p_value), p_value)

    def rank(self, alpha: float) -> int:
        """k = floor(alpha (n + 1)): how many of the p-values 1 / (n + 1), ..., 1 are at most alpha.

        It is computed with the same comparison as a verdict, so that rounding cannot make the two differ.
        """
        return int(((1.0 + np.arange(self.n + 1)) / (1.0 + self.n) <= alpha).sum())

    def threshold(self, alpha: float) -> float:
        """The score, nats, beyond which a row is an anomaly: score > threshold exactly where p_value <= alpha.

        This is about rows that are not novel. It is infinite if no row can be an anomaly at this alpha, or if so many
        held-out rows are novel that only novel rows can.

        Raises:
            InputError: alpha is not between 0 and 1.
        """
        check_alpha(alpha)
        above = self.rank(alpha) - self.novel_scores.size  # held-out scores that an anomaly may have above it, plus 1
        return tie_ceiling(float(self.scores[-above])) if above > 0 else math.inf

    def excess(self, score: NDArray[np.float64], threshold: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """score - threshold, (N,), nats: with threshold(alpha), above 0 exactly where p_value <= alpha."""
        return np.asarray(score - threshold)


def at_least(alpha: float) -> float:
    """alpha to two digits, rounded up."""
    digits = 1 - math.floor(math.log10(alpha))
    return math.ceil(alpha * 10.0**digits) / 10.0**digits
