"""Detector: fit, predict, scores, p-values and explanations, over fitted and over loaded models."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.kinds import Published
from vaekit import Detector, Model
from vaekit.bundle import benjamini_hochberg
from vaekit.bundle.comparison import tie_floor
from vaekit.detector_training import config_of
from vaekit.errors import InputError
from vaekit_training.data.load import of_array
from vaekit_training.data.split import split

SHORT = ("training.steps=60", "network.hidden=[8]", "network.latent_dim=2", "draws.default=4")
QUICK = (*SHORT, "network.members=1", "prior.name=normal")  # a model that is exported quickly


@pytest.fixture(scope="module")
def fitted() -> Detector:
    x = np.random.default_rng(0).standard_normal((200, 2)) * [1, 1e6]
    return Detector(alpha=0.1, settings=QUICK).fit(pd.DataFrame(x, columns=["load", "speed"]))


def test_a_fitted_detector_has_column_names_and_flags_rows_far_from_the_training_rows(fitted: Detector) -> None:
    assert fitted.model_.spec.names == ("load", "speed")  # type: ignore[union-attr]  # a vector model
    assert fitted.n_features_in_ == 2
    assert fitted.predict([[50.0, 0.0], [0.0, 0.0]]).tolist() == [-1, 1]
    assert repr(fitted) == f"Detector(alpha=0.1, settings={QUICK!r})"


@pytest.mark.parametrize("alpha", [1 / 73, 0.05, 0.1, 0.3, 0.999])
def test_predict_flags_exactly_the_rows_with_p_value_at_most_alpha(
    breast_cancer: Model, benign_rows: NDArray[np.float64], alpha: float
) -> None:
    detector = Detector.of(breast_cancer, alpha=alpha)
    below = detector.decision_function(benign_rows) < 0
    assert (below == (detector.p_value(benign_rows) <= alpha)).all()
    assert (detector.predict(benign_rows) == np.where(below, -1, 1)).all()


def test_score_samples_returns_the_models_elbo(breast_cancer: Model, benign_rows: NDArray[np.float64]) -> None:
    got = Detector.of(breast_cancer).score_samples(benign_rows[:5])
    np.testing.assert_array_equal(got, breast_cancer.elbo(benign_rows[:5]).elbo)


def test_at_an_alpha_too_small_for_the_calibration_rows_no_row_is_an_anomaly(
    breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    detector = Detector.of(breast_cancer, alpha=0.01)
    with pytest.warns(UserWarning, match=r"^alpha 0\.01 is below the smallest possible p-value, 0\.0137, of 72 "):
        assert (detector.predict(benign_rows * 9) == 1).all()
    assert (detector.decision_function(benign_rows * 9) > 0).all()
    np.testing.assert_allclose(detector.p_value(benign_rows[:1] * 9), 1 / 73)


@pytest.mark.parametrize("alpha", ["0.1", None, 0, 1, True, np.nan, [0.1]])
def test_a_wrong_alpha_is_refused_before_the_training(alpha: object) -> None:
    with pytest.raises(InputError, match=r"^alpha: .* is not between 0 and 1"):
        Detector(alpha=alpha).fit(np.zeros((0, 2)))


def test_fit_warns_of_an_alpha_too_small_for_its_rows() -> None:
    x = np.random.default_rng(0).standard_normal((100, 2))
    with pytest.warns(UserWarning, match=r"0\.0476, of 20 calibration rows, .* use an alpha of at least 0\.048"):
        detector = Detector(alpha=0.01, settings=QUICK).fit(x)
    assert np.isfinite(detector.p_value(x)).all()


def test_an_invalid_cell_or_label_array_is_named_in_the_error() -> None:
    x = np.zeros((30, 2))
    x[3, 1] = np.nan
    with pytest.raises(InputError, match="row 3, feature 'speed': missing value"):
        Detector(settings=[*QUICK, "data.missing=refuse"]).fit(pd.DataFrame(x, columns=["load", "speed"]))
    with pytest.raises(InputError, match=r"y: shape \(2,\), expected \(30,\)"):
        Detector(settings=QUICK).fit(np.zeros((30, 2)), [0, 1])


def test_known_anomalies_are_kept_out_of_training_and_no_report_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit_training.publish.report.render", None)  # calling it would fail
    x = np.random.default_rng(0).standard_normal((200, 2))
    y = np.zeros(200)
    y[:20] = 1
    x[:20] += 8
    detector = Detector(alpha=0.1, settings=SHORT).fit(x, y)
    assert detector.model_.manifest.provenance.rows["anomalies"] == 20
    assert (detector.predict(x[:20]) == -1).all()


def test_a_novel_row_is_an_anomaly_whatever_its_score(mixed: Published) -> None:
    usual, gaps, unseen = [0.5, 2.0, 3, 1, "red"], [0.5, None, 3, None, None], [0.5, 2.0, 3, 1, "pink"]
    with Model.load(mixed.folder, device="cpu") as model:
        detector = Detector.of(model, alpha=0.1)
        rows = [usual, gaps, unseen, [1e9, 1e9, 3, 1, "red"]]
        margin = detector.decision_function(rows)
        assert np.isfinite(margin).all()
        assert (detector.predict(rows) == np.where(margin < 0, -1, 1)).all()
        assert detector.predict(rows)[1:3].tolist() == [-1, -1]
        assert max(margin[1:3]) < min(margin[0], margin[3])  # above rows with a far worse score
        assert np.isfinite(detector.score_samples(rows)).all()


def test_a_number_in_a_category_column_is_a_levels_name_and_not_its_index() -> None:
    x = np.random.default_rng(0).integers(1, 3, (100, 2)).astype(float)  # levels 1 and 2
    settings = [*QUICK, "network.hidden=[4]"]
    detector = Detector(alpha=0.1, likelihood="categorical", settings=settings).fit(x)
    np.testing.assert_array_equal(detector.score_samples(x[:9]), detector.score_samples(x[:9].astype(int).tolist()))
    np.testing.assert_array_equal(detector.score_samples(x[:9]), detector.model_.elbo(x[:9] - 1).elbo)
    assert (detector.predict(np.zeros((1, 2))) == -1).all()  # the level 0 was not there
    strict = Detector.of(detector.model_, alpha=0.1)
    with pytest.raises(InputError, match=r"not one of its 2 levels \('1', '2'\): 0.0$"):
        strict.set_params(strict=True).score_samples(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("label", "shown"), [("1", "'1'"), (-2, "-2"), (np.nan, "nan"), (None, "None"), (2.0, r"2\.0")]
)
def test_a_label_that_is_not_0_or_1_is_refused(label: object, shown: str) -> None:
    y = np.array([*[0] * 29, label], dtype=object)
    with pytest.raises(InputError, match=f"^y: row 29: {shown}, expected booleans, 0 and 1 "):
        Detector(settings=QUICK).fit(np.zeros((30, 2)), y)


def test_predict_proba_is_the_rank_among_held_out_scores(
    breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    detector, held_out = Detector.of(breast_cancer), breast_cancer.calibration()
    assert not isinstance(held_out, str)
    rows = np.concatenate([benign_rows, benign_rows[:1] + 1e3])
    normal, anomaly = detector.predict_proba(rows).T
    below = (held_out.scores < tie_floor(breast_cancer.elbo(rows).score)[:, None]).sum(axis=1)
    np.testing.assert_allclose(anomaly, below / (1 + held_out.n), rtol=1e-12)
    np.testing.assert_array_equal(normal, detector.p_value(rows))
    assert anomaly[-1] == anomaly.max() == held_out.n / (1 + held_out.n)


def test_predict_with_fdr_flags_the_discoveries_among_the_rows(
    breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    detector = Detector.of(breast_cancer)
    normal, odd = benign_rows[:20], benign_rows[:20] * 3
    for rows, discovered in ((np.concatenate([normal, odd]), 20), (np.concatenate([normal, odd[:1]]), 0)):
        found = detector.predict(rows, fdr=0.1) == -1
        np.testing.assert_array_equal(found, benjamini_hochberg(detector.p_value(rows), 0.1).mask)
        assert found[20:].sum() == discovered
        assert (detector.predict(rows)[20:] == -1).all()
    with pytest.raises(InputError, match=r"fdr: 1\.5 is not between 0 and 1"):
        detector.predict(rows, fdr=1.5)


def test_an_explanation_of_few_columns_names_them_all_by_default(breast_cancer: Model) -> None:
    x = np.random.default_rng(0).standard_normal((60, 2))
    two = Detector(alpha=0.5, settings={"training.steps": 20, "network.members": 1}).fit(x).explain(x[:2])
    assert two.cells is not None
    assert [sorted(cell["feature"] for cell in cells) for cells in two.cells] == [["x0", "x1"]] * 2
    thirty = Detector.of(breast_cancer).explain(np.full((1, 30), 1.0))
    assert thirty.cells is not None
    assert len(thirty.cells[0]) == 3


def test_explain_returns_what_the_model_returns(breast_cancer: Model, benign_rows: NDArray[np.float64]) -> None:
    got, want = (of.explain(benign_rows[:3], top=2) for of in (Detector.of(breast_cancer), breast_cancer))
    assert got.explanation is not None
    assert want.explanation is not None
    assert got.explanation.shape == (3, 2)
    assert got.explanation.tobytes() == want.explanation.tobytes()


def test_p_value_tail_is_below_the_smallest_p_value_beyond_the_highest_score(
    digits: Model, digit_images: NDArray[np.uint8]
) -> None:
    detector = Detector.of(digits)
    rows = np.concatenate([digit_images[:50], 255 - digit_images[:5]])
    p_value, tail = detector.p_value(rows), detector.p_value_tail(rows)
    assert (tail[p_value > p_value.min()] == p_value[p_value > p_value.min()]).all()
    assert (tail[-5:] < p_value[-5:]).all()


def test_p_value_tail_is_refused_with_too_few_held_out_rows(
    breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    with pytest.raises(
        InputError,
        match=r"^p_value_tail: a tail needs at least 96 different held-out scores; this model has 72 held-out rows$",
    ):
        Detector.of(breast_cancer).p_value_tail(benign_rows)


@pytest.mark.parametrize(
    ("normal", "parts"),
    [(20, (12, 2, 4, 2)), (100, (68, 10, 20, 2)), (1000, (680, 100, 200, 20))],
)
def test_few_rows_are_kept_for_figures_and_most_rows_train(normal: int, parts: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((normal, 2))
    config = config_of(x)
    found = split(of_array(x), config.data, seed=0).sizes()
    assert tuple(found[name] for name in ("train", "validation", "calibration", "test")) == parts


def test_known_anomalies_do_not_reduce_the_rows_for_figures() -> None:
    x = np.random.default_rng(0).standard_normal((120, 2))
    y = np.arange(120) >= 40
    x[y] += 9
    manifest = Detector(alpha=0.5, settings=QUICK).fit(x, y).model_.manifest
    assert manifest.provenance.rows == {"train": 26, "validation": 4, "calibration": 8, "test": 2, "anomalies": 80}
    assert all(np.isfinite(figure.value) for figure in manifest.metrics.values())
    assert manifest.metrics["elbo"].n == 2


def test_the_rows_of_a_frame_may_be_split_by_a_column_of_times() -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.standard_normal(200), "when": rng.permutation(200)}
    found = Detector(alpha=0.5, device="cpu", settings={"data.split": "time:when"}).fit(pd.DataFrame(columns))
    assert found.left_out_ == ("when",)
    assert "later than the training rows" in found.model_.manifest.calibration.assumption  # type: ignore[union-attr]


def test_verbose_prints_the_steps_of_fit_with_their_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).standard_normal((60, 2))
    Detector(alpha=0.2).fit(x)
    assert capsys.readouterr().out == ""
    Detector(alpha=0.2, verbose=True).fit(x)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[ *\d+\.\d s\] choosing the kernels .*", lines[0])
    assert any("validation ELBO" in line for line in lines)
    assert lines[-1].endswith("fitted 60 rows")
