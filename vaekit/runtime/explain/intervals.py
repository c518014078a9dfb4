"""Widens prediction intervals so that they contain the stated share of held-out cells.

n rows, k cells per row; raw units. The model's p(x_d | other cells) is often too narrow, because its posterior is as
narrow as if the cell were observed. Intervals of continuous columns are widened by one factor, which is found by split
conformal prediction on n held-out cells:

    t = (x - expected) / (high - expected) if x > expected, else (expected - x) / (expected - low)
    factor = the ceil(COVERAGE (n + 1))-th smallest t, at least 1

A model that predicts each cell from the others has one factor for each column, which may also be below 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.runtime.explain.predict import COVERAGE, Predicted
from vaekit.runtime.results import Array

SMOOTH = ("real", "positive", "fraction")  # continuous kinds, whose intervals can be widened
_TINY = 1e-300  # replaces values whose logarithm is not finite


def factor_of(found: Predicted, which: NDArray[np.intp], values: Array, spec: VectorSpec | ImageSpec) -> float:
    """The factor by which intervals must be widened to contain the share COVERAGE of cells.

    It is 1 if no column can be widened.

    Args:
        found: predictions of held-out cells, each made without the cell.
        which: features of the cells, (n, k).
        values: values of the cells, (n, k); NaN if missing.
        spec: the model's input spec.
    """
    return max(1.0, _quantile(ratios(found, which, values, spec).ravel()))


def ratios(found: Predicted, which: NDArray[np.intp], values: Array, spec: VectorSpec | ImageSpec) -> Array:
    """t of each cell, (n, k); NaN where it is missing, or its column cannot be widened. Arguments as in factor_of."""
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = (values, found.expected, found.low, found.high)
        x, middle, low, high = (_to_model_scale(a, which, spec) for a in raw)
        t = np.where(x > middle, (x - middle) / (high - middle), (middle - x) / (middle - low))
    return np.where(_smooth(which, spec) & np.isfinite(t), t, np.nan)


def factors(of_cells: Array) -> Array:
    """The factor of each column, (D,), from t of held-out cells, (n, D); it may be below 1."""
    return np.array([_quantile(column) for column in of_cells.T])


def _quantile(t: Array) -> float:
    """The ceil(COVERAGE (n + 1))-th smallest of n values t that are not NaN; 1 if there are none."""
    counted = np.sort(t[~np.isnan(t)])
    if not len(counted):
        return 1.0
    return float(counted[min(len(counted), int(np.ceil(COVERAGE * (len(counted) + 1)))) - 1])


def widened(
    found: Predicted, which: NDArray[np.intp], spec: VectorSpec | ImageSpec, factor: NDArray[np.float64]
) -> Predicted:
    """Predictions with the intervals of continuous columns widened, within the columns' valid range.

    Args:
        found, which, spec: as in factor_of.
        factor: one for all columns, (), or one for each, (D,).
    """
    middle, smooth = _to_model_scale(found.expected, which, spec), _smooth(which, spec)
    by_cell = factor[which] if factor.ndim else factor

    def moved(end: Array) -> Array:
        wide = middle + by_cell * (_to_model_scale(end, which, spec) - middle)
        return np.where(smooth, _to_raw_scale(wide, which, spec), end)

    return replace(found, low=moved(found.low), high=moved(found.high))


def _has_kind(which: NDArray[np.intp], spec: VectorSpec | ImageSpec, *kinds: str) -> NDArray[np.bool_]:
    """Whether the cells are in columns of these kinds, (n, k)."""
    if isinstance(spec, ImageSpec):
        return np.zeros(which.shape, dtype=bool)
    of_kind: NDArray[np.bool_] = np.array([column.kind in kinds for column in spec.columns])[which]
    return of_kind


def _smooth(which: NDArray[np.intp], spec: VectorSpec | ImageSpec) -> NDArray[np.bool_]:
    return _has_kind(which, spec, *SMOOTH)


def _to_model_scale(values: Array, which: NDArray[np.intp], spec: VectorSpec | ImageSpec) -> Array:
    """Values on the scale on which the model is symmetric: the logarithm for positive columns."""
    positive = _has_kind(which, spec, "positive")
    return np.where(positive, np.log(np.where(positive, np.maximum(values, _TINY), 1.0)), values)


def _to_raw_scale(values: Array, which: NDArray[np.intp], spec: VectorSpec | ImageSpec) -> Array:
    positive, fraction = _has_kind(which, spec, "positive"), _has_kind(which, spec, "fraction")
    raw = np.where(positive, np.exp(np.where(positive, np.clip(values, -700.0, 700.0), 0.0)), values)
    return np.where(fraction, np.clip(raw, 0.0, 1.0), raw)
