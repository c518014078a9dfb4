"""The counts of false alarms in each set, and the figures made from them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.laws import ALPHAS, LEVEL, distribution_p_value, holm, law, mean_rate_p_value, uniforms
from benchmarks.report import Figure


@dataclass(frozen=True)
class SetResult:
    """The result of one set."""

    name: str
    n: int  # calibration rows
    m: int  # test rows
    tied: float  # share of scores that are equal to another
    alarms: dict[float, list[int]]  # by resolvable alpha, of each resplit
    own: dict[float, list[int]]  # by alpha, of each model's own split
    ordered: dict[float, int]  # by alpha, in the order of the file
    far: float | None  # rate of p_value_tail <= arm.TAIL_LEVEL

    @classmethod
    def of(cls, name: str, tree: dict[str, Any]) -> SetResult:
        """Read the JSON of an arm, in which alphas are text."""
        counts = {key: {float(alpha): c for alpha, c in tree[key].items()} for key in ("alarms", "own", "ordered")}
        return cls(name, tree["n"], tree["m"], tree["tied"], **counts, far=tree["far"])

    def rate(self, alpha: float) -> float:
        """The false-alarm rate, mean over resplits."""
        return fmean(self.alarms[alpha]) / self.m

    def interval(self, alpha: float) -> tuple[float, float]:
        """The central 99 % interval of the rate of one split."""
        low, high = law(self.n, self.m, alpha).interval(1 - LEVEL)
        return low / self.m, high / self.m

    def mean_p(self, alpha: float) -> float:
        """p-value for the hypothesis that the mean rate is at most alpha."""
        return mean_rate_p_value(self.alarms[alpha], self.n, self.m, alpha)

    def law_p(self, alpha: float) -> float:
        """p-value for the hypothesis that the counts of resplits follow their distribution."""
        return distribution_p_value(uniforms(self.alarms[alpha], self.n, self.m, alpha), ties=self.tied > 0)

    def facts(self) -> dict[str, Any]:
        """Details of the set for the JSON file."""
        return {
            "set": self.name,
            "calibration_rows": self.n,
            "test_rows": self.m,
            "tied": self.tied,
            "not_resolvable": [alpha for alpha in ALPHAS if alpha not in self.alarms],
            "rate": {alpha: self.rate(alpha) for alpha in self.alarms},
            "mean_p": {alpha: self.mean_p(alpha) for alpha in self.alarms},
            "law_p": {alpha: self.law_p(alpha) for alpha in self.alarms},
            "own": self.own,
            "ordered_rate": {alpha: count / self.m for alpha, count in self.ordered.items()},
            "far_rate": self.far,
        }


def figures(sets: list[SetResult]) -> list[Figure]:
    """For each alpha: the number of sets with too few rows; for the other sets, rates and the effect of row order."""
    made = []
    for alpha in ALPHAS:
        resolvable = [one for one in sets if alpha in one.alarms]
        made.append(Figure(f"alpha = {alpha:g}: not resolvable", len(sets) - len(resolvable), f"sets of {len(sets)}"))
        if resolvable:
            made += _random_splits(resolvable, alpha) + _file_order(resolvable, alpha)
    return made


def tail_figures(sets: list[SetResult], what: str) -> list[Figure]:
    """The rate of p_value_tail at a level where it is extrapolated, over sets."""
    rates = [one.far for one in sets if one.far is not None]
    return [Figure(f"{what}, mean of {len(rates)} sets", fmean(rates), "rate", min(rates), max(rates))] if rates else []


def _random_splits(resolvable: list[SetResult], alpha: float) -> list[Figure]:
    """The mean rate and the distribution of counts, over random resplits and over the models' own splits."""
    at, rates = f"alpha = {alpha:g}", [one.rate(alpha) for one in resolvable]
    above, off = (
        int(holm(p).sum()) for p in zip(*((one.mean_p(alpha), one.law_p(alpha)) for one in resolvable), strict=True)
    )
    own, of = _own(resolvable, alpha), f"sets of {len(resolvable)}"
    own_p = distribution_p_value(own, ties=True)
    return [
        Figure(f"{at}: false alarms, mean over sets", fmean(rates), "rate", min(rates), max(rates)),
        Figure(f"{at}: mean rate above alpha", above, of, target=0),
        Figure(f"{at}: counts that do not follow their distribution", off, of, target=0),
        Figure(
            f"{at}: distribution over the own splits of {len(own)} models", own_p, "p", target=LEVEL, better="higher"
        ),
    ]


def _own(resolvable: list[SetResult], alpha: float) -> NDArray[np.float64]:
    """Uniforms of the own splits of all models and sets."""
    return np.concatenate([uniforms(one.own[alpha], one.n, one.m, alpha, seed=i) for i, one in enumerate(resolvable)])


def _file_order(resolvable: list[SetResult], alpha: float) -> list[Figure]:
    """The rate with splits in the order of the file."""
    at, rates = f"alpha = {alpha:g}, in the file's order", [one.ordered[alpha] / one.m for one in resolvable]
    outside = sum(
        not one.interval(alpha)[0] <= rate <= one.interval(alpha)[1]
        for one, rate in zip(resolvable, rates, strict=True)
    )
    return [
        Figure.of(f"{at}: false alarms", rates, "rate"),
        Figure(f"{at}: outside the {1 - LEVEL:.0%} interval of one split", outside, f"sets of {len(resolvable)}"),
    ]
