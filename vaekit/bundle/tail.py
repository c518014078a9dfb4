"""Extrapolates p-values beyond the highest held-out score, with a generalised Pareto tail fitted to the scores."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, FiniteFloat

from vaekit.bundle.manifest_part import ManifestPart

MIN_EXCEEDANCES = 20  # scores needed to fit a tail; 96 held-out rows give 20
PRIOR_SHAPE, PRIOR_WEIGHT = 0.5, 10  # mean of the prior of the shape; number of scores that it counts as
_TINY = 1e-300  # replaces 0 as a divisor


class Tail(ManifestPart):
    """Generalised Pareto tail of held-out scores S above a threshold u, nats. It extrapolates, without a guarantee.

        P(S > s | S > u) = (1 + shape (s - u) / scale)^(-1 / shape),  exp(-(s - u) / scale) at shape 0

    If the shape is below 0, the tail ends at u - scale / shape, and the probability of higher scores is 0. p_value_tail
    is never below `floor`.
    """

    shape: FiniteFloat = Field(description="above 0: a heavy tail; 0: exponential; below 0: a tail with an end")
    scale: Annotated[FiniteFloat, Field(gt=0, description="nats")]
    threshold: FiniteFloat = Field(description="u: the tail was fitted to scores above this score, nats")
    exceedances: Annotated[int, Field(ge=MIN_EXCEEDANCES, description="M: number of held-out scores above u")]
    floor: Annotated[FiniteFloat, Field(gt=0, lt=1, description="M / (n + 1) exp(-sqrt(M)), the smallest p_value_tail")]

    def survival(self, score: ArrayLike, beyond: float) -> NDArray[np.float64]:
        """P(S > score | S > beyond) for u <= beyond, (N,); 1 where score <= beyond.

        This is also a generalised Pareto distribution, with the same shape and the scale scale_at(beyond).
        """
        scale = max(self.scale_at(beyond), _TINY)  # beyond the end of the tail nothing survives
        over = np.maximum(np.asarray(score, dtype=np.float64) - beyond, 0.0) / scale  # (N,)
        if self.shape == 0.0:
            return np.asarray(np.exp(-over))
        with np.errstate(divide="ignore", over="ignore"):  # beyond the end of the tail, and very far out
            return np.asarray(np.exp(-np.log1p(np.maximum(self.shape * over, -1.0)) / self.shape))

    def sentence(self) -> str:
        """The tail in one sentence, for reports."""
        return (
            f"extrapolation without a guarantee beyond the highest held-out score: generalised Pareto of shape "
            f"{self.shape:.3g}, fitted to the {self.exceedances:,} scores above {self.threshold:.6g} nats, never below "
            f"{self.floor:.2g}"
        )

    def scale_at(self, beyond: float) -> float:
        """The scale beyond another threshold: scale + shape (beyond - u); 0 or less beyond the end of the tail."""
        return self.scale + self.shape * (beyond - self.threshold)


def fit_tail(scores: NDArray[np.float64]) -> Tail | None:
    """The tail of held-out scores (n,), ascending; None with fewer than MIN_EXCEEDANCES exceedances.

    It is fitted to the largest M = ceil(min(n / 5, 3 sqrt(n))) scores, without those that tie with the next lower one.
    A prior shrinks the shape towards 1/2: (M shape + 5) / (M + 10). Both rules are those of Vehtari, Simpson, Gelman,
    Yao and Gabry (2024), "Pareto smoothed importance sampling". Without the prior, the error of the shape makes a
    p_value_tail of 0.1 / (n + 1) two to four times as frequent as it should be.

    The floor is the p-value p at which log(M / (n p)) = sqrt(M). Extrapolation is consistent as long as
    log(M / (n p)) is small compared with sqrt(M) (de Haan and Ferreira 2006, theorem 4.3.1).
    """
    n = scores.size
    if n < MIN_EXCEEDANCES:
        return None
    most = math.ceil(min(n / 5, 3 * math.sqrt(n)))
    threshold = float(scores[n - 1 - most])
    beyond = scores[scores > threshold] - threshold  # (M,)
    if beyond.size < MIN_EXCEEDANCES:
        return None
    shape, scale = zhang_stephens(beyond)
    shape = (beyond.size * shape + PRIOR_WEIGHT * PRIOR_SHAPE) / (beyond.size + PRIOR_WEIGHT)
    floor = beyond.size / (n + 1) * math.exp(-math.sqrt(beyond.size))
    return Tail(shape=shape, scale=scale, threshold=threshold, exceedances=beyond.size, floor=floor)


def zhang_stephens(exceedances: NDArray[np.float64]) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution from exceedances (M,), ascending and above 0.

    theta = -shape / scale is the mean over a grid, weighted by the profile likelihood; the shape is the maximum
    likelihood estimate given theta.

    Source: Zhang and Stephens (2009), "A new and efficient estimation method for the generalized Pareto distribution",
    section 3; their k is -shape.
    """
    x, m = exceedances, 20 + math.isqrt(exceedances.size)
    quartile = x[int(x.size / 4 + 0.5) - 1]
    theta = 1 / x[-1] + (1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3 * quartile)  # (m,)
    theta = np.where(theta == 0, _TINY, theta)
    shape = np.log1p(-theta[:, None] * x).mean(axis=1)  # (m,), maximum likelihood at each theta
    log_likelihood = x.size * (np.log(-theta / shape) - shape - 1)  # (m,)
    weight = np.exp(log_likelihood - log_likelihood.max())
    mean = float(weight @ theta / weight.sum())
    found = float(np.log1p(-mean * x).mean())
    return found, -found / mean
