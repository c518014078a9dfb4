"""From a score to a p-value and a verdict. Knows held-out scores, not where rows or scores come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import InputError, NotResolvable


def array_name(num_samples: int, precision: str = "float32") -> str:
    """Name in calibration.npz of the scores on K default draws."""
    return f"elbo_k{num_samples}_default" + ("" if precision == "float32" else f"_{precision}")


def check_alpha(alpha: float) -> None:
    """Raises InputError where alpha is not between 0 and 1."""
    if not 0.0 < alpha < 1.0:
        raise InputError(f"alpha: {alpha} is not between 0 and 1")


@dataclass(frozen=True)
class Calibration:
    """Split-conformal calibration on n held-out scores, nats, higher is odder.

        p_value(x) = (1 + #{held-out scores >= score(x)}) / (1 + n)

    For rows exchangeable with the held-out ones P(p_value <= alpha) <= alpha (Vovk, Gammerman and Shafer 2005;
    Bates et al. 2023 for outliers). Where cells may be missing, the held-out rows miss as many as rows in use do; a row
    whose number of observed columns none of them has is exchangeable with none, and has no p-value.
    """

    scores: NDArray[np.float64]  # (n,), ascending
    observed_counts: tuple[int, ...] | None = None  # that the held-out rows have, ascending; None: nothing is missing

    @classmethod
    def of(cls, scores: ArrayLike, observed_count: ArrayLike | None = None) -> Calibration:
        """Calibration on these scores, any order.

        Args:
            scores: of the held-out rows, (n,), nats.
            observed_count: how many columns of each are not missing, (n,); None where no column may be.

        Raises:
            InputError: no scores, or one that is not finite.
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
    def smallest_alpha(self) -> float:
        """The smallest p-value there can be, 1 / (n + 1)."""
        return 1.0 / (self.n + 1)

    def p_value(self, score: ArrayLike, observed_count: ArrayLike | None = None) -> NDArray[np.float64]:
        """p-value of each score, (N,), between 1 / (n + 1) and 1. Lower is odder.

        Args:
            score: nats, (N,).
            observed_count: how many columns of each row are not missing, (N,). A count that no held-out row has gives
                NaN; None: all rows are taken to be comparable.
        """
        below = np.searchsorted(self.scores, np.asarray(score, dtype=np.float64), side="left")
        p_value = np.asarray((1.0 + (self.n - below)) / (1.0 + self.n), dtype=np.float64)
        return p_value if observed_count is None else np.where(self.comparable(observed_count), p_value, np.nan)

    def comparable(self, observed_count: ArrayLike) -> NDArray[np.bool_]:
        """Whether some held-out row has as many observed columns, (N,)."""
        counts = np.asarray(observed_count, dtype=np.int64)
        if self.observed_counts is None:
            return np.ones(counts.shape, dtype=bool)
        return np.isin(counts, self.observed_counts)

    def gap(self, observed_count: ArrayLike | None) -> str | None:
        """Why some of the rows have no p-value, or None where all have one."""
        if observed_count is None or self.comparable(observed_count).all():
            return None
        unseen = np.unique(np.asarray(observed_count)[~self.comparable(observed_count)])
        some = ", ".join(map(str, unseen[:10])) + (", ..." if len(unseen) > 10 else "")
        return f"rows with {some} observed columns have no p-value: no calibration row has as many"

    def check_alpha(self, alpha: float) -> None:
        """Refuse an alpha that no p-value could ever reach.

        Raises:
            InputError: alpha is not between 0 and 1.
            NotResolvable: alpha < 1 / (n + 1).
        """
        check_alpha(alpha)
        if alpha < self.smallest_alpha:
            raise NotResolvable(
                f"alpha: {alpha} cannot be told by {self.n} calibration rows; the smallest is {self.smallest_alpha:.6g}"
            )

    def threshold(self, alpha: float) -> float:
        """The score, nats, beyond which a row is an anomaly: score > threshold exactly where p_value <= alpha.

        Raises:
            InputError, NotResolvable: see check_alpha.
        """
        self.check_alpha(alpha)
        reached = 1 + np.flatnonzero((1.0 + np.arange(self.n + 1)) / (1.0 + self.n) <= alpha).max(initial=0)
        return float(self.scores[self.n - reached])

    def is_anomaly(self, p_value: ArrayLike, alpha: float) -> NDArray[np.bool_]:
        """p_value <= alpha for each row, (N,); False where the p-value is NaN, which tells of no verdict."""
        self.check_alpha(alpha)
        return np.asarray(p_value, dtype=np.float64) <= alpha
