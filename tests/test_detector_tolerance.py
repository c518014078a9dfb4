"""Tolerance rules of a Detector: predict, the bundle that it publishes, and rules set later."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.test_detector import QUICK
from vaekit import Detector, Model
from vaekit.errors import ConfigError, InputError

RULES = {"speed": {"above": 2e7}}
ROWS = pd.DataFrame({"load": [0.0, 30.0, 0.0, 0.0], "speed": [1.5e7, 0.0, -1.5e7, 0.0]})


def training_rows() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).standard_normal((200, 2)) * [1, 1e6], columns=["load", "speed"])


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return Detector(alpha=0.1, settings=QUICK, ignore=RULES).fit(training_rows())


def test_predict_does_not_report_what_the_rules_tolerate(fitted: Detector) -> None:
    assert fitted.predict(ROWS).tolist() == [1, -1, -1, 1]
    assert fitted.tolerated(ROWS).tolist() == [["speed"], [], [], []]
    assert (fitted.decision_function(ROWS) < 0).tolist() == [True, True, True, False]  # scores do not depend on rules
    assert fitted.predict(ROWS, fdr=0.3).tolist() == [-1, -1, -1, 1]  # nor do discoveries


def test_a_published_detector_keeps_its_rules(fitted: Detector, tmp_path: Path) -> None:
    fitted.publish(tmp_path / "pumps")
    with Model.load(tmp_path / "pumps", device="cpu") as model:
        assert model.tolerated(ROWS, alpha=0.1).tolist() == [["speed"], [], [], []]
        assert Detector.of(model, alpha=0.1).predict(ROWS).tolist() == [1, -1, -1, 1]


def test_rules_can_be_changed_without_fitting_again(fitted: Detector) -> None:
    changed = pickle.loads(pickle.dumps(fitted)).set_params(ignore={"speed": {"above": 2e7, "below": "any"}})
    assert changed.predict(ROWS).tolist() == [1, -1, 1, 1]
    assert changed.set_params(ignore={}).predict(ROWS).tolist() == [-1, -1, -1, 1]
    assert changed.set_params(ignore=None).predict(ROWS).tolist() == [1, -1, -1, 1]  # the bundle's


def test_rules_that_do_not_fit_are_refused(fitted: Detector) -> None:
    with pytest.raises(ConfigError, match="ignore: column 'sped' is not a column of the model"):
        Detector(ignore={"sped": {"above": 1}}).fit(training_rows())
    with pytest.raises(InputError, match="ignore: column 'speed': above: -1"):
        Detector(ignore={"speed": {"above": -1}}).fit(training_rows())
    later = pickle.loads(pickle.dumps(fitted)).set_params(ignore={"sped": {"above": 1}})
    with pytest.raises(InputError, match="ignore: column 'sped' is not a column of the model; its columns are load"):
        later.predict(ROWS.iloc[3:])  # also if no row is an anomaly
