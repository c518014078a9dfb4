"""Detector(folds=F): every row trains F - 1 models and calibrates the remaining one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.test_detector import QUICK
from tests.test_detector_frames import columns
from vaekit import Detector, Model
from vaekit.bundle import Calibration, FoldCalibration, VectorSpec, benjamini_hochberg
from vaekit.errors import InputError
from vaekit.tabular.frames import table

ALPHA = 0.1


def normal(n: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, 2)) * [1, 1e6]


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return Detector(alpha=ALPHA, folds=3, settings=QUICK).fit(normal(60, 0))


def test_predict_flags_exactly_the_rows_with_median_p_value_at_most_alpha(fitted: Detector) -> None:
    x = normal(2000, 1) * 1.3
    p_value, below = fitted.p_value(x), fitted.decision_function(x) < 0
    assert (below == (p_value <= ALPHA)).all()
    assert 0 < below.sum() < len(x)
    np.testing.assert_array_equal(fitted.predict(x), np.where(below, -1, 1))
    calibration, scored = fitted.model_.calibration(), fitted.model_.elbo(x)
    assert isinstance(calibration, FoldCalibration)
    assert scored.fold_elbo is not None
    np.testing.assert_array_equal(p_value, calibration.p_value(-scored.fold_elbo))
    assert (p_value != calibration.p_value(np.repeat(-scored.elbo[:, None], 3, axis=1))).any()
    np.testing.assert_array_equal(fitted.decision_function(x), np.median(scored.fold_elbo - fitted.offset_, axis=1))
    np.testing.assert_array_equal(fitted.score_samples(x), scored.elbo)


def test_52_of_60_rows_are_divided_into_folds(fitted: Detector) -> None:
    calibration = fitted.model_.calibration()
    assert isinstance(calibration, FoldCalibration)
    assert [fold.n for fold in calibration.folds] == [18, 17, 17]
    assert fitted.p_value([[50.0, 0.0]]) == [1 / 18]
    assert fitted.model_.manifest.members == 3


def test_fold_models_with_a_kernel_prior_predict_levels() -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 3, 150)
    names = np.array(["a", "b", "c"], dtype=object)
    rows = pd.DataFrame({"one": names[level], "two": names[level], "x": level + 0.1 * rng.standard_normal(150)})
    fitted = Detector(folds=3).fit(rows)
    assert fitted.model_.manifest.prior.name == "kernel"
    (cell,) = fitted.explain(pd.DataFrame({"one": ["a"], "two": ["c"], "x": [0.0]}), top=1).cells[0]
    assert (cell["feature"], cell["value"], cell["expected"]) == ("two", "c", "a")
    assert cell["probability"] > 0.8


def test_the_false_alarm_rate_is_at_most_the_guaranteed_one() -> None:
    """30 runs with new rows each. The guarantee is a mean rate of at most 1.5 alpha; the usual rate is about alpha."""
    from benchmarks.folds import calibration, scored
    from vaekit.detector_training import config_of
    from vaekit_training.data.load import of_array
    from vaekit_training.run import run

    rates, settings = [], [*QUICK, "training.steps=20"]
    for seed in range(30):
        x, fresh = normal(60, seed), normal(200, 1000 + seed)
        config = config_of(x, settings=settings, seed=seed, folds=3)
        trained = run(config, device="cpu", rows=of_array(x, config=config.data, likelihood=config.likelihood))
        held_out = calibration(trained)
        rates.append((held_out.p_value(held_out.scores_to_compare(scored(trained, fresh))) <= 0.2).mean())
    error = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) <= 0.3 + 4 * error
    assert 0.08 <= np.mean(rates) <= 0.25


def test_predict_with_fdr_uses_the_median_p_values(fitted: Detector) -> None:
    x = np.concatenate([normal(40, 2), normal(20, 3) * 20])
    found = fitted.predict(x, fdr=0.2) == -1
    np.testing.assert_array_equal(found, benjamini_hochberg(fitted.p_value(x), 0.2).mask)
    assert found.any()


def test_explain_names_the_anomalous_cell(fitted: Detector) -> None:
    cells = fitted.explain([[50.0, 0.0]], top=1).explanation
    assert cells is not None
    assert cells["feature"][0, 0] == 0


def test_folds_too_small_for_a_tail_say_so(fitted: Detector) -> None:
    message = (
        r"p_value_tail: a tail needs at least 96 different held-out scores in each fold; "
        r"this model has 52 held-out rows in all folds"
    )
    with pytest.raises(InputError, match=message):
        fitted.p_value_tail([[0.0, 0.0]])


def test_fit_warns_of_an_alpha_too_small_for_the_folds() -> None:
    with pytest.warns(UserWarning, match=r"alpha 0\.05 is below .*, 0\.0556, of 17 calibration rows"):
        Detector(alpha=0.05, folds=3, settings=QUICK).fit(normal(60, 0))


def test_folds_are_a_parameter_and_unset_by_default() -> None:
    assert Detector().get_params()["folds"] is None
    assert repr(Detector(folds=5)) == "Detector(folds=5)"


def test_calibrating_on_new_rows_replaces_the_folds_by_one_calibration_with_guarantee_1(
    fitted: Detector, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from vaekit.bundle.packed import packed
    from vaekit.scoring import publish_calibration

    root = tmp_path_factory.mktemp("models")
    folder = root / "detector" / "1"
    folder.mkdir(parents=True)
    for name, data in packed(fitted.model_.bundle).items():
        (folder / name).write_bytes(data)
    x = normal(50, 7)
    np.save(root / "rows.npy", x)
    with Model.load(folder, device="cpu") as model:
        manifest = publish_calibration(model, root / "rows.npy")
        want = np.sort(model.elbo(x).score)
    assert manifest.calibration is not None
    (entry,) = manifest.calibration.entries
    assert (entry.folds, entry.guarantee, entry.n) == (None, 1.0, 50)
    assert len(entry.thresholds) == 5
    with Model.load(root / "detector" / "2", device="cpu") as model:
        calibration = model.calibration()
        assert isinstance(calibration, Calibration)
        np.testing.assert_array_equal(calibration.scores, want)
        detector = Detector.of(model, alpha=0.1)
        np.testing.assert_array_equal(detector.p_value(x), calibration.p_value(model.elbo(x).score))
        assert isinstance(detector.offset_, float)


def test_a_frame_of_mixed_kinds_with_missing_cells_is_fitted_with_folds() -> None:
    """Numbers, booleans, text, counts and missing cells work as they do without folds."""
    settings = [*QUICK, "data.kinds.stops=count"]
    detector = Detector(alpha=ALPHA, folds=3, settings=settings).fit(pd.DataFrame(columns(120)))
    model = detector.model_
    assert isinstance(model.spec, VectorSpec)
    assert {column.kind for column in model.spec.columns} == {"real", "binary", "category", "count"}
    assert any(column.may_be_missing for column in model.spec.columns)
    usual = pd.DataFrame(columns(40))
    calibration, scored = model.calibration(), model.bound(table(usual).values)
    assert isinstance(calibration, FoldCalibration)
    p_value = calibration.p_value(calibration.scores_to_compare(scored), scored.novel)
    np.testing.assert_array_equal(detector.p_value(usual), p_value)
    odd = usual.assign(colour=["blue" if load > 0 else "red" for load in usual["load"]])
    assert np.nanmean(detector.score_samples(odd)) < np.nanmean(detector.score_samples(usual))
    explained = detector.explain(odd, top=2).explanation
    assert explained is not None
    assert (explained["feature"] >= 0).all()
