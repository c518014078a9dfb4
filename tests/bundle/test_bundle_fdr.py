"""Benjamini-Hochberg: its definition counted out, and its promise on p-values that share one calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from vaekit.bundle import Calibration, benjamini_hochberg
from vaekit.bundle.discoveries import discovery_cut
from vaekit.errors import InputError

# Few distinct values, so that ties are common; NaN is not judged.
P_VALUES = st.lists(st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3, 1.0, float("nan")]), max_size=30)


@given(P_VALUES, st.floats(0.01, 0.99))
def test_the_cut_is_the_highest_p_value_at_most_its_rank_times_q_over_m(p_values, q):
    judged = sorted(p for p in p_values if p == p)
    passing = [p for i, p in enumerate(judged, 1) if p <= q * i / len(judged)]
    cut, mask = benjamini_hochberg(p_values, q)
    assert cut == max(passing, default=0.0)
    assert mask.tolist() == [bool(passing) and p <= max(passing) for p in p_values]


@given(P_VALUES, st.floats(0.01, 0.99))
def test_counts_of_p_values_give_the_cut_of_the_rows_they_count(p_values, q):
    values, counts = np.unique([p for p in p_values if p == p], return_counts=True)
    assert discovery_cut(values, counts, q) == benjamini_hochberg(p_values, q).cut


@pytest.mark.parametrize("q", [0.01, 0.1, 0.3])
def test_it_finds_what_scipy_finds(q):
    rng = np.random.default_rng(0)
    p_value = Calibration.of(rng.normal(size=999)).p_value(np.r_[rng.normal(size=500), rng.normal(4.0, size=60)])
    mask = benjamini_hochberg(p_value, q).mask
    np.testing.assert_array_equal(mask, false_discovery_control(p_value) <= q)
    assert (mask.sum() > 0) == (q > 0.01)  # at 0.01 it takes 56 rows with the smallest p-value, 1 / 1000


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(q):
    with pytest.raises(InputError, match=r"fdr: .* is not between 0 and 1"):
        benjamini_hochberg([0.5], q)


@pytest.mark.parametrize("q", [0.05, 0.2])
@pytest.mark.parametrize("anomalies", [0, 40])
def test_the_share_of_false_discoveries_is_at_most_q_on_average(q, anomalies):
    """Of normal rows and anomalies that share one calibration, a new one each time."""
    rng, normal, shares, found = np.random.default_rng(3), 160, [], []
    for _ in range(1500):
        calibration = Calibration.of(rng.normal(size=999))
        scores = np.r_[rng.normal(size=normal), rng.normal(4.0, size=anomalies)]
        mask = benjamini_hochberg(calibration.p_value(scores), q).mask
        shares.append(mask[:normal].sum() / max(mask.sum(), 1))
        found.append(mask[normal:].mean() if anomalies else 0.0)
    bound = q * normal / (normal + anomalies)
    assert np.mean(shares) <= bound + 3 * np.std(shares) / np.sqrt(len(shares))
    assert not anomalies or np.mean(found) > 0.5
