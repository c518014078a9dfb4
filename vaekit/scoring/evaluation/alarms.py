"""Counts alarms on labelled rows: anomalies found and normal rows flagged at one false-alarm rate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.scoring.feedback.rates import Rate

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Alarms:
    """The verdicts at alpha beside the labels."""

    alpha: float
    found: Rate  # share of the anomalies that are flagged
    false_alarms: Rate  # share of the normal rows that are flagged
    reason: str | None  # why no row can be flagged at this alpha

    @classmethod
    def of(cls, flagged: Marks, anomalous: Marks, alpha: float, reason: str | None) -> Alarms:
        """Count verdicts (N,) by labels (N,)."""
        found, false_alarms = (Rate.of(int(flagged[rows].sum()), int(rows.sum())) for rows in (anomalous, ~anomalous))
        return cls(alpha, found, false_alarms, reason)

    def sentence(self) -> str:
        """Both rates with their exact 95 % intervals, or why there are none."""
        if self.reason is not None:
            return f"no alarms at alpha = {self.alpha:g}: {self.reason}"
        found, false = _words(self.found, "anomalies found"), _words(self.false_alarms, "normal rows flagged")
        return f"at alpha = {self.alpha:g}: {found}; {false}"

    def tree(self) -> dict[str, Any]:
        """As JSON."""
        counts = {"alpha": self.alpha, "found": asdict(self.found), "false_alarms": asdict(self.false_alarms)}
        return counts if self.reason is None else counts | {"no_anomalies": self.reason}


def _words(rate: Rate, what: str) -> str:
    assert rate.value is not None, "both classes have rows"
    assert rate.low is not None
    assert rate.high is not None
    low, value, high = (f"{100 * share:.3g}" for share in (rate.low, rate.value, rate.high))
    return f"{rate.hits:,} of {rate.n:,} {what} ({value} %, 95 % interval {low} to {high} %)"
