"""Labels of known anomalies, settings as dictionaries, another alpha, scorers and publishing of a detector."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.kinds import Published, mixed_rows
from vaekit import Detector, Model, metrics
from vaekit.detector_training import config_of, known_anomalies
from vaekit.errors import ConfigError, InputError, VaeError

QUICK = {"training.steps": 60, "network": {"hidden": [8], "latent_dim": 2, "members": 1}, "prior.name": "normal"}


def rows(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(x (200, 2), which 40 of them are far out)."""
    x = np.random.default_rng(seed).standard_normal((200, 2))
    anomaly = np.arange(200) % 5 == 0
    x[anomaly] += 8
    return x, anomaly


@pytest.fixture(scope="module")
def fitted() -> Detector:
    x, anomaly = rows()
    return Detector(alpha=0.1, settings=QUICK).fit(pd.DataFrame(x, columns=["load", "speed"]), anomaly)


@pytest.mark.parametrize(
    ("normal", "anomaly"),
    [(0, 1), (False, True), (1, -1), (0.0, 1.0), (np.int8(1), np.int8(-1)), (1.0, -1.0)],
)
@pytest.mark.parametrize(
    "form", [list, np.array, pd.Series, lambda y: np.array(y, dtype=object), lambda y: pd.DataFrame({"y": y})]
)
def test_both_conventions_of_labels_are_read(normal: object, anomaly: object, form: object) -> None:
    assert callable(form)
    y = form([normal, anomaly, normal])
    assert known_anomalies(y, 3).tolist() == [False, True, False]


