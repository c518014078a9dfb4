"""p-values against a direct count, and the properties of the default draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.bundle import Calibration, default_eps
from vaekit.errors import InputError, NotResolvable

# Few distinct values, so that ties are common.
SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40)


@given(SCORES, SCORES)
def test_a_p_value_is_the_share_of_scores_at_least_as_high_with_the_row_included(held_out, scores):
    calibration = Calibration.of(held_out)
    expected = [(1 + sum(h >= s for h in held_out)) / (1 + len(held_out)) for s in scores]
    np.testing.assert_array_equal(calibration.p_value(scores), expected)


@given(SCORES, st.floats(0.01, 0.99))
def test_a_row_is_an_anomaly_if_its_p_value_is_at_most_alpha(held_out, alpha):
    calibration = Calibration.of(held_out)
    p_value = calibration.p_value(held_out)
    beyond = np.asarray(held_out) > calibration.threshold(alpha)
    np.testing.assert_array_equal(beyond, p_value <= alpha)
    assert (calibration.too_few(alpha) is None) == (alpha >= 1 / (len(held_out) + 1))


@given(SCORES, st.floats(0.05, 0.95))
def test_at_most_a_share_alpha_of_exchangeable_rows_are_anomalies(scores, alpha):
    """Each row is left out in turn and compared with the others; the rate of anomalies is at most alpha."""
    n = len(scores)
    if n < 2 or alpha < 1 / n:
        return
    left_out = [Calibration.of(np.delete(scores, i)).p_value([scores[i]])[0] for i in range(n)]
    assert np.mean(np.asarray(left_out) <= alpha) <= alpha


def test_an_alpha_that_is_too_small_is_refused_with_the_smallest_possible_alpha():
    calibration = Calibration.of(np.arange(72.0))
    calibration.check_alpha(1 / 73)
    with pytest.raises(NotResolvable, match=r"^alpha 0.01 is below .* 72 calibration rows, .* at least 0.014,"):
        calibration.check_alpha(0.01)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_an_alpha_outside_0_to_1_is_refused(alpha):
    with pytest.raises(InputError, match="is not between 0 and 1"):
        Calibration.of([1.0]).check_alpha(alpha)


@pytest.mark.parametrize(
    ("scores", "message"), [([], "no held-out scores"), ([1.0, np.nan], "not finite"), ([np.inf], "not finite")]
)
def test_a_calibration_needs_finite_scores(scores, message):
    with pytest.raises(InputError, match=message):
        Calibration.of(scores)


@pytest.mark.parametrize("bundle", ["breast_cancer", "digits"])
def test_default_draws_have_mean_0_and_mean_square_1_in_every_dimension_for_every_k(bundle, request):
    base = request.getfixturevalue(bundle).bundle.base_draws()
    for k in range(2, len(base) + 1):
        eps = default_eps(base, k)
        assert eps.shape == (k, base.shape[1])
        np.testing.assert_allclose(eps.mean(axis=0), 0.0, atol=1e-12)
        np.testing.assert_allclose(np.square(eps).mean(axis=0), 1.0, rtol=1e-12)


def test_default_draws_depend_only_on_the_first_k_base_draws():
    base = np.random.default_rng(0).standard_normal((8, 3))
    np.testing.assert_array_equal(default_eps(base, 5), default_eps(base[:5], 5))


@pytest.mark.parametrize("k", [-1, 0, 1, 9])
def test_a_k_outside_2_to_the_number_of_base_draws_is_refused(k):
    with pytest.raises(InputError, match=f"num_samples: {k} is not between 2 and 8"):
        default_eps(np.zeros((8, 3)), k)


@given(n=st.integers(1, 60), alpha=st.floats(0.001, 0.999), seed=st.integers(0, 99))
def test_exactly_the_scores_above_the_threshold_are_anomalies(n: int, alpha: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    calibration = Calibration.of(rng.integers(0, 20, n))  # ties
    scores = np.arange(-1, 21, 0.5)
    beyond = scores > calibration.threshold(alpha)
    assert (beyond == (calibration.p_value(scores) <= alpha)).all()
    if alpha < calibration.smallest_alpha:
        assert calibration.threshold(alpha) == np.inf


def test_where_novel_held_out_rows_use_up_alpha_no_score_is_a_threshold() -> None:
    calibration = Calibration.of(np.arange(40.0), np.arange(40) >= 36)
    assert calibration.threshold(0.05) == np.inf  # 2 of 41, but 4 held-out rows are novel
    assert calibration.threshold(0.15) == pytest.approx(34.0, abs=1e-3)  # 6 of 41: above it there are 4 novel and 35.0
