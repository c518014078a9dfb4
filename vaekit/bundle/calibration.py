"""From a score to a p-value and a verdict. Knows held-out scores, not where rows or scores come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import InputError, NotResolvable


def array_name(num_samples: int) -> str:
    """Name in calibration.npz of the scores on K default draws."""
    return f"elbo_k{num_samples}_default"


def check_alpha(alpha: float) -> None:
    """Raises InputError where alpha is not between 0 and 1."""
    if not 0.0 < alpha < 1.0:
        raise InputError(f"alpha: {alpha} is not between 0 and 1")


@dataclass(frozen=True)
class Calibration:
    """Split-conformal calibration on n held-out scores, nats, higher is odder.

        p_value(x) = (1 + #{held-out scores >= score(x)}) / (1 + n)

    For rows exchangeable with the held-out ones P(p_value <= alpha) <= alpha (Vovk, Gammerman and Shafer 2005;
    Bates et al. 2023 for outliers).
    """

    scores: NDArray[np.float64]  # (n,), ascending

    @classmethod
    def of(cls, scores: ArrayLike) -> Calibration:
        """Calibration on these scores, any order.

        Raises:
            InputError: no scores, or one that is not finite.
        """
        held_out = np.sort(np.asarray(scores, dtype=np.float64).ravel())
        if held_out.size == 0:
            raise InputError("calibration: no held-out scores")
        if not np.isfinite(held_out).all():
            raise InputError("calibration: a held-out score is not finite")
        return cls(held_out)

    @property
    def n(self) -> int:
        return int(self.scores.size)

    @property
    def smallest_alpha(self) -> float:
        """The smallest p-value there can be, 1 / (n + 1)."""
        return 1.0 / (self.n + 1)

    def p_value(self, score: ArrayLike) -> NDArray[np.float64]:
        """p-value of each score, (N,), between 1 / (n + 1) and 1. Lower is odder."""
        below = np.searchsorted(self.scores, np.asarray(score, dtype=np.float64), side="left")
        return np.asarray((1.0 + (self.n - below)) / (1.0 + self.n), dtype=np.float64)

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
        """p_value <= alpha for each row, (N,)."""
        self.check_alpha(alpha)
        return np.asarray(p_value, dtype=np.float64) <= alpha
