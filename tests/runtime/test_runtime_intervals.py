"""Intervals that hold the share of held-out cells that they say."""

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


def told(n: int, feature: int, middle: float, half: float, seed: int = 0) -> tuple[Predicted, np.ndarray, np.ndarray]:
    """n cells of one column, predicted alike, and what stands there: twice as wide as it was predicted."""
    which, one = np.full((n, 1), feature), np.ones((n, 1))
    x = middle + 2 * half / 1.645 * np.random.default_rng(seed).standard_normal((n, 1))
    raw = np.exp if feature == 1 else np.asarray  # a positive column is modelled on its logarithm
    return Predicted(*(raw(one * a) for a in (middle, middle - half, middle + half)), one), which, raw(x)


@pytest.mark.parametrize("feature", [0, 1, 2])
def test_widened_intervals_hold_other_rows_of_the_same_kind(feature):
    found, which, x = told(2000, feature, 0.5, 0.1)
    factor = factor_of(found, which, x, SPEC)
    assert factor == pytest.approx(2.0, abs=0.1)
    wide = widened(found, which, SPEC, factor)
    other = told(2000, feature, 0.5, 0.1, seed=1)[2]
    assert np.mean((wide.low <= other) & (other <= wide.high)) == pytest.approx(COVERAGE, abs=0.02)


def test_of_n_held_out_cells_and_one_more_the_factor_leaves_at_most_a_tenth_outside():
    """Exchangeability at work: leave each cell out in turn, and count how often it is outside."""
    found, which, x = told(60, 0, 0.0, 1.0)
    outside = 0
    for i in range(60):
        rest = np.delete(np.arange(60), i)
        part = Predicted(*(a[rest] for a in vars(found).values()))
        outside += abs(x[i, 0]) > factor_of(part, which[rest], x[rest], SPEC)
    assert outside <= 6


def test_columns_with_steps_keep_their_intervals_and_a_fraction_its_range():
    for feature in (3, 4):
        found, which, x = told(50, feature, 3.0, 1.0)
        assert factor_of(found, which, x, SPEC) == 1.0
        np.testing.assert_array_equal(widened(found, which, SPEC, 5.0).low, found.low)
    found, which, _ = told(5, 2, 0.9, 0.2)
    wide = widened(found, which, SPEC, 9.0)
    assert (wide.low.min(), wide.high.max()) == (0.0, 1.0)
    found, which, _ = told(5, 1, 0.9, 0.2)
    assert (widened(found, which, SPEC, 1e6).low >= 0).all()


def test_missing_cells_and_pixels_say_nothing_of_the_width():
    found, which, x = told(40, 0, 0.0, 1.0)
    gaps = np.where(np.arange(40)[:, None] % 2, x, np.nan)
    kept = np.arange(40) % 2 == 1
    part = Predicted(*(a[kept] for a in vars(found).values()))
    assert factor_of(found, which, gaps, SPEC) == factor_of(part, which[kept], x[kept], SPEC)
    assert factor_of(found, which, x, ImageSpec(height=2, width=2, channels=1)) == 1.0
