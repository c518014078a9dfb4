"""Makes figures from the counts of false alarms in each set."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.laws import ALPHAS, LEVEL, departs, holm, law, too_many, uniforms
from benchmarks.report import Figure


@dataclass(frozen=True)
class Found:
    """The result of one set."""

    name: str
    n: int  # calibration rows
    m: int  # test rows
    tied: float  # share of scores that are equal to another
    alarms: dict[float, list[int]]  # by resolvable alpha, of each resplit
    own: dict[float, list[int]]  # by alpha, of each model's own split
    ordered: dict[float, int]  # by alpha, in the order of the file
    far: float | None  # rate at which p_value_tail is at most arm.FAR

    @classmethod
    def of(cls, name: str, tree: dict[str, Any]) -> Found:
        """From the JSON of an arm, whose keys are text."""
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
        return too_many(self.alarms[alpha], self.n, self.m, alpha)

    def law_p(self, alpha: float) -> float:
        """p-value for the hypothesis that the counts of resplits follow their distribution."""
        return departs(uniforms(self.alarms[alpha], self.n, self.m, alpha), ties=self.tied > 0)

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


def figures(sets: list[Found]) -> list[Figure]:
    """For each alpha: the number of sets with too few rows, and the rates and the effect of order in the others."""
    made = []
    for alpha in ALPHAS:
        told = [one for one in sets if alpha in one.alarms]
        made.append(Figure(f"alpha = {alpha:g}: not resolvable", len(sets) - len(told), f"sets of {len(sets)}"))
        if told:
            made += _kept(told, alpha) + _ordered(told, alpha)
    return made


def far(sets: list[Found], what: str) -> list[Figure]:
    """The rate of values of p_value_tail so small that they are extrapolated."""
    rates = [one.far for one in sets if one.far is not None]
    return [Figure(f"{what}, mean of {len(rates)} sets", fmean(rates), "rate", min(rates), max(rates))] if rates else []


def _kept(told: list[Found], alpha: float) -> list[Figure]:
    """The mean rate and the distribution of counts, over random resplits and over the models' own splits."""
    at, rates = f"alpha = {alpha:g}", [one.rate(alpha) for one in told]
    above, off = (
        int(holm(p).sum()) for p in zip(*((one.mean_p(alpha), one.law_p(alpha)) for one in told), strict=True)
    )
    own, of = _own(told, alpha), f"sets of {len(told)}"
    own_p = departs(own, ties=True)
    return [
        Figure(f"{at}: false alarms, mean over sets", fmean(rates), "rate", min(rates), max(rates)),
        Figure(f"{at}: mean rate above alpha", above, of, target=0),
        Figure(f"{at}: counts that depart from their law", off, of, target=0),
        Figure(f"{at}: law of {len(own)} models' own splits", own_p, "p", target=LEVEL, better="higher"),
    ]


def _own(told: list[Found], alpha: float) -> NDArray[np.float64]:
    """Uniforms of the own splits of all models and sets."""
    return np.concatenate([uniforms(one.own[alpha], one.n, one.m, alpha, seed=i) for i, one in enumerate(told)])


def _ordered(told: list[Found], alpha: float) -> list[Figure]:
    """The rate with splits in the order of the file."""
    at, rates = f"alpha = {alpha:g}, in the file's order", [one.ordered[alpha] / one.m for one in told]
    outside = sum(
        not one.interval(alpha)[0] <= rate <= one.interval(alpha)[1] for one, rate in zip(told, rates, strict=True)
    )
    return [
        Figure.of(f"{at}: false alarms", rates, "rate"),
        Figure(f"{at}: outside the {1 - LEVEL:.0%} law of one split", outside, f"sets of {len(told)}"),
    ]
