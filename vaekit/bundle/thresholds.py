"""Computes the score thresholds of common alphas, each with an interval for the true false-alarm rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field, FiniteFloat

from vaekit.bundle.calibration import Calibration, rows_to_resolve
from vaekit.bundle.manifest_part import ManifestPart

ALPHAS = (0.001, 0.005, 0.01, 0.05, 0.1)
COVERAGE = 0.95  # of the interval of the true rate
HEADINGS = ("alpha", "threshold, nats", "true false-alarm rate, 95 %", "rows needed")

Rate = Annotated[FiniteFloat, Field(ge=0, le=1)]


class Threshold(ManifestPart):
    """The score above which a row is an anomaly at this alpha, and an interval for the true false-alarm rate."""

    alpha: Annotated[FiniteFloat, Field(gt=0, lt=1)]
    rank: Annotated[int, Field(ge=0, description="k = floor(alpha (n + 1)); 0: alpha is not resolvable")]
    score: FiniteFloat | None = Field(description="nats: p_value <= alpha exactly beyond it; null: no score is")
    rate_low: Rate | None = Field(description="2.5 % quantile of the true false-alarm rate, Beta(k, n + 1 - k)")
    rate_high: Rate | None = Field(description="97.5 % quantile of the true false-alarm rate")


def lines(found: Iterable[Threshold]) -> Iterator[tuple[str, ...]]:
    """The thresholds as rows of a table of text with the columns HEADINGS."""
    for one in found:
        score_and_rate = ("not resolvable", "")
        if one.score is not None:
            score_and_rate = f"{one.score:.6g}", f"{one.rate_low:.2g} .. {one.rate_high:.2g}"
        yield f"{one.alpha:g}", *score_and_rate, f"{rows_to_resolve(one.alpha):,}"


def thresholds(calibration: Calibration) -> tuple[Threshold, ...]:
    """The thresholds at ALPHAS, each with an interval for its true false-alarm rate.

    The true rate is the probability that the score of a normal row exceeds the threshold, the k-th largest of n scores,
    k = floor(alpha (n + 1)). For continuous scores it is distributed as Beta(k, n + 1 - k) over calibrations; with ties
    it is smaller. Its mean k / (n + 1) is at most alpha (Vovk 2012, "Conditional validity of inductive conformal
    predictors").
    """
    from scipy.special import betaincinv  # imported here: only the writer of a bundle needs scipy

    found = []
    for alpha in ALPHAS:
        k = calibration.rank(alpha)
        score = calibration.threshold(alpha)
        if not math.isfinite(score):
            found.append(Threshold(alpha=alpha, rank=k, score=None, rate_low=None, rate_high=None))
            continue
        tail = (1.0 - COVERAGE) / 2.0
        low, high = (float(betaincinv(k, calibration.n + 1 - k, share)) for share in (tail, 1.0 - tail))
        found.append(Threshold(alpha=alpha, rank=k, score=score, rate_low=low, rate_high=high))
    return tuple(found)
