"""Measures the false-alarm rate of the default recipe on new stretches of stationary AR(1) series.

x_t = phi x_(t-1) + sqrt(1 - phi^2) e_t,   e_t ~ N(0, 1)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.folds import calibration, scored
from vaekit.bundle import Calibration
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.run import run

STEPS, NEW = 2_000, 1_000
PHIS = (0.0, 0.5, 0.9)


@dataclass(frozen=True)
class FalseAlarms:
    """The rate over runs with one phi: the mean, its standard error, and the rate that exchangeability would give."""

    phi: float
    windows: float  # mean number of calibration windows
    rate: float
    standard_error: float
    expected: float  # floor(alpha (n + 1)) / (n + 1)
    overlapping: float  # the rate if all calibration windows were used, overlapping ones included
    deviation: float  # standard deviation of the rate of one run
    deviation_overlapping: float


def ar1(rng: np.random.Generator, n: int, phi: float) -> NDArray[np.float64]:
    """A stationary series (n, 1) with variance 1."""
    x, noise = np.empty(n), rng.standard_normal(n) * np.sqrt(1 - phi**2)
    x[0] = rng.standard_normal()
    for t in range(1, n):
        x[t] = phi * x[t - 1] + noise[t]
    return x[:, None]


def false_alarms(phi: float, *, width: int, alpha: float, runs: int) -> FalseAlarms:
    """Each run trains and calibrates on one series, and counts p <= alpha on another one."""
    found = np.array([_run(phi, width, alpha, seed) for seed in range(runs)])
    n, rate, expected, overlapping = found.mean(axis=0)
    deviation = found.std(axis=0, ddof=1)
    error = float(deviation[1] / np.sqrt(runs))
    return FalseAlarms(phi, n, rate, error, expected, overlapping, float(deviation[1]), float(deviation[3]))


def _run(phi: float, width: int, alpha: float, seed: int) -> tuple[float, float, float, float]:
    rng = np.random.default_rng((seed, int(100 * phi)))
    tree = {"name": "ar1", "data": {"source": "memory", "window": width}, "likelihood": {"name": "auto"}}
    config = make_config({**tree, "training": {"seed": seed}})
    trained = run(config, device="cpu", rows=of_array(ar1(rng, STEPS, phi), config=config.data))
    new = of_array(ar1(rng, NEW, phi), config=config.data).x
    held_out, scores = calibration(trained), scored(trained, new).score
    assert isinstance(held_out, Calibration)
    rank = np.floor(alpha * (held_out.n + 1)) / (held_out.n + 1)
    end = trained.rows.place.end[trained.splits.calibration]  # type: ignore[union-attr]
    every = np.flatnonzero((trained.rows.place.end >= end.min()) & (trained.rows.place.end <= end.max()))  # type: ignore[union-attr]
    overlapping = Calibration.of(scored(trained, trained.rows.x[every]).score)
    rates = [float((one.p_value(scores) <= alpha).mean()) for one in (held_out, overlapping)]
    return float(held_out.n), rates[0], float(rank), rates[1]
