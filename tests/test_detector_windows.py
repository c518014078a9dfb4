"""Detector(window=W) fits on the time steps of series and gives one result per step."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.kinds import Published, series_columns
from vaekit import Detector, Model
from vaekit.errors import ConfigError, InputError

FRAME = pd.DataFrame(series_columns(400, seed=21)).drop(columns="temp").assign(stamp=pd.Timestamp("2024-01-01"))
NEW = pd.DataFrame(series_columns(30, seed=22, gap=15)).drop(columns="temp").assign(stamp=pd.Timestamp("2024-01-01"))
LOST = [0, 1, 2, 15, 16, 17]


@pytest.fixture(scope="module")
def fitted() -> Detector:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Detector(window=4, time="ts", series_column="machine", alpha=0.05, device="cpu").fit(FRAME)


def q(values: Any) -> Any:
    return np.asarray(values)[NEW["machine"] == "q"]


def test_every_method_has_one_result_per_time_step(fitted: Detector) -> None:
    for method in (fitted.score_samples, fitted.decision_function, fitted.p_value):
        found = method(NEW)
        assert found.shape == (60,)
        assert np.flatnonzero(np.isnan(q(found))).tolist() == LOST
    assert fitted.predict_proba(NEW).shape == (60, 2)
    labels = fitted.predict(NEW)
    assert set(labels) <= {-1, 1}
    assert (q(labels)[LOST] == 1).all()
    p_value = fitted.p_value(NEW)
    np.testing.assert_array_equal(labels == -1, p_value <= 0.05)
    np.testing.assert_array_equal(fitted.decision_function(NEW) < 0, p_value <= 0.05)
    assert fitted.predict(NEW, fdr=0.2).shape == (60,)
    assert len(fitted.explain(NEW, top=2)) == 60
    assert fitted.tolerated(NEW).shape == (60,)
    assert fitted.calibration_groups(NEW).shape == (60,)


def test_columns_are_those_of_a_time_step(fitted: Detector) -> None:
    assert fitted.left_out_ == ("stamp",)
    assert fitted.n_features_in_ == 5
    assert fitted.model_.spec.window is not None
    assert fitted.model_.spec.window.columns == ("load", "mode")
    np.testing.assert_array_equal(
        fitted.score_samples(NEW[["mode", "machine", "load", "ts"]]), fitted.score_samples(NEW)
    )
    np.testing.assert_allclose(
        fitted.score_samples(NEW.drop(columns="stamp").to_dict("records")), fitted.score_samples(NEW), rtol=1e-6
    )


def test_times_and_series_may_be_levels_of_the_index(fitted: Detector) -> None:
    levels = ["machine", "ts"]
    found = fitted.score_samples(NEW.set_index(levels))
    np.testing.assert_array_equal(found, fitted.score_samples(NEW))
    detector = Detector(window=4, time="ts", series_column="machine", alpha=0.05, device="cpu")
    detector.fit(FRAME.drop(columns="stamp").set_index(levels))
    assert detector.n_features_in_ == len(detector.feature_names_in_) == 4
    np.testing.assert_allclose(detector.score_samples(NEW.drop(columns="stamp").set_index(levels)), found, rtol=1e-6)


def test_fit_warns_that_gaps_leave_out_many_windows() -> None:
    frame = pd.DataFrame(
        {"x": np.random.default_rng(0).standard_normal(400), "ts": pd.bdate_range("2024-01-01", periods=400)}
    )
    with pytest.warns(UserWarning, match=r"237 of 397 windows are across a gap .* set data.gap"):
        Detector(window=4, time="ts", alpha=0.2, device="cpu").fit(frame)


def test_an_anomaly_of_context_gets_minus_one(fitted: Detector) -> None:
    frame = NEW.copy()
    at = int(np.flatnonzero(frame["machine"] == "p")[9])
    frame.loc[at, "load"] = 1.0  # sin(2 pi 9 / 12) = -1
    assert fitted.predict(frame)[at] == -1


def test_false_alarms_of_normal_steps_are_at_the_rate_alpha(fitted: Detector) -> None:
    new = pd.DataFrame(series_columns(600, seed=33, gap=None)).drop(columns="temp")
    p_value = fitted.p_value(new)
    assert 0.08 < np.nanmean(p_value <= 0.2) < 0.35


def test_an_array_is_one_series_or_has_its_times_in_a_column() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.arange(500.0), np.sin(np.arange(500) / 2) + 0.1 * rng.standard_normal(500)])
    x[250:, 0] += 50
    with_time = Detector(window=5, time="x0", device="cpu", alpha=0.2).fit(x)
    assert with_time.n_features_in_ == 2
    assert np.isnan(with_time.score_samples(x)).sum() == 8
    assert np.isnan(with_time.score_samples(x.tolist())).sum() == 8
    without = Detector(window=5, device="cpu", alpha=0.2, settings={"data.exclude": ["x0"]}).fit(x)
    assert np.isnan(without.score_samples(x)).sum() == 4
    windows = np.lib.stride_tricks.sliding_window_view(x[:20, 1:], 5, axis=0).transpose(0, 2, 1)
    np.testing.assert_allclose(without.score_samples(windows), without.score_samples(x[:20])[4:], rtol=1e-6)


def test_labelled_steps_and_windows_around_them_are_not_trained_on() -> None:
    x = np.random.default_rng(1).standard_normal((300, 1))
    y = np.zeros(300, dtype=int)
    y[100] = 1
    detector = Detector(window=4, device="cpu", alpha=0.2).fit(x, y)
    rows = detector.model_.manifest.provenance.rows
    assert rows["anomalies"] == 1
    assert rows["train"] <= 180 - 3 - 4


def test_a_fitted_detector_survives_copies_and_a_model_of_windows_makes_one(
    fitted: Detector, windowed: Published
) -> None:
    for copied in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(copied.predict(NEW), fitted.predict(NEW))
        assert copied.get_params() == fitted.get_params()
    with Model.load(windowed.folder, device="cpu") as model:
        frame = pd.DataFrame(series_columns(20, seed=2, gap=None))
        detector = Detector.of(model, alpha=0.1)
        assert detector.n_features_in_ == 3
        assert detector.feature_names_in_.tolist() == ["load", "temp", "mode"]
        np.testing.assert_array_equal(detector.p_value(frame), model.elbo(frame).p_value)
        steps = frame[frame["machine"] == "p"][["load", "temp", "mode"]].to_numpy(dtype=object)
        assert np.isnan(detector.score_samples(steps)).sum() == 3


def test_what_windows_cannot_have_is_refused() -> None:
    x = np.random.default_rng(1).standard_normal((100, 1))
    with pytest.raises(ConfigError, match="folds take rows at random, but windows that overlap"):
        Detector(window=4, folds=3).fit(x)
    with pytest.raises(InputError, match="no column 'ts'"):
        Detector(window=4, time="ts").fit(pd.DataFrame({"a": x[:, 0]}))
    with pytest.raises(ConfigError, match="time is for windows of a series: set window too"):
        Detector(time="x0").fit(x)
