"""The Benjamini-Hochberg procedure against its definition, and its guarantee for p-values that share a calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from vaekit.bundle import Calibration, benjamini_hochberg
from vaekit.bundle.discoveries import discovery_cut, why_none
from vaekit.errors import InputError

# Few distinct values, so that ties are common; NaN is never selected.
P_VALUES = st.lists(st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3, 1.0, float("nan")]), max_size=30)


@given(P_VALUES, st.floats(0.01, 0.99))
def test_the_cut_is_the_highest_p_value_that_is_at_most_q_times_its_rank_over_m(p_values, q):
    counted = sorted(p for p in p_values if p == p)
    passing = [p for i, p in enumerate(counted, 1) if p <= q * i / len(counted)]
    cut, mask = benjamini_hochberg(p_values, q)
    assert cut == max(passing, default=0.0)
    assert mask.tolist() == [bool(passing) and p <= max(passing) for p in p_values]


@given(P_VALUES, st.floats(0.01, 0.99))
def test_the_cut_from_counts_equals_the_cut_from_rows(p_values, q):
    values, counts = np.unique([p for p in p_values if p == p], return_counts=True)
    assert discovery_cut(values, counts, q) == benjamini_hochberg(p_values, q).cut


@pytest.mark.parametrize("q", [0.01, 0.1, 0.3])
def test_it_selects_the_same_rows_as_scipy(q):
    rng = np.random.default_rng(0)
    p_value = Calibration.of(rng.normal(size=999)).p_value(np.r_[rng.normal(size=500), rng.normal(4.0, size=60)])
    mask = benjamini_hochberg(p_value, q).mask
    np.testing.assert_array_equal(mask, false_discovery_control(p_value) <= q)
    assert (mask.sum() > 0) == (q > 0.01)  # q = 0.01 needs 56 rows with the smallest p-value, 1 / 1000


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, float("nan")])
def test_a_false_discovery_rate_outside_0_to_1_is_refused(q):
    with pytest.raises(InputError, match=r"fdr: .* is not between 0 and 1"):
        benjamini_hochberg([0.5], q)


@pytest.mark.parametrize("q", [0.05, 0.2])
@pytest.mark.parametrize("anomalies", [0, 40])
def test_the_share_of_false_discoveries_is_at_most_q_on_average(q, anomalies):
    """Normal rows and anomalies share one calibration, which is new in each repetition."""
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


@pytest.mark.parametrize(
    ("m", "held_out", "q", "least", "needed"), [(3000, 800, 0.1, 38, 29_999), (1000, 99, 0.1, 100, 9999)]
)
def test_it_is_said_how_many_held_out_rows_a_discovery_needs(m, held_out, q, least, needed):
    said = why_none(m, held_out, q)
    assert f"{held_out} held-out rows are too few to find fewer than {least} of {m:,} rows" in said
    assert f"at least {needed:,} rows" in said
    smallest = 1 / (held_out + 1)
    for found, count in ((least, least), (least - 1, 0)):
        assert benjamini_hochberg([*[smallest] * found, *[1.0] * (m - found)], q).mask.sum() == count
    for n, count in ((needed, 1), (needed - 1, 0)):
        assert benjamini_hochberg([1 / (n + 1), *[1.0] * (m - 1)], q).mask.sum() == count
    assert why_none(m, needed, q) == "no p-value is small enough among so many rows"
