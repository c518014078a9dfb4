"""What /models/{name}/calibration says: the held-out scores of a model as histograms with round edges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.calibration import Calibration
from vaekit.bundle.folds import FoldCalibration, UngroupedCalibration, guarantee
from vaekit.bundle.grouped import AnyCalibration, GroupedCalibration, every_row
from vaekit.client import wire
from vaekit.runtime import Model

Floats = NDArray[np.float64]

MAX_BINS = 50
LEAST_STEP = 0.01  # nats, and share of the score: width of a bin
MAX_THRESHOLDS = 25
LARGEST_ALPHA = 0.5  # of a threshold
FAR = 3.0  # interquartile ranges above the upper quartile; a few higher scores would leave no room for the others


def calibration_scores(model: Model) -> dict[str, object]:
    """The fields of wire.CalibrationScores."""
    named = {"model": model.manifest.name, "version": model.manifest.version}
    found = model.calibration()
    if isinstance(found, str):
        return {**named, "guarantee": None, "reason": found, "groups": []}
    every = every_row(found)
    factor = guarantee(len(every.folds)) if isinstance(every, FoldCalibration) else 1.0
    groups = [_histogram(name, each) for name, each in _each(found)]
    return wire.CalibrationScores(**named, guarantee=factor, groups=groups).model_dump(mode="json")


def _each(calibration: AnyCalibration) -> list[tuple[str | None, UngroupedCalibration]]:
    if not isinstance(calibration, GroupedCalibration):
        return [(None, calibration)]
    return [(str(calibration.groups.names[node]), each) for node, each in calibration.each.items()]


def _histogram(group: str | None, calibration: UngroupedCalibration) -> wire.HeldOutScores:
    folds: Sequence[Calibration] = calibration.folds if isinstance(calibration, FoldCalibration) else (calibration,)
    scores = np.concatenate([fold.scores for fold in folds])  # (n - novel,), nats
    scores.sort(kind="stable")  # each fold is sorted, so this takes time in proportion to n
    edges = round_edges(scores)
    below = np.searchsorted(scores, edges)  # (B + 1,)
    return wire.HeldOutScores(
        group=group,
        rows=sum(fold.n for fold in folds),
        fold_rows=[fold.n for fold in folds] if len(folds) > 1 else None,
        smallest_alpha=calibration.smallest_alpha,
        edges=edges.tolist(),
        counts=np.diff(below).tolist(),
        above=int(scores.size - below[-1]),
        novel=sum(fold.novel_scores.size for fold in folds),
        thresholds=_thresholds(calibration),
    )


def round_edges(scores: Floats) -> Floats:
    """The edges of bins of equal width for these scores, (B + 1,), ascending; multiples of 1, 2 or 5 times 10^k.

    They cover all scores up to FAR above the upper quartile, by at most MAX_BINS bins, and about 2 n^(1/3) of them
    (Rice's rule).
    """
    if not scores.size:
        return np.array([0.0, 1.0])
    lowest, lower, upper, highest = np.quantile(scores, [0.0, 0.25, 0.75, 1.0]).tolist()
    top = min(highest, upper + FAR * (upper - lower)) if upper > lower else highest
    wanted = min(20, math.ceil(2 * scores.size ** (1 / 3)))  # rounding makes up to 2.5 times as many
    step = _round_down(max((top - lowest) / wanted, LEAST_STEP * max(1.0, abs(lowest))))
    first, last = math.floor(lowest / step), math.floor(top / step) + 1
    first -= first * step > lowest  # quotient and product are rounded, each in its own direction
    last += last * step <= top
    return np.arange(first, last + 1) * step


def _round_down(x: float) -> float:
    power = 10.0 ** math.floor(math.log10(x))
    return max(factor * power for factor in (1.0, 2.0, 5.0) if factor * power <= x * (1 + 1e-9))


def _thresholds(calibration: UngroupedCalibration) -> list[wire.ScoreThreshold]:
    smallest = calibration.smallest_alpha
    alphas = np.geomspace(smallest, LARGEST_ALPHA, MAX_THRESHOLDS) if smallest < LARGEST_ALPHA else np.empty(0)
    found = []
    for alpha in alphas.tolist():
        score = float(np.median(calibration.threshold(alpha)))
        found.append(wire.ScoreThreshold(alpha=alpha, score=score if math.isfinite(score) else None))
    return found
