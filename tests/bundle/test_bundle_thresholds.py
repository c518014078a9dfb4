"""Thresholds and false-alarm rates at each alpha, against exact ranks and known rates."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.bundle import Calibration
from vaekit.bundle.calibration import rows_to_resolve
from vaekit.bundle.thresholds import ALPHAS, COVERAGE, thresholds
from vaekit.errors import InputError


@given(n=st.integers(1, 2000), alpha=st.sampled_from(["0.001", "0.005", "0.01", "0.05", "0.1", "0.25", "0.3", "0.9"]))
def test_the_rank_is_exactly_the_floor_of_alpha_times_n_plus_1(n: int, alpha: str) -> None:
    k = int(Fraction(alpha) * (n + 1))
    assert Calibration.of(np.zeros(n)).rank(float(alpha)) == k


@given(st.floats(1e-4, 0.999))
def test_rows_to_resolve_is_the_smallest_number_that_resolves_alpha(alpha: float) -> None:
    n = rows_to_resolve(alpha)
    assert 1 / (n + 1) <= alpha
    assert n == 1 or 1 / n > alpha


def test_rows_to_resolve_refuses_an_alpha_outside_0_to_1() -> None:
    with pytest.raises(InputError, match="alpha: 0 is not between 0 and 1"):
        rows_to_resolve(0)


@pytest.mark.parametrize("n", [5, 72, 199, 2000])
def test_thresholds_agree_with_verdicts_and_are_null_if_alpha_is_not_resolvable(n: int) -> None:
    calibration = Calibration.of(np.random.default_rng(0).normal(size=n))
    found = thresholds(calibration)
    assert [one.alpha for one in found] == list(ALPHAS)
    for one in found:
        if one.alpha < 1 / (n + 1):
            assert (one.rank, one.score, one.rate_low, one.rate_high) == (0, None, None, None)
            continue
        assert one.score == calibration.threshold(one.alpha)
        assert (calibration.scores > one.score).sum() == one.rank - 1
        assert one.rate_low < one.rank / (n + 1) < one.rate_high


@pytest.mark.parametrize("n", [30, 1000])
def test_the_interval_contains_the_true_rate_in_95_percent_of_calibrations(n: int) -> None:
    """For uniform scores the true false-alarm rate of a threshold t is 1 - t."""
    rng, sets = np.random.default_rng(0), 2000
    intervals = thresholds(Calibration.of(rng.uniform(size=n)))
    drawn = np.sort(rng.uniform(size=(sets, n)))
    for one in intervals:
        if one.score is None:
            continue
        rates = 1 - drawn[:, n - one.rank]  # of each calibration's own threshold
        inside = ((rates >= one.rate_low) & (rates <= one.rate_high)).mean()
        assert inside == pytest.approx(COVERAGE, abs=4 * np.sqrt(0.05 * 0.95 / sets))
        assert rates.mean() == pytest.approx(one.rank / (n + 1), abs=4 * rates.std() / np.sqrt(sets))
        assert one.rank / (n + 1) <= one.alpha
