"""What may lie beyond the last held-out score: a generalised Pareto tail."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, FiniteFloat

from vaekit.bundle.manifest_part import ManifestPart

FEWEST = 20  # exceedances, below which there is no tail; there are as many from 96 held-out rows on
PRIOR, PRIOR_SHAPE = 10, 0.5  # scores that the prior of the shape is worth, and what it says
_NEARLY_0 = 1e-300  # where 0 would be divided by


class Tail(ManifestPart):
    """Generalised Pareto tail of held-out scores S beyond a threshold u, nats: extrapolation, without a guarantee.

        P(S > s | S > u) = (1 + shape (s - u) / scale)^(-1 / shape),  exp(-(s - u) / scale) at shape 0

    A shape below 0 ends at u - scale / shape, where the formula gives 0. Nothing below `floor` is taken from it.
    """

    shape: FiniteFloat = Field(description="above 0: a heavy tail; 0: exponential; below 0: it ends")
    scale: Annotated[FiniteFloat, Field(gt=0, description="nats")]
    threshold: FiniteFloat = Field(description="u: the score, nats, beyond which the distribution was fitted")
    exceedances: Annotated[int, Field(ge=FEWEST, description="M: held-out scores beyond it")]
    floor: Annotated[FiniteFloat, Field(gt=0, lt=1, description="M / (n + 1) exp(-sqrt(M)), the least p_value_tail")]

    def survival(self, score: ArrayLike, beyond: float) -> NDArray[np.float64]:
        """P(S > score | S > beyond) for u <= beyond, (N,); 1 where score <= beyond.

        Again generalised Pareto, of the same shape and of scale_at(beyond).
        """
        over = np.maximum(np.asarray(score, dtype=np.float64) - beyond, 0.0) / self.scale_at(beyond)  # (N,)
        if self.shape == 0.0:
            return np.asarray(np.exp(-over))
        with np.errstate(divide="ignore", over="ignore"):  # beyond an end, and very far out
            return np.asarray(np.exp(-np.log1p(np.maximum(self.shape * over, -1.0)) / self.shape))

    def sentence(self) -> str:
        """What it is, in words."""
        return (
            f"extrapolation without a guarantee beyond the highest held-out score: generalised Pareto of shape "
            f"{self.shape:.3g}, fitted to the {self.exceedances:,} scores above {self.threshold:.6g} nats, never below "
            f"{self.floor:.2g}"
        )

    def scale_at(self, beyond: float) -> float:
        """Scale of what exceeds another threshold: scale + shape (beyond - u); not above 0 beyond an end."""
        return self.scale + self.shape * (beyond - self.threshold)


def fit_tail(scores: NDArray[np.float64]) -> Tail | None:
    """The tail of held-out scores (n,), ascending; None where fewer than FEWEST would tell it.

    It is fitted to the largest M = ceil(min(n / 5, 3 sqrt(n))) scores, less those that tie with the next one, and its
    shape is drawn to 1/2 as if by 10 more of them, (M shape + 5) / (M + 10); both as Vehtari, Simpson, Gelman, Yao and
    Gabry (2024), "Pareto smoothed importance sampling", have them. Without the prior the error of the shape alone would
    make scores a tenth below 1 / (n + 1) come two to four times as often as said. The floor is where log(M / (n p))
    reaches sqrt(M): extrapolation is consistent as long as the one is small against the other (de Haan and Ferreira
    2006, theorem 4.3.1).
    """
    n = scores.size
    most = math.ceil(min(n / 5, 3 * math.sqrt(n)))
    threshold = float(scores[n - 1 - most])
    beyond = scores[scores > threshold] - threshold  # (M,)
    if beyond.size < FEWEST:
        return None
    shape, scale = zhang_stephens(beyond)
    shape = (beyond.size * shape + PRIOR * PRIOR_SHAPE) / (beyond.size + PRIOR)
    floor = beyond.size / (n + 1) * math.exp(-math.sqrt(beyond.size))
    return Tail(shape=shape, scale=scale, threshold=threshold, exceedances=beyond.size, floor=floor)


def zhang_stephens(exceedances: NDArray[np.float64]) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution from exceedances (M,), ascending and above 0.

    theta = -shape / scale is the mean of a grid under its profile likelihood; the shape is then the likeliest.

    Source: Zhang and Stephens (2009), "A new and efficient estimation method for the generalized Pareto distribution",
    section 3; their k is minus the shape.
    """
    x, m = exceedances, 20 + math.isqrt(exceedances.size)
    quartile = x[int(x.size / 4 + 0.5) - 1]
    theta = 1 / x[-1] + (1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3 * quartile)  # (m,)
    theta = np.where(theta == 0, _NEARLY_0, theta)
    shape = np.log1p(-theta[:, None] * x).mean(axis=1)  # (m,), the likeliest at each theta
    log_likelihood = x.size * (np.log(-theta / shape) - shape - 1)  # (m,)
    weight = np.exp(log_likelihood - log_likelihood.max())
    mean = float(weight @ theta / weight.sum())
    found = float(np.log1p(-mean * x).mean())
    return found, -found / mean
