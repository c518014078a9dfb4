"""Widens prediction intervals so that they contain the stated share of held-out cells.

n rows, k cells of each; raw units. The model's p(x_d | the rest) is often too narrow, because its posterior is as
narrow as if the cell were observed. One factor for all smooth columns widens it, by split conformal prediction:

    t = (x - expected) / (high - expected) above, (expected - x) / (expected - low) below     of held-out cells
    factor = the ceil(COVERAGE (n + 1))-th smallest t, at least 1
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.runtime.explain.predict import COVERAGE, Predicted
from vaekit.runtime.results import Array

SMOOTH = ("real", "positive", "fraction")  # continuous kinds, whose intervals can be widened
_LEAST = 1e-300


def factor_of(found: Predicted, which: NDArray[np.intp], values: Array, spec: VectorSpec | ImageSpec) -> float:
    """The factor that makes intervals contain the share COVERAGE of such cells; 1 if no column can be widened.

    Args:
        found: predictions of held-out cells, each made without the cell.
        which: features of the cells, (n, k).
        values: values of the cells; NaN if missing.
        spec: the model's input spec.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x, middle, low, high = (_straight(a, which, spec) for a in (values, found.expected, found.low, found.high))
        t = np.where(x > middle, (x - middle) / (high - middle), (middle - x) / (middle - low))
    counted = np.sort(t[_smooth(which, spec) & np.isfinite(t)])
    if not len(counted):
        return 1.0
    return max(1.0, float(counted[min(len(counted), int(np.ceil(COVERAGE * (len(counted) + 1)))) - 1]))


def widened(found: Predicted, which: NDArray[np.intp], spec: VectorSpec | ImageSpec, factor: float) -> Predicted:
    """Intervals of smooth columns widened by the factor, within their valid range; all others unchanged."""
    middle, smooth = _straight(found.expected, which, spec), _smooth(which, spec)

    def moved(end: Array) -> Array:
        return np.where(smooth, _back(middle + factor * (_straight(end, which, spec) - middle), which, spec), end)

    return replace(found, low=moved(found.low), high=moved(found.high))


def _is(which: NDArray[np.intp], spec: VectorSpec | ImageSpec, *kinds: str) -> NDArray[np.bool_]:
    """Whether the cells are in columns of these kinds, (n, k)."""
    if isinstance(spec, ImageSpec):
        return np.zeros(which.shape, dtype=bool)
    of_kind: NDArray[np.bool_] = np.array([column.kind in kinds for column in spec.columns])[which]
    return of_kind


def _smooth(which: NDArray[np.intp], spec: VectorSpec | ImageSpec) -> NDArray[np.bool_]:
    return _is(which, spec, *SMOOTH)


def _straight(values: Array, which: NDArray[np.intp], spec: VectorSpec | ImageSpec) -> Array:
    """Values on the scale of the model: the logarithm for positive columns."""
    positive = _is(which, spec, "positive")
    return np.where(positive, np.log(np.where(positive, np.maximum(values, _LEAST), 1.0)), values)


def _back(values: Array, which: NDArray[np.intp], spec: VectorSpec | ImageSpec) -> Array:
    positive, fraction = _is(which, spec, "positive"), _is(which, spec, "fraction")
    raw = np.where(positive, np.exp(np.where(positive, np.clip(values, -700.0, 700.0), 0.0)), values)
    return np.where(fraction, np.clip(raw, 0.0, 1.0), raw)
