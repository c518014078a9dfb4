"""Combines the scores of F fold models into one p-value: the median over folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.calibration import BaseCalibration, Calibration, ScoredRows
from vaekit.errors import InputError


def guarantee(folds: int) -> float:
    """The factor g = 2 F / (F + 1) < 2 in P(p_value <= alpha) <= g alpha with F folds."""
    return 2.0 * folds / (folds + 1)


@dataclass(frozen=True)
class FoldCalibration(BaseCalibration):
    """Calibration by folds: the n_f rows of fold f are scored by the model that was trained without them.

        p_f(x)     = (1 + #{i in fold f: s_f(X_i) >= s_f(x)}) / (1 + n_f)        s_f = -ELBO_f, nats, by fold model f
        p_value(x) = median over f of p_f(x)                                     F is odd

    Each p_f is split-conformal: P(p_f <= alpha) <= alpha for rows exchangeable with the held-out rows. The median is at
    most alpha only if at least (F + 1) / 2 of the p_f are. Their expected number is at most F alpha, so Markov's
    inequality gives

        P(p_value <= alpha) <= 2 F / (F + 1) alpha < 2 alpha

    for any dependence between the p_f (Rueger 1978; Vovk and Wang 2020, "Combining p-values via averaging"). The more
    similar the fold models are, the closer the rate is to alpha.
    """

    folds: tuple[Calibration, ...]  # F

    def __post_init__(self) -> None:
        if len(self.folds) % 2 == 0:
            raise InputError(f"calibration: {len(self.folds)} folds, expected an odd number")

    @classmethod
    def of(cls, scores: Sequence[ArrayLike], novel: Sequence[ArrayLike | None] | None = None) -> FoldCalibration:
        """Calibration on the scores of each fold's rows by its own model, any order.

        Args:
            scores: of each fold, (n_f,), nats.
            novel: which rows of each fold are novel to the model trained without it, (n_f,); None: no row is.

        Raises:
            InputError: an even number of folds, a fold without rows, or a score that is not finite.
        """
        each = [None] * len(scores) if novel is None else novel
        return cls(tuple(Calibration.of(own, which) for own, which in zip(scores, each, strict=True)))

    @property
    def n(self) -> int:
        """The number of held-out rows in all folds."""
        return sum(fold.n for fold in self.folds)

    @property
    def guarantee(self) -> float:
        """g = 2 F / (F + 1) in P(p_value <= alpha) <= g alpha."""
        return guarantee(len(self.folds))

    @property
    def smallest_alpha(self) -> float:
        """The smallest possible p-value, the median over f of 1 / (n_f + 1)."""
        return float(_median(np.array([fold.smallest_alpha for fold in self.folds])))

    @property
    def row_count_text(self) -> str:
        return f"{self.n} calibration rows in {len(self.folds)} folds"

    def scores_to_compare(self, scored: ScoredRows) -> NDArray[np.float64]:
        """The scores to compare with the held-out scores, (N, F): one score by each fold model."""
        assert scored.fold_elbo is not None, "the graphs of a model calibrated by folds output each fold's ELBO"
        return -scored.fold_elbo

    def p_value(self, score: ArrayLike, novel: ArrayLike | None = None) -> NDArray[np.float64]:
        """p-value of each row, (N,). Lower is more anomalous.

        Args:
            score: by each fold model, nats, (N, F).
            novel: which rows are novel, (N,); None: no row is.
        """
        by_fold = zip(self.folds, np.asarray(score, dtype=np.float64).T, strict=True)
        return _median(np.stack([fold.p_value(own, novel) for fold, own in by_fold], axis=-1))

    def both_p_values(
        self, score: ArrayLike, novel: ArrayLike | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """The medians over folds of p_value and of p_value_tail, (N,); the second is None if any fold has no tail.

        Args:
            score, novel: as in p_value.
        """
        by_fold = [
            fold.both_p_values(own, novel)
            for fold, own in zip(self.folds, np.asarray(score, dtype=np.float64).T, strict=True)
        ]
        p_value = _median(np.stack([own for own, _ in by_fold], axis=-1))
        tails = [tail for _, tail in by_fold if tail is not None]
        return p_value, _median(np.stack(tails, axis=-1)) if len(tails) == len(self.folds) else None

    @property
    def has_tail(self) -> bool:
        """Whether verdicts have a p_value_tail."""
        return all(fold.has_tail for fold in self.folds)

    def threshold(self, alpha: float) -> NDArray[np.float64]:
        """The threshold of each fold at alpha, (F,), nats; infinite for a fold with too few rows for this alpha.

        Raises:
            InputError: alpha is not between 0 and 1.
        """
        return np.array([fold.threshold(alpha) for fold in self.folds])

    def excess(self, score: NDArray[np.float64], threshold: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """The median over folds of score - threshold, (N,), nats: above 0 exactly where p_value <= alpha.

        Args:
            score: by each fold model, nats, (N, F).
            threshold: the result of threshold(alpha), (F,).
        """
        return _median(score - threshold)


UngroupedCalibration = Calibration | FoldCalibration


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of an odd number of values along the last axis: exactly one of the values, without rounding."""
    return np.asarray(np.sort(values, axis=-1)[..., values.shape[-1] // 2])
