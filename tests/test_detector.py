"""The detector: scikit-learn's manners over a model that is trained, or trained here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kinds import Published
from vaekit import Detector, Model
from vaekit.bundle import VectorSpec
from vaekit.errors import InputError, NotResolvable

SHORT = ("training.steps=60", "network.hidden=[8]", "network.latent_dim=2", "draws.default=4")
QUICK = (*SHORT, "network.members=1", "prior.name=normal")  # whose graphs are soon made


ABSENT = type("NAType", (), {"__bool__": lambda _: 1 / 0, "__ne__": lambda self, _: self})()  # as pandas has it


class Mixed:
    """A data frame of numbers and text, in which a missing cell is one of its own kind."""

    columns = ("load", "on", "colour")

    def __init__(self, cells: list[list[object]]) -> None:
        self.cells = np.array(cells, dtype=object)

    def to_numpy(self) -> NDArray[np.object_]:
        return self.cells

    def isna(self) -> Frame:
        return Frame(np.array([[cell is ABSENT for cell in row] for row in self.cells]))


class Frame:
    """What a data frame is to the detector: columns, and its numbers."""

    columns: tuple[str, ...] = ("load", "speed")

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
        Detector(settings=[*QUICK, "data.missing=refuse"]).fit(Frame(x))  # type: ignore[arg-type]  # ducks
    with pytest.raises(InputError, match=r"y: shape \(2,\), expected \(30,\)"):
        Detector(settings=QUICK).fit(np.zeros((30, 2)), [0, 1])


def test_known_anomalies_are_kept_out_of_training() -> None:
    x = np.random.default_rng(0).standard_normal((200, 2))
    y = np.zeros(200)
    y[:20] = 1
    x[:20] += 8
    detector = Detector(alpha=0.1, settings=SHORT).fit(x, y)
    assert detector.model_.manifest.provenance.rows["anomalies"] == 20
    assert (detector.predict(x[:20]) == -1).all()


def test_a_frame_of_numbers_text_truth_and_missing_cells_is_fitted_and_checked() -> None:
    rng = np.random.default_rng(0)
    load = rng.standard_normal(200).tolist()
    cells: list[list[object]] = [[x, x > 0, "red" if x > 0 else "blue"] for x in load]
    for row in range(0, 200, 4):
        cells[row][1 + row % 8 // 4] = ABSENT
    detector = Detector(alpha=0.1, likelihood="mixed", settings=QUICK).fit(Mixed(cells))  # type: ignore[arg-type]  # ducks
    spec = detector.model_.spec
    assert isinstance(spec, VectorSpec)
    assert [(c.kind, c.levels, c.may_be_missing) for c in spec.columns] == [
        ("real", None, False),
        ("binary", None, True),
        ("category", ("blue", "red"), True),
    ]
    frame, lists = Mixed([[0.5, True, "red"], [0.5, True, ABSENT]]), [[0.5, 1, "red"], [0.5, 1, None]]
    np.testing.assert_array_equal(detector.score_samples(frame), detector.score_samples(lists))
    assert detector.predict(Mixed([[90.0, True, "red"], [0.5, True, "red"]])).tolist() == [-1, 1]
    with pytest.raises(InputError, match=r"row 0, feature 'colour': not one of its 2 levels .*: 'pink'"):
        detector.predict(Mixed([[0.5, True, "pink"]]))


def test_a_row_without_a_verdict_is_nan_and_warned_of(mixed: Published) -> None:
    rows = [[0.5, 2.0, 3, 1, "red"], [0.5, None, 3, None, None]]  # nobody else misses three cells
    with Model.load(mixed.folder, device="cpu") as model:
        detector = Detector.of(model, alpha=0.1)
        assert np.isnan(detector.p_value(rows)).tolist() == [False, True]
        assert np.isnan(detector.decision_function(rows)).tolist() == [False, True]
        assert np.isfinite(detector.score_samples(rows)).all()
        with pytest.warns(UserWarning, match=r"^1 rows have no verdict and are given as 1: rows with 2 observed"):
            assert detector.predict(rows)[1] == 1


def test_a_number_in_a_category_is_its_name_and_not_its_index() -> None:
    x = np.random.default_rng(0).integers(1, 3, (100, 2)).astype(float)  # levels 1 and 2
    settings = [*QUICK, "network.hidden=[4]"]
    detector = Detector(alpha=0.1, likelihood="categorical", settings=settings).fit(x)
    np.testing.assert_array_equal(detector.score_samples(x[:9]), detector.score_samples(x[:9].astype(int).tolist()))
    np.testing.assert_array_equal(detector.score_samples(x[:9]), detector.model_.elbo(x[:9] - 1).elbo)
    with pytest.raises(InputError, match=r"not one of its 2 levels \('1', '2'\): 0.0$"):
        detector.score_samples(np.zeros((1, 2)))


def test_a_frames_columns_are_found_by_name(fitted: Detector) -> None:
    class Turned(Frame):
        columns = ("speed", "load")

    rows = np.array([[0.5, 2e6], [50.0, 0.0]])
    turned: Any = Turned(rows[:, ::-1])
    for method in (fitted.score_samples, fitted.predict, fitted.p_value, fitted.decision_function):
        np.testing.assert_array_equal(method(turned), method(rows))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (("load", "pace"), "columns: missing: 'speed'; unknown: 'pace'"),
        (("load",), "columns: missing: 'speed'"),
        (("load", "speed", "pace", "y"), "columns: unknown: 'pace', 'y'"),
        (("load", "speed", "load"), "columns: two are named 'load'"),
    ],
)
def test_a_frame_of_other_columns_is_refused(fitted: Detector, columns: tuple[str, ...], said: str) -> None:
    frame = Frame(np.zeros((3, len(columns))))
    frame.columns = columns
    with pytest.raises(InputError, match=f"^{said}$"):
        fitted.score_samples(frame)


@pytest.mark.parametrize(
    ("label", "shown"), [("1", "'1'"), (-1, "-1"), (np.nan, "nan"), (None, "None"), (2.0, r"2\.0")]
)
def test_a_label_that_is_not_0_or_1_is_refused(label: object, shown: str) -> None:
    y = np.array([*[0] * 29, label], dtype=object)
    with pytest.raises(InputError, match=f"^y: row 29: {shown}, expected a boolean, 0 or 1$"):
        Detector(settings=QUICK).fit(np.zeros((30, 2)), y)
