"""The detector: scikit-learn's manners over a model that is trained, or trained here."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit import Detector, Model
from vaekit.errors import InputError, NotResolvable

QUICK = ("training.steps=60", "network.hidden=[8]", "network.latent_dim=2", "draws.default=4")


class Frame:
    """What a data frame is to the detector: columns, and its numbers."""

    columns = ("load", "speed")

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values

    def to_numpy(self) -> NDArray[np.float64]:
        return self.values


@pytest.fixture(scope="module")
def fitted() -> Detector:
    x = np.random.default_rng(0).standard_normal((200, 2)) * [1, 1e6]
    return Detector(alpha=0.1, settings=QUICK).fit(Frame(x))  # type: ignore[arg-type]  # ducks


def test_a_fitted_detector_knows_its_columns_and_flags_what_is_far(fitted: Detector) -> None:
    assert fitted.model_.spec.names == ("load", "speed")  # type: ignore[union-attr]  # a vector model
    assert fitted.n_features_in_ == 2
    assert fitted.predict([[50.0, 0.0], [0.0, 0.0]]).tolist() == [-1, 1]
    assert fitted.predict(Frame(np.array([[50.0, 0.0], [0.0, 0.0]]))).tolist() == [-1, 1]


@pytest.mark.parametrize("alpha", [1 / 73, 0.05, 0.1, 0.3, 0.999])
def test_the_verdict_is_that_of_the_p_value(
    breast_cancer: Model, benign_rows: NDArray[np.float64], alpha: float
) -> None:
    detector = Detector.of(breast_cancer, alpha=alpha)
    below = detector.decision_function(benign_rows) < 0
    assert (below == (detector.p_value(benign_rows) <= alpha)).all()
    assert (detector.predict(benign_rows) == np.where(below, -1, 1)).all()


def test_scores_are_the_models_elbo(breast_cancer: Model, benign_rows: NDArray[np.float64]) -> None:
    got = Detector.of(breast_cancer).score_samples(benign_rows[:5])
    np.testing.assert_array_equal(got, breast_cancer.elbo(benign_rows[:5]).elbo)


def test_an_alpha_that_cannot_be_told_is_refused(breast_cancer: Model) -> None:
    with pytest.raises(NotResolvable, match=r"the smallest is 0\.0136"):
        Detector.of(breast_cancer, alpha=0.01)


def test_an_alpha_that_will_not_be_told_is_refused_before_training() -> None:
    x = np.random.default_rng(0).standard_normal((100, 2))
    with pytest.raises(NotResolvable, match=r"alpha: 0\.01 cannot be told by 20 calibration rows"):
        Detector(alpha=0.01, settings=["training.steps=1000000000"]).fit(x)


def test_wrong_rows_are_named() -> None:
    x = np.zeros((30, 2))
    x[3, 1] = np.nan
    with pytest.raises(InputError, match="row 3, feature 'speed': missing value"):
        Detector(settings=QUICK).fit(Frame(x))  # type: ignore[arg-type]  # ducks
    with pytest.raises(InputError, match=r"y: shape \(2,\), expected \(30,\)"):
        Detector(settings=QUICK).fit(np.zeros((30, 2)), [0, 1])


def test_known_anomalies_are_kept_out_of_training() -> None:
    x = np.random.default_rng(0).standard_normal((200, 2))
    y = np.zeros(200)
    y[:20] = 1
    x[:20] += 8
    detector = Detector(alpha=0.1, settings=QUICK).fit(x, y)
    assert detector.model_.manifest.provenance.rows["anomalies"] == 20
    assert (detector.predict(x[:20]) == -1).all()
