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


@dataclass(frozen=True)
class Scored:
    """Rows scored by a model and by its three fold models."""

    score: Floats
    fold_elbo: Floats
    observed_count: NDArray[np.int64] | None = None


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
def test_an_alpha_that_is_too_small_gives_p_values_without_a_verdict(calibration: BaseCalibration) -> None:
    got = calibration.verdict(ROWS, 0.001)
    np.testing.assert_array_equal(got.p_value, calibration.verdict(ROWS).p_value)
    assert (got.is_anomaly, got.alpha) == (None, None)
    assert got.reason is not None
    assert got.reason.startswith("no verdict: alpha: 0.001 is too small for ")


@pytest.mark.parametrize("calibration", calibrations())
def test_a_row_without_a_p_value_is_not_an_anomaly_and_the_reason_says_why(calibration: BaseCalibration) -> None:
    known = replace(calibration, observed_counts=(2,))  # type: ignore[type-var]  # both are dataclasses
    rows = replace(ROWS, observed_count=np.array([2, 2, 1]))
    got = known.verdict(rows, 0.05)
    reason = "rows with 1 observed columns have no p-value: no calibration row has as many"
    assert np.isnan(got.p_value).tolist() == [False, False, True]
    assert got.is_anomaly is not None
    assert got.is_anomaly.tolist() == [False, False, False]
    assert (got.alpha, got.reason) == (0.05, reason)
    too_small = known.verdict(rows, 0.001).reason
    assert too_small is not None
    assert too_small.endswith(f"; {reason}")


def test_a_verdict_without_an_alpha_has_only_p_values() -> None:
    got = calibrations()[0].verdict(ROWS)
    assert (got.is_anomaly, got.alpha, got.reason) == (None, None, None)


def test_an_alpha_outside_0_to_1_is_refused() -> None:
    with pytest.raises(InputError, match=r"alpha: 1\.5 is not between 0 and 1"):
        calibrations()[0].verdict(ROWS, 1.5)
