"""The verdicts on scored rows, for calibrations with and without folds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit.bundle import Calibration, FoldCalibration
from vaekit.bundle.calibration import BaseCalibration
from vaekit.bundle.tail import fit_tail
from vaekit.errors import InputError

Floats = NDArray[np.float64]
HELD_OUT = np.random.default_rng(0).exponential(size=(3, 199))
WHOLE = np.round(4 * HELD_OUT)  # scores of a discrete table: many ties


@dataclass(frozen=True)
class Scored:
    """Rows scored by a model and by its three fold models."""

    score: Floats
    fold_elbo: Floats
    novel: NDArray[np.bool_] | None = None


ROWS = Scored(np.array([0.5, 3.0, 20.0]), -np.array([[0.5, 0.4, 0.6], [3.0, 2.0, 3.5], [20.0, 30.0, 25.0]]))


def calibrations() -> list[Calibration | FoldCalibration]:
    folds = tuple(replace(Calibration.of(scores), tail=fit_tail(np.sort(scores))) for scores in HELD_OUT)
    return [Calibration.of(HELD_OUT[0]), folds[0], FoldCalibration(folds), FoldCalibration.of(HELD_OUT)]


@pytest.mark.parametrize("calibration", calibrations())
def test_a_verdict_has_the_p_values_and_compares_them_with_alpha(calibration: BaseCalibration) -> None:
    got, scores = calibration.verdict(ROWS, 0.05), calibration.scores_to_compare(ROWS)
    np.testing.assert_array_equal(got.p_value, calibration.p_value(scores))
    want = calibration.p_value_tail(scores)
    assert (got.p_value_tail is None) == (want is None)
    if want is not None:
        np.testing.assert_array_equal(got.p_value_tail, want)
    assert got.is_anomaly is not None
    np.testing.assert_array_equal(got.is_anomaly, got.p_value <= 0.05)
    assert got.is_anomaly.tolist() == [False, False, True]
    assert (got.alpha, got.reason) == (0.05, None)


@pytest.mark.parametrize("calibration", calibrations())
def test_at_an_alpha_that_is_too_small_no_row_is_an_anomaly_and_the_reason_says_what_to_do(
    calibration: BaseCalibration,
) -> None:
    got = calibration.verdict(ROWS, 0.001)
    np.testing.assert_array_equal(got.p_value, calibration.verdict(ROWS).p_value)
    assert got.is_anomaly is not None
    assert not got.is_anomaly.any()
    assert got.alpha == 0.001
    assert got.reason is not None
    assert got.reason.startswith("alpha 0.001 is below the smallest possible p-value, 0.005, of ")
    assert "use an alpha of at least 0.005, or calibrate on at least 999 rows" in got.reason
    assert calibration.verdict(ROWS, 0.005).reason is None


@pytest.mark.parametrize("calibration", calibrations())
def test_novel_rows_rank_above_all_others_and_among_themselves_by_score(calibration: BaseCalibration) -> None:
    got = calibration.verdict(replace(ROWS, novel=np.array([True, False, False])), 0.05)
    assert got.p_value[0] == calibration.smallest_alpha
    np.testing.assert_array_equal(got.p_value[1:], calibration.verdict(ROWS).p_value[1:])
    assert got.is_anomaly is not None
    assert got.is_anomaly.tolist() == [True, False, True]
    if got.p_value_tail is not None:
        assert got.p_value_tail[0] == got.p_value[0]


def test_held_out_rows_that_are_novel_are_ranked_by_the_same_rule() -> None:
    calibration = Calibration.of([1.0, 2.0, 3.0, 0.5, 0.7], [False, False, False, True, True])
    rows = Scored(np.array([9.0, 2.5, 0.6, 0.1, np.nan]), np.zeros((5, 3)), np.array([False, False, True, True, True]))
    np.testing.assert_allclose(calibration.verdict(rows).p_value * 6, [3, 4, 2, 3, 1])


@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.1, 0.3])
def test_alarms_keep_to_alpha_when_some_normal_rows_are_novel(alpha: float) -> None:
    """P(p_value <= alpha) <= alpha over calibrations, where one normal row in 15 is novel and scores are discrete."""
    rng = np.random.default_rng(0)
    n, sets = 59, 4000
    rates = []
    for _ in range(sets):
        scores, novel = rng.integers(0, 12, n + 1).astype(float), rng.random(n + 1) < 1 / 15
        calibration = Calibration.of(scores[:n], novel[:n])
        rates.append(calibration.p_value(scores[n:], novel[n:])[0] <= alpha)
    assert np.mean(rates) <= alpha + 4 * np.sqrt(alpha / sets)


@pytest.mark.parametrize("calibration", [Calibration.of(WHOLE[0]), FoldCalibration.of(WHOLE)])
@pytest.mark.parametrize("shift", [-3e-6, 3e-6])
def test_a_verdict_does_not_depend_on_the_rounding_of_scores(calibration: BaseCalibration, shift: float) -> None:
    """Rows that repeat held-out rows tie with them, whichever way their scores are rounded."""
    rows, moved = Scored(WHOLE[0], -WHOLE.T), Scored(WHOLE[0] + shift, -(WHOLE.T + shift))
    np.testing.assert_array_equal(calibration.verdict(rows, 0.05).p_value, calibration.verdict(moved, 0.05).p_value)


def test_a_verdict_without_an_alpha_has_only_p_values() -> None:
    got = calibrations()[0].verdict(ROWS)
    assert (got.is_anomaly, got.alpha, got.reason) == (None, None, None)


def test_an_alpha_outside_0_to_1_is_refused() -> None:
    with pytest.raises(InputError, match=r"alpha: 1\.5 is not between 0 and 1"):
        calibrations()[0].verdict(ROWS, 1.5)
