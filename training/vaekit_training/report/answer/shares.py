"""Shares of rows with their exact intervals, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass

from vaekit.bundle.intervals import clopper_pearson
from vaekit.bundle.manifest import Metric

PERCENT = "\u00a0%"  # with a space that does not break the line


@dataclass(frozen=True)
class Share:
    """`hits` of n rows."""

    hits: int
    n: int

    @classmethod
    def of(cls, metric: Metric | None) -> Share | None:
        """The share that a metric of the manifest states; None if there is none."""
        return None if metric is None or not metric.n else cls(round(metric.value * metric.n), metric.n)

    @property
    def value(self) -> float:
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the rate, for independent rows."""
        return clopper_pearson(self.hits, self.n)

    def sentence(self, things: str, *, independent: bool = True) -> str:
        """The counts and the interval as text, without a full stop."""
        said = f"{self.hits:,} of {self.n:,} {things}"
        low, high = self.interval
        return f"{said}; 95{PERCENT} interval {percent(low)} to {percent(high)}" if independent else said


def percent(share: float) -> str:
    """A share as text: "4.2 %", "95 %", "99.8 %"; only 0 and 1 are written as 0 % and 100 %."""
    p = 100.0 * share
    if p in (0.0, 100.0) or 10.0 <= p <= 99.0:
        return f"{p:.0f}{PERCENT}"
    if p > 99.0:
        return f"over 99.9{PERCENT}" if p > 99.94 else f"{p:.1f}{PERCENT}"
    return f"{p:.2g}{PERCENT}"
