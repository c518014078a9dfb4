"""Scores are compared in one way, with a tolerance for rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vaekit.bundle.comparison import TOLERANCE, tie_ceiling, tie_floor

SCORES = st.floats(-1e12, 1e12, allow_nan=False)


@given(SCORES)
def test_the_floor_is_the_score_minus_the_tolerance(score: float) -> None:
    assert tie_floor(score) == pytest.approx(score - TOLERANCE * max(1.0, abs(score)), rel=1e-12, abs=1e-12)


@given(SCORES, SCORES)
def test_the_floor_never_falls_as_the_score_rises(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert tie_floor(low) <= tie_floor(high)


@given(SCORES)
@example(-1e-5)
@example(1.0)
@example(-1.0)
@example(0.0)
def test_a_held_out_score_counts_exactly_up_to_its_ceiling(held_out: float) -> None:
    ceiling = tie_ceiling(held_out)
    assert tie_floor(ceiling) <= held_out < tie_floor(math.nextafter(ceiling, math.inf))


@given(st.floats(-1e6, 1e6), st.floats(-5e-6, 5e-6))
def test_rounding_of_a_score_does_not_separate_it_from_an_equal_one(held_out: float, shift: float) -> None:
    score = held_out + shift * max(1.0, abs(held_out))
    assert held_out >= tie_floor(score)


def test_scores_that_differ_by_more_than_the_tolerance_are_told_apart() -> None:
    assert not np.any(np.array([10.0, -10.0, 0.5]) >= tie_floor(np.array([10.001, -9.999, 0.501])))
