"""False alarms on windows of new series: at the rate alpha if series are alike, above it if each has its own level."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.bundle import Calibration
from vaekit_training.data.load import Rows, of_columns
from vaekit_training.data.split import split
from vaekit_training.sections import DataConfig, LikelihoodConfig

ALPHA, RUNS, STEPS = 0.1, 200, 2000
CONFIG = DataConfig(source="memory", window=2, series_column="s", split="group:s")


def windows(rng: np.random.Generator, series: int, steps: int, spread: float) -> Rows:
    """Windows of series of noise around levels with this standard deviation."""
    levels = rng.normal(0, spread, series)
    x = (levels[:, None] + rng.standard_normal((series, steps))).ravel()
    columns = {"x": x, "s": np.repeat(np.arange(series), steps)}
    return of_columns(columns, np.zeros(len(x), dtype=bool), config=CONFIG, likelihood=LikelihoodConfig())


def false_alarms(series: int, spread: float) -> float:
    """The mean rate over RUNS, with the squared Mahalanobis distance from the training windows as the score."""
    rates = []
    for seed in range(RUNS):
        rng = np.random.default_rng((seed, series))
        rows = windows(rng, series, STEPS // series, spread)
        parts = split(rows, CONFIG, seed)
        train = rows.x[parts.train]
        precision = np.linalg.inv(np.cov(train.T))
        score = [
            np.einsum("ni,ij,nj->n", x - train.mean(0), precision, x - train.mean(0))
            for x in (rows.x[parts.calibration], windows(rng, 60, 4, spread).x)
        ]
        rates.append(float((Calibration.of(score[0]).p_value(score[1]) <= ALPHA).mean()))
    return float(np.mean(rates))


@pytest.mark.parametrize(
    ("series", "spread", "low", "high"),
    [(10, 0.0, 0.09, 0.11), (100, 5.0, 0.09, 0.12), (20, 5.0, 0.11, 0.17), (10, 5.0, 0.15, 0.24)],
)
def test_few_calibration_series_with_their_own_levels_give_more_false_alarms(
    series: int, spread: float, low: float, high: float
) -> None:
    assert low < false_alarms(series, spread) < high
