"""Widened intervals contain the stated share of cells."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column, ImageSpec
from vaekit.runtime.explain.intervals import factor_of, widened
from vaekit.runtime.explain.predict import COVERAGE, Predicted

SPEC = VectorSpec(
    columns=tuple(Column(name=kind, kind=kind) for kind in ("real", "positive", "fraction", "count", "binary"))
)


def predictions_and_values(
    n: int, feature: int, middle: float, half: float, seed: int = 0
) -> tuple[Predicted, np.ndarray, np.ndarray]:
    """n cells of one column with the same prediction, whose values vary twice as much as predicted."""
    which, one = np.full((n, 1), feature), np.ones((n, 1))
    x = middle + 2 * half / 1.645 * np.random.default_rng(seed).standard_normal((n, 1))
    raw = np.exp if feature == 1 else np.asarray  # a positive column is modelled on its logarithm
    return Predicted(*(raw(one * a) for a in (middle, middle - half, middle + half)), one), which, raw(x)


@pytest.mark.parametrize("feature", [0, 1, 2])
def test_widened_intervals_cover_new_rows(feature):
    found, which, x = predictions_and_values(2000, feature, 0.5, 0.1)
    factor = factor_of(found, which, x, SPEC)
    assert factor == pytest.approx(2.0, abs=0.1)
    wide = widened(found, which, SPEC, np.array(factor))
    other = predictions_and_values(2000, feature, 0.5, 0.1, seed=1)[2]
    assert np.mean((wide.low <= other) & (other <= wide.high)) == pytest.approx(COVERAGE, abs=0.02)


def test_the_factor_leaves_at_most_a_tenth_of_exchangeable_cells_outside():
    """Each cell is left out in turn; the factor from the others must leave at most a tenth outside."""
    found, which, x = predictions_and_values(60, 0, 0.0, 1.0)
    outside = 0
    for i in range(60):
        rest = np.delete(np.arange(60), i)
        part = Predicted(*(a[rest] for a in vars(found).values()))
        outside += abs(x[i, 0]) > factor_of(part, which[rest], x[rest], SPEC)
    assert outside <= 6


def test_discrete_columns_keep_their_intervals_and_fractions_stay_in_0_to_1():
    for feature in (3, 4):
        found, which, x = predictions_and_values(50, feature, 3.0, 1.0)
        assert factor_of(found, which, x, SPEC) == 1.0
        np.testing.assert_array_equal(widened(found, which, SPEC, np.array(5.0)).low, found.low)
    found, which, _ = predictions_and_values(5, 2, 0.9, 0.2)
    wide = widened(found, which, SPEC, np.array(9.0))
    assert (wide.low.min(), wide.high.max()) == (0.0, 1.0)
    found, which, _ = predictions_and_values(5, 1, 0.9, 0.2)
    assert (widened(found, which, SPEC, np.array(1e6)).low >= 0).all()


def test_missing_cells_and_pixels_do_not_affect_the_factor():
    found, which, x = predictions_and_values(40, 0, 0.0, 1.0)
    gaps = np.where(np.arange(40)[:, None] % 2, x, np.nan)
    kept = np.arange(40) % 2 == 1
    part = Predicted(*(a[kept] for a in vars(found).values()))
    assert factor_of(found, which, gaps, SPEC) == factor_of(part, which[kept], x[kept], SPEC)
    assert factor_of(found, which, x, ImageSpec(height=2, width=2, channels=1)) == 1.0
