"""The last live rows of one model version, and what they say about it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from time import time
from typing import NamedTuple

import numpy as np

from vaekit.bundle.drift import Drift, DriftReference
from vaekit.bundle.grouped import AnyCalibration
from vaekit_service.model_health.held_out import Floats, HeldOutRows, LiveRows, Scores
from vaekit_service.model_health.martingale import Martingale

CHANGED = 3.0  # log10 of the evidence from which rows count as changed: by chance at most once in 1,000 epochs
SIMULATIONS = 9_999  # of the number of anomalies
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


class _Batch(NamedTuple):
    """The rows of one reply."""

    live: LiveRows
    verdicts: Floats  # (N,), the p-values of the reply
    at: float  # by time.time()

    def last(self, n: int) -> _Batch:
        """The last n rows; all if there are fewer."""
        return self if len(self.live) <= n else _Batch(self.live[-n:], self.verdicts[-n:], self.at)


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
        self._reference = DriftReference(self._held_out.p_values)
        self._martingale = Martingale(self._held_out, self._rng)
        self._batches: deque[_Batch] = deque()

    def add(self, scored: Scores, verdicts: Floats, at: float) -> None:
        """Add the next rows; the oldest beyond the window's size leave it.

        Args:
            scored: their scores, N rows.
            verdicts: the p-values of the reply, (N,).
            at: when they were scored, by time.time().
        """
        batch = _Batch(self._held_out.live(scored), verdicts, at)
        self._martingale.add(batch.live)
        self._batches.append(batch.last(self._size))
        surplus = sum(len(each.live) for each in self._batches) - self._size
        while surplus > 0:
            oldest = self._batches.popleft()
            surplus -= len(oldest.live)
            if surplus < 0:
                self._batches.appendleft(oldest.last(-surplus))

    def figures(self) -> Figures:
        """The figures of the window, which has at least one row."""
        verdicts = np.concatenate([each.verdicts for each in self._batches])
        novel = np.concatenate([each.live.novel for each in self._batches])
        distinct = np.unique(np.concatenate([each.live.p_values for each in self._batches]), return_counts=True)
        anomalies, n = int(np.count_nonzero(verdicts <= self._alpha)), len(verdicts)
        low, high = wilson_interval(anomalies, n)
        return Figures(
            rows=n,
            seconds=max(0.0, time() - self._batches[0].at),
            alpha=self._alpha,
            anomaly_rate=anomalies / n,
            anomaly_rate_low=low,
            anomaly_rate_high=high,
            anomaly_rate_p_value=self._p_value_of(anomalies),
            novel_rate=float(novel.mean()),
            drift=self._reference.drift(*distinct),
            log10_evidence=self._martingale.log10_evidence,
        )

    def _p_value_of(self, anomalies: int) -> float:
        """P(as many anomalies or more) without a change, by simulation.

        The true false-alarm rate of a set of n held-out rows is distributed as Beta(k, n + 1 - k), k = floor(alpha
        (n + 1)): see vaekit.bundle.thresholds. Given that rate, the number of anomalies is binomial.
        """
        simulated = np.zeros(SIMULATIONS, dtype=np.int64)
        sets = np.concatenate([each.live.sets for each in self._batches])
        for one, rows in zip(*np.unique(sets, return_counts=True), strict=True):
            n = self._held_out.scores[int(one)].size
            if k := math.floor(self._alpha * (n + 1) + 1e-9):
                simulated += self._rng.binomial(rows, self._rng.beta(k, n + 1 - k, SIMULATIONS))
        return float(1 + np.count_nonzero(simulated >= anomalies)) / (1 + SIMULATIONS)


def wilson_interval(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a rate, from `count` of n independent rows (Wilson 1927)."""
    rate, z2 = count / n, _Z * _Z
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)