def test_detectors_own_verdicts_are_labels(fitted: Detector) -> None:
    x, _ = rows(1)
    verdicts = fitted.predict(x)
    assert known_anomalies(verdicts, len(x)).tolist() == (verdicts == -1).tolist()


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([1, 1, 1], "all labels are 1, which marks an anomaly among 0 and 1, and a normal row among -1 and 1"),
        ([0, 1, -1], r"both 0 \(row 0\) and -1 \(row 2\), expected booleans, 0 and 1"),
        ([1, 2, 1], r"row 1: 2, expected booleans, 0 and 1 \(1: an anomaly\), or 1 and -1 \(-1: an anomaly\)"),
        (["1", "0", "1"], "row 0: '1'"),
    ],
)
def test_labels_of_no_convention_are_refused(y: list[object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        known_anomalies(np.array(y, dtype=object), 3)


def test_no_anomaly_is_fine_where_the_convention_is_told() -> None:
    assert not known_anomalies([0, 0, 0], 3).any()
    assert not known_anomalies([False] * 3, 3).any()
    assert known_anomalies([True] * 3, 3).all()


def test_fit_keeps_rows_at_minus_one_out_of_training() -> None:
    x, anomaly = rows()
    detector = Detector(alpha=0.1, settings=QUICK).fit(x, np.where(anomaly, -1, 1))
    assert detector.model_.manifest.provenance.rows["anomalies"] == 40
    assert (detector.predict(x[anomaly]) == -1).all()


@pytest.mark.parametrize("signs", [(0, 1), (1, -1)])
def test_our_scorers_are_right_for_both_conventions(fitted: Detector, signs: tuple[int, int]) -> None:
    x, anomaly = rows(2)
    y = np.where(anomaly, signs[1], signs[0])
    for detector in (fitted, IsolationForest(random_state=0).fit(x[~anomaly])):
        assert metrics.roc_auc(detector, x, y) > 0.99
        assert metrics.average_precision(detector, x, y) > 0.95
    assert metrics.roc_auc(fitted, x, ~anomaly) < 0.01
    with pytest.raises(InputError, match="0 of 160 rows are anomalies, expected some of each kind; StratifiedKFold"):
        metrics.roc_auc(fitted, x[~anomaly], np.zeros(160))


def test_our_scorers_rank_novel_rows_above_all_others_as_p_values_do(mixed: Published) -> None:
    rows = mixed_rows(40, seed=8)
    rows[:5] = [0.0, 1.0, 3, 1, "unseen"]  # a usual row but for its level
    rows[5:9, 0] = 9.0  # far out, and not novel
    novel = np.arange(40) < 5
    with Model.load(mixed.folder, device="cpu") as model:
        detector = Detector.of(model)
        assert detector.score_samples(rows)[novel].min() > detector.score_samples(rows)[5:9].max()
        for one in (detector, make_pipeline(FunctionTransformer(), detector)):
            assert metrics.roc_auc(one, rows, novel) == 1.0
            assert metrics.average_precision(one, rows, novel) == 1.0


def test_a_grid_search_by_our_scorer_finds_the_better_setting() -> None:
    x, anomaly = rows()
    grid = {"settings": [QUICK, {**QUICK, "training.steps": 1, "training.learning_rate": 1e-9}]}
    search = GridSearchCV(
        Detector(alpha=0.1), grid, scoring=metrics.roc_auc, cv=StratifiedKFold(2), error_score="raise"
    ).fit(x, anomaly.astype(int))
    assert search.best_score_ > 0.99
    assert (search.cv_results_["mean_test_score"] > 0.5).all()


def test_another_alpha_takes_effect_without_a_fit(fitted: Detector) -> None:
    x = np.random.default_rng(3).standard_normal((400, 2))
    p_value = fitted.p_value(x)
    for alpha in (0.04, 0.1, 0.5):
        assert ((fitted.predict(x, alpha=alpha) == -1) == (p_value <= alpha)).all()
    other = copy.copy(fitted)
    other.set_params(alpha=0.5)
    assert ((other.predict(x) == -1) == (p_value <= 0.5)).all()
    assert ((other.decision_function(x) < 0) == (p_value <= 0.5)).all()
    assert other.offset_ > fitted.offset_
    other.alpha = 0.04
    assert ((other.predict(x) == -1) == (p_value <= 0.04)).all()


def test_an_alpha_at_predict_is_checked(fitted: Detector) -> None:
    with pytest.raises(InputError, match="alpha"):
        fitted.predict([[0.0, 0.0]], alpha=1.5)
    with pytest.raises(InputError, match="give one of them"):
        fitted.predict([[0.0, 0.0]], alpha=0.1, fdr=0.1)
    with pytest.warns(UserWarning, match="no row can be an anomaly"):
        assert fitted.predict([[99.0, 99.0]], alpha=1e-6).tolist() == [1]


def test_an_unfitted_detector_has_no_offset() -> None:
    assert not hasattr(Detector(), "offset_")


@pytest.mark.parametrize(
    "settings",
    [
        {"training.steps": 200, "network.hidden": (8, 4), "data.kinds.a b": "count", "data.kinds.c": "real"},
        {"training": {"steps": 200}, "network": {"hidden": [8, 4]}, "data": {"kinds": {"a b": "count", "c": "real"}}},
        {
            "training.steps": np.int64(200),
            "network.hidden": np.array([8, 4]),
            "data": {"kinds.'a b'": "count", "kinds.c": "real"},
        },
        ["training.steps=200", "network.hidden=[8,4]", "data.kinds.'a b'=count", "data.kinds.c=real"],
        ("training.steps=200", "network.hidden=[8, 4]", 'data.kinds={"a b" = "count", c = "real"}'),
    ],
)
def test_settings_are_dictionaries_or_texts(settings: object) -> None:
    config = config_of(np.zeros((30, 2)), likelihood="mixed", settings=settings)  # type: ignore[arg-type]  # of several types
    assert (config.training.steps, config.network.hidden) == (200, (8, 4))
    assert config.data.kinds == {"a b": "count", "c": "real"}


def test_a_column_of_a_dotted_name_keeps_its_name() -> None:
    config = config_of(np.zeros((30, 1)), likelihood="mixed", settings={"data": {"kinds": {"v1.2": "count"}}})
    assert config.data.kinds == {"v1.2": "count"}


def test_an_empty_section_changes_nothing() -> None:
    assert config_of(np.zeros((30, 2)), settings={"data": {}, "training": {}}) == config_of(np.zeros((30, 2)))


def test_one_text_is_one_setting() -> None:
    assert config_of(np.zeros((30, 2)), settings="training.steps=7").training.steps == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"training.stepz": 5}, "^config: training.stepz: no such key; the keys are steps, "),
        ({"training.steps": "many"}, "^config: training.steps: .*'many'$"),
        ({"training": 5}, "config: training"),
        ({"training.steps.more": 5}, "config: training.steps"),
        ([("training.steps", 5)], r"settings: \('training.steps', 5\): expected a text section.key=value"),
        ({5: 5}, "config: 5: no such key"),
    ],
)
def test_wrong_settings_are_named(settings: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config_of(np.zeros((30, 2)), settings=settings)  # type: ignore[arg-type]  # wrong types too


def test_a_fitted_detector_publishes_itself(fitted: Detector, tmp_path: Path) -> None:
    x, _ = rows(4)
    folder = fitted.publish(tmp_path / "models" / "pumps")
    assert folder == tmp_path / "models" / "pumps" / "1"
    assert fitted.publish(str(tmp_path / "models" / "pumps")).name == "2"
    with Model.load(folder, device="cpu") as model:
        assert model.manifest.name == "pumps"
        again = Detector.of(model, alpha=0.1)
        np.testing.assert_array_equal(again.p_value(x), fitted.p_value(x))
        np.testing.assert_array_equal(again.predict(x), fitted.predict(x))


def test_a_detector_of_a_trained_model_publishes_it(breast_cancer: Model, tmp_path: Path) -> None:
    folder = Detector.of(breast_cancer).publish(tmp_path / "cells")
    with Model.load(folder, device="cpu") as model:
        assert model.manifest.calibration == breast_cancer.manifest.calibration


def test_a_detector_is_not_published_under_a_bad_name_or_before_fit(fitted: Detector, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected models/NAME: no model 'My Pumps'"):
        fitted.publish(tmp_path / "My Pumps")
    with pytest.raises(InputError, match="call fit"):
        Detector().publish(tmp_path / "pumps")
    (tmp_path / "file").write_text("")
    with pytest.raises(VaeError, match="file"):
        fitted.publish(tmp_path / "file" / "pumps")
    assert not (tmp_path / "My Pumps").exists()
