"""Turns scores into p-values and verdicts by comparing them with the scores of held-out rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.tail import Tail
from vaekit.errors import InputError, NotResolvable


def array_name(num_samples: int, precision: str = "float32") -> str:
    """The name of the array in calibration.npz that holds the scores on K default draws."""
    return f"elbo_k{num_samples}_default" + ("" if precision == "float32" else f"_{precision}")


def check_alpha(alpha: float, name: str = "alpha") -> None:
    """Check that a rate is between 0 and 1, both excluded. `name` is the parameter's name, for the message.

    Raises:
        InputError: the rate is out of range.
    """
    if not 0.0 < alpha < 1.0:
        raise InputError(f"{name}: {alpha} is not between 0 and 1")


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
    def observed_count(self) -> NDArray[np.int64] | None:
        """How many columns of each row are observed, (N,); None if no column may be missing."""


@dataclass(frozen=True)
class Verdict:
    """The p-values and verdicts of N scored rows.

    A row has no p-value if no held-out row has as many observed columns. Its p-values are then NaN, and is_anomaly is
    False.
    """

    p_value: NDArray[np.float64]  # (N,), between 0 and 1; lower is more anomalous
    p_value_tail: NDArray[np.float64] | None  # (N,), extrapolated beyond the held-out scores; None without a tail
    is_anomaly: NDArray[np.bool_] | None  # (N,), p_value <= alpha; None if alpha is None
    alpha: float | None  # the false-alarm rate of is_anomaly; None if none was given or it is too small
    reason: str | None  # why is_anomaly, or the p-value of some rows, is absent; None if nothing is absent


class BaseCalibration:
    """The base class of Calibration (one held-out set) and FoldCalibration (one held-out set per fold)."""

    observed_counts: tuple[int, ...] | None

    def verdict(self, scored: ScoredRows, alpha: float | None = None) -> Verdict:
        """The p-values of scored rows, and which rows are anomalies. All verdicts of the project are computed here.

            is_anomaly(x) = p_value(x) <= alpha

        Args:
            scored: rows scored by the same model, graph, precision and draws as the held-out rows.
            alpha: the false-alarm rate; None: p-values only. If it is too small for this many held-out rows,
                is_anomaly is None and `reason` says why; call check_alpha first to get an error instead.

        Raises:
            InputError: alpha is not between 0 and 1.
        """
        count = scored.observed_count
        scores = self.scores_to_compare(scored)
        p_value = self.p_value(scores, count)
        tail = self.p_value_tail(scores, count)
        reason = self.missing_p_value_reason(count)
        if alpha is None:
            return Verdict(p_value, tail, None, None, reason)
        try:
            return Verdict(p_value, tail, self.is_anomaly(p_value, alpha), alpha, reason)
        except NotResolvable as exc:
            return Verdict(p_value, tail, None, None, f"no verdict: {exc}" + (f"; {reason}" if reason else ""))

    def scores_to_compare(self, scored: ScoredRows) -> NDArray[np.float64]:
        """The scores to compare with the held-out scores, (N,), or (N, F) with folds; nats, high is anomalous."""
        raise NotImplementedError

    def p_value(self, score: ArrayLike, observed_count: ArrayLike | None = None) -> NDArray[np.float64]:
        """p-value of each row, (N,), from the result of scores_to_compare. Lower is more anomalous."""
        raise NotImplementedError

    def p_value_tail(self, score: ArrayLike, observed_count: ArrayLike | None = None) -> NDArray[np.float64] | None:
        """p_value, extrapolated beyond the highest held-out score, (N,); lower is more anomalous. None without a tail.

        See Calibration.p_value_tail.
        """
        raise NotImplementedError

    @property
    def smallest_alpha(self) -> float:
        """The smallest possible p-value."""
        raise NotImplementedError

    @property
    def row_count_text(self) -> str:
        """The number of held-out rows as text, for messages."""
        raise NotImplementedError

    def comparable(self, observed_count: ArrayLike) -> NDArray[np.bool_]:
        """Whether some held-out row has the same number of observed columns, (N,)."""
        counts = np.asarray(observed_count, dtype=np.int64)
        if self.observed_counts is None:
            return np.ones(counts.shape, dtype=bool)
        return np.isin(counts, self.observed_counts)

    def missing_p_value_reason(self, observed_count: ArrayLike | None) -> str | None:
        """Why some rows have no p-value, as text for the caller; None if all rows have one."""
        if observed_count is None or self.comparable(observed_count).all():
            return None
        unseen = np.unique(np.asarray(observed_count)[~self.comparable(observed_count)])
        some = ", ".join(map(str, unseen[:10])) + (", ..." if len(unseen) > 10 else "")
        return f"rows with {some} observed columns have no p-value: no calibration row has as many"

    def check_alpha(self, alpha: float) -> None:
        """Check that a p-value can be as small as alpha.

        Raises:
            InputError: alpha is not between 0 and 1.
            NotResolvable: alpha is below the smallest p-value.
        """
        check_alpha(alpha)
        if alpha < self.smallest_alpha:
            raise NotResolvable(
                f"alpha: {alpha} is too small for {self.row_count_text}; the smallest is {self.smallest_alpha:.6g}"
            )

    def is_anomaly(self, p_value: ArrayLike, alpha: float) -> NDArray[np.bool_]:
        """p_value <= alpha for each row, (N,); False where the p-value is NaN (no verdict)."""
        self.check_alpha(alpha)
        return np.asarray(p_value, dtype=np.float64) <= alpha


@dataclass(frozen=True)
class Calibration(BaseCalibration):
    """Split-conformal calibration on n held-out scores, nats, higher is more anomalous.

        p_value(x) = (1 + #{held-out scores >= score(x)}) / (1 + n)

    For rows exchangeable with the held-out rows, P(p_value <= alpha) <= alpha (Vovk, Gammerman and Shafer 2005;
    Bates et al. 2023 for outliers). If cells may be missing, a row whose number of observed columns occurs in no
    held-out row is not exchangeable with the held-out rows, and has no p-value.
    """

    scores: NDArray[np.float64]  # (n,), ascending
    observed_counts: tuple[int, ...] | None = None  # all that occur, ascending; None: no column may be missing
    tail: Tail | None = None  # fitted to the highest scores; None: too few scores, or not fitted

    def __post_init__(self) -> None:
        if self.tail is not None and not self.tail.scale_at(float(self.scores[-1])) > 0:
            raise InputError("calibration: the tail ends before the highest held-out score")

    @classmethod
    def of(cls, scores: ArrayLike, observed_count: ArrayLike | None = None) -> Calibration:
        """A calibration from held-out scores in any order.

        Args:
            scores: of the held-out rows, (n,), nats.
            observed_count: how many columns of each row are observed, (n,); None if no column may be missing.

        Raises:
            InputError: no scores, or a score that is not finite.
        """
        held_out = np.sort(np.asarray(scores, dtype=np.float64).ravel())
        if held_out.size == 0:
            raise InputError("calibration: no held-out scores")
        if not np.isfinite(held_out).all():
            raise InputError("calibration: a held-out score is not finite")
        counts = None if observed_count is None else tuple(np.unique(np.asarray(observed_count, np.int64)).tolist())
        return cls(held_out, counts)

    @property
    def n(self) -> int:
        return int(self.scores.size)

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

    def p_value(self, score: ArrayLike, observed_count: ArrayLike | None = None) -> NDArray[np.float64]:
        """p-value of each score, (N,), between 1 / (n + 1) and 1. Lower is more anomalous.

        Args:
            score: nats, (N,).
            observed_count: how many columns of each row are observed, (N,). A count that no held-out row has gives NaN.
                None: all rows are treated as comparable.
        """
        below = np.searchsorted(self.scores, np.asarray(score, dtype=np.float64), side="left")
        p_value = np.asarray((1.0 + (self.n - below)) / (1.0 + self.n), dtype=np.float64)
        return p_value if observed_count is None else np.where(self.comparable(observed_count), p_value, np.nan)

    def p_value_tail(self, score: ArrayLike, observed_count: ArrayLike | None = None) -> NDArray[np.float64] | None:
        """p_value, extrapolated by the tail beyond the highest held-out score, (N,); None without a tail.

            p_value_tail(s) = max(floor, P(S > s | S > last) / (n + 1)) where s > last, else p_value(s)

        `last` is the highest held-out score. Lower is more anomalous. p_value_tail is never above p_value and never
        rises with s. Beyond `last` it falls continuously from 1 / (n + 1). If the fitted tail were the true tail,
        P(p_value_tail <= a) <= a would hold for every a. The fit is an extrapolation, so this is not guaranteed.

        Args:
            score, observed_count: as in p_value.
        """
        if self.tail is None:
            return None
        p_value, last = self.p_value(score, observed_count), float(self.scores[-1])
        if not (np.asarray(score) > last).any():  # the usual case
            return p_value
        return np.asarray(np.maximum(p_value * self.tail.survival(score, beyond=last), self.tail.floor))

    def rank(self, alpha: float) -> int:
        """k = floor(alpha (n + 1)): how many of the p-values 1 / (n + 1), ..., 1 are at most alpha.

        It is computed with the same comparison as a verdict, so that rounding cannot make the two differ.
        """
        return int(((1.0 + np.arange(self.n + 1)) / (1.0 + self.n) <= alpha).sum())

    def threshold(self, alpha: float) -> float:
        """The score, nats, beyond which a row is an anomaly: score > threshold exactly where p_value <= alpha.

        Raises:
            InputError, NotResolvable: see check_alpha.
        """
        self.check_alpha(alpha)
        return float(self.scores[self.n - self.rank(alpha)])

    def excess(self, score: NDArray[np.float64], threshold: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """score - threshold, (N,), nats: with threshold(alpha), above 0 exactly where p_value <= alpha."""
        return np.asarray(score - threshold)
