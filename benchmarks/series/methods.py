"""The compared detectors of series: fitted on the first part, and calibrated on the same held-out windows.

Each gives every later time step a score (higher is more anomalous) and a p-value. T steps, windows of W values.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.series.nab import LabelledSeries
from vaekit import Detector
from vaekit.bundle import Calibration
from vaekit_training.data.load import of_array
from vaekit_training.data.split import split
from vaekit_training.sections import DataConfig

Array = NDArray[np.float64]
NEIGHBOURS = 5


@dataclass(frozen=True)
class StepScores:
    """Of the tested steps, (n,) each."""

    score: Array
    p_value: Array


Method = Callable[[LabelledSeries, int, int], StepScores]  # series, W, seed
OfWindows = Callable[[Array, Array, int], Array]  # train (n, W), windows to score (m, W), seed -> scores (m,)


def vaekit_windows(series: LabelledSeries, width: int, seed: int) -> StepScores:
    """vaekit.Detector(window=W) with its defaults."""
    tested = series.x[series.fitted - width + 1 :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few windows for a small alpha, columns of few values
        detector = Detector(window=width, random_state=seed, device="cpu", alpha=0.5).fit(series.x[: series.fitted])
    return StepScores(-detector.score_samples(tested)[width - 1 :], detector.p_value(tested)[width - 1 :])


def vaekit_rows(series: LabelledSeries, width: int, seed: int) -> StepScores:  # noqa: ARG001 - as vaekit_windows
    """The same recipe without a window: each value by itself; calibration rows are later than training rows."""
    x = np.column_stack([series.x, np.arange(len(series.x))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {"data.split": "time:x1"}
        detector = Detector(random_state=seed, device="cpu", alpha=0.5, settings=settings).fit(x[: series.fitted])
    return StepScores(-detector.score_samples(x[series.fitted :]), detector.p_value(x[series.fitted :]))


def of_windows(scores: OfWindows) -> Method:
    """A detector of rows, on standardised windows."""

    def method(series: LabelledSeries, width: int, seed: int) -> StepScores:
        rows = of_array(series.x[: series.fitted], config=(config := DataConfig(source="memory", window=width)))
        parts = split(rows, config, seed)
        train = rows.x[np.union1d(parts.train, parts.validation)]
        windows = sliding_window_view(series.x[series.fitted - width + 1 :, 0], width)
        mean, scale = train.mean(), train.std() or 1.0
        every = np.concatenate([rows.x[parts.calibration], windows])
        found = scores((train - mean) / scale, (every - mean) / scale, seed)
        held_out, tested = found[: len(parts.calibration)], found[len(parts.calibration) :]
        return StepScores(tested, Calibration.of(held_out).p_value(tested))

    return method


def _neighbours(train: Array, windows: Array, seed: int) -> Array:  # noqa: ARG001
    """Mean squared distance to the five nearest training windows."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train))).fit(train)
    return np.asarray((found.kneighbors(windows)[0] ** 2).mean(axis=1))


def _forest(train: Array, windows: Array, seed: int) -> Array:
    from sklearn.ensemble import IsolationForest

    return np.asarray(-IsolationForest(random_state=seed).fit(train).score_samples(windows))


def _z_score(train: Array, windows: Array, seed: int) -> Array:  # noqa: ARG001 - it has nothing to fit
    """Distance of the last value from the mean of the W - 1 before it, in their standard deviations."""
    before = windows[:, :-1]
    return np.asarray(np.abs(windows[:, -1] - before.mean(axis=1)) / (before.std(axis=1) + 1e-3))


METHODS: dict[str, Method] = {
    "vaekit, windows": vaekit_windows,
    "vaekit, rows": vaekit_rows,
    "kNN, windows": of_windows(_neighbours),
    "IForest, windows": of_windows(_forest),
    "rolling z-score": of_windows(_z_score),
}
