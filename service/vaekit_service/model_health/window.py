"""The last live rows of one model version, and what they say about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import time

import numpy as np

from vaekit.bundle.drift import Drift, DriftReference, GroupedDriftReference
from vaekit.bundle.grouped import AnyCalibration
from vaekit_service.model_health.held_out import Floats, HeldOutRows, Ints, LiveRows, Scores
from vaekit_service.model_health.martingale import Martingale

CHANGED = 3.0  # log10 of the evidence from which rows count as changed: by chance at most once in 1,000 epochs
SIMULATIONS = 999, 9_999  # of the number of anomalies: fewest and most
MOST_DRAWS = 200_000  # of all sets together, unless that leaves fewer than the fewest simulations
_Z = 1.959964  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True)
class Figures:
    """What the last live rows say about a model version."""

    rows: int  # of the window
    seconds: float  # since the window's oldest row
    alpha: float
    anomaly_rate: float  # share of rows with p-value <= alpha
    anomaly_rate_low: float  # ends of its 95 % interval
    anomaly_rate_high: float
    anomaly_rate_p_value: float  # probability of as many anomalies or more without a change
    novel_rate: float  # share of rows unlike any training row
    drift: Drift  # between the scores of the window and of the calibration
    log10_evidence: float  # of a change, valid at every look; see martingale.py

    @property
    def reading(self) -> str:
        """What the figures say, and what to do."""
        if self.log10_evidence >= CHANGED:
            return (
                f"the rows have changed since the calibration (evidence {10**self.log10_evidence:,.0f} to 1): look at "
                "recent rows; if they are normal, run vae calibrate on them, or train again"
            )
        return self.drift.reading


class Window:
    """The last live rows of one model version.

    Args:
        calibration: of the model.
        size: rows of the window.
        alpha: false-alarm rate of the anomalies that are counted.
        seed: of the simulations and of ties.
    """

    def __init__(self, calibration: AnyCalibration, *, size: int, alpha: float, seed: int = 0) -> None:
        self._held_out, self._size, self._alpha = HeldOutRows(calibration), size, alpha
        self._rng = np.random.default_rng(seed)
        self._reference = _reference(self._held_out.p_values)
        self._martingale = Martingale(self._held_out, self._rng)
        self._live: LiveRows | None = None  # of the window, and for each row:
        self._verdicts, self._at = np.empty(0), np.empty(0)

    def add(self, scored: Scores, verdicts: Floats, at: Floats) -> None:
        """Add the next rows; the oldest beyond the window's size leave it.

        Args:
            scored: their scores, N rows.
            verdicts: the p-values of the replies, (N,).
            at: when they were scored, (N,), by time.time().
        """
        live = self._held_out.live(scored)
        self._martingale.add(live)
        self._live = (live if self._live is None else self._live.joined(live))[-self._size :]
        self._verdicts = np.concatenate([self._verdicts, verdicts])[-self._size :]
        self._at = np.concatenate([self._at, at])[-self._size :]

    def aged(self, figures: Figures) -> Figures:
        """Earlier figures as they are now, if no row has come since: an epoch of the test may be over."""
        evidence = min(figures.log10_evidence, self._martingale.log10_evidence)
        return replace(figures, seconds=self._age, log10_evidence=evidence)

    @property
    def _age(self) -> float:
        """Seconds since the oldest row; the clock may be set back."""
        return max(0.0, time() - float(self._at[0]))

    def figures(self) -> Figures:
        """The figures of the window, which has at least one row."""
        assert self._live is not None
        live, n = self._live, len(self._live)
        anomalies = int(np.count_nonzero(self._verdicts <= self._alpha))
        low, high = wilson_interval(anomalies, n)
        return Figures(
            rows=n,
            seconds=self._age,
            alpha=self._alpha,
            anomaly_rate=anomalies / n,
            anomaly_rate_low=low,
            anomaly_rate_high=high,
            anomaly_rate_p_value=self._p_value_of(anomalies, live.sets),
            novel_rate=float(live.novel.mean()),
            drift=self._reference(live.sets, live.p_values),
            log10_evidence=self._martingale.log10_evidence,
        )

    def _p_value_of(self, anomalies: int, sets: Ints) -> float:
        """P(as many anomalies or more) without a change, by simulation.

        The true false-alarm rate of a set of n held-out rows is distributed as Beta(k, n + 1 - k), k = floor(alpha
        (n + 1)): see vaekit.bundle.thresholds. Given that rate, the number of anomalies is binomial.
        """
        found, counts = np.unique(sets, return_counts=True)
        runs = int(np.clip(MOST_DRAWS // found.size, *SIMULATIONS))
        simulated = np.zeros(runs, dtype=np.int64)
        for one, rows in zip(found, counts, strict=True):
            n = self._held_out.rows[int(one)]
            if k := math.floor(self._alpha * (n + 1) + 1e-9):
                simulated += self._rng.binomial(rows, self._rng.beta(k, n + 1 - k, runs))
        return float(1 + np.count_nonzero(simulated >= anomalies)) / (1 + runs)


def _reference(held_out: Mapping[int, Floats]) -> Callable[[Ints, Floats], Drift]:
    """The function that gives the drift of rows, from their sets and p-values, (n,) each."""
    if len(held_out) > 1:
        return GroupedDriftReference(held_out).drift
    (own,) = held_out.values()
    reference = DriftReference(own)
    return lambda _, p_values: reference.drift(*np.unique(p_values, return_counts=True))


def wilson_interval(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a rate, from `count` of n independent rows (Wilson 1927)."""
    rate, z2 = count / n, _Z * _Z
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)
