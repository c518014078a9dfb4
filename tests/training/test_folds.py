"""Fold models: each is independent of its fold, and their mixture is a model like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.kinds import Published, folded_rows
from tests.training.models import images, table
from tests.training.resuming import digest
from vaekit.bundle import FoldCalibration
from vaekit.errors import ConfigError, InputError, Interrupted
from vaekit.runtime import Model
from vaekit_training.config import Config, make_config
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import split
from vaekit_training.export import double
from vaekit_training.folds import FoldModels
from vaekit_training.held_out import by_torch
from vaekit_training.loop.distributed import World
from vaekit_training.loop.folder import Keep, resumed
from vaekit_training.loop.tracking import History, of_folds
from vaekit_training.publish import publish_run
from vaekit_training.run import Listener, _run, run

F = 3
SMALL = ["training.steps=30", "network.hidden=[4]", "network.latent_dim=2", "draws.default=4", "draws.maximum=16"]


def config(*more: str) -> Config:
    return make_config({"name": "few", "data": {"source": "memory", "folds": F}}, [*SMALL, *more])


@pytest.fixture(scope="module")
def model(folded: Published) -> Iterator[Model]:
    with Model.load(folded.folder, device="cpu") as loaded:
        yield loaded


def models_of(published: Published) -> FoldModels:
    assert isinstance(published.trained.vae, FoldModels)
    return published.trained.vae


def test_folds_contain_each_train_and_calibration_row_once_and_have_equal_sizes() -> None:
    rows = table(100)
    by_folds = split(rows, config().data, 5)
    whole = split(rows, make_config({"name": "few", "data": {"source": "memory"}}).data, 5)
    assert [len(fold) for fold in by_folds.folds] == [27, 27, 26]
    assert sorted(np.concatenate(by_folds.folds)) == sorted(np.r_[whole.train, whole.calibration])
    for part in ("validation", "test", "anomalies"):
        np.testing.assert_array_equal(getattr(by_folds, part), getattr(whole, part))
    assert by_folds.rows_per_p_value == 27


@pytest.mark.parametrize(
    "more", [[], ["likelihood.name=student_t", "likelihood.scale=feature", "prior.name=aggregate", "network.members=2"]]
)
def test_a_fold_model_does_not_depend_on_the_rows_of_its_fold(more: list[str]) -> None:
    """Weights, standardisation, prior and stopping step are identical to the last bit."""
    rows, asked = table(60), config(*more)
    fold = split(rows, asked.data, asked.training.seed).folds[1]
    x = rows.x.copy()
    x[fold] = 7.0 * x[fold] + 1000.0
    before, after = (run(asked, device="cpu", rows=one).vae for one in (rows, Rows(x, rows.columns, rows.anomaly)))
    assert isinstance(before, FoldModels)
    assert isinstance(after, FoldModels)
    same = [digest(one) == digest(other) for one, other in zip(before.each, after.each, strict=True)]
    assert same == [False, True, False]


def test_the_elbo_is_the_log_mean_exp_of_the_elbos_of_the_fold_models(folded: Published, model: Model) -> None:
    x = folded.trained.rows.x[:50]
    got = model.elbo(x)
    assert got.fold_elbo is not None
    np.testing.assert_allclose(got.elbo, np.logaddexp.reduce(got.fold_elbo, axis=1) - np.log(F), atol=1e-6)
    for f, vae in enumerate(models_of(folded).each):
        own = by_torch(double(vae), "elbo", model, x)
        np.testing.assert_allclose(got.fold_elbo[:, f], own["elbo"], atol=1e-4 * 5, rtol=1e-4)
    assert np.ptp(got.fold_elbo, axis=1).min() > 1e-3
    np.testing.assert_allclose(got.elbo, got.log_likelihood - got.kl, atol=1e-9)
    assert (got.log_evidence >= got.elbo - 1e-6).all()


def test_members_of_all_fold_models_are_members_of_the_mixture(folded: Published, model: Model) -> None:
    """Latents, weights, decoded values and draws of each member are in the units of its fold model."""
    x, vaes = folded.trained.rows.x[:20], models_of(folded).each
    assert model.manifest.members == 6
    found = model.encode(x)
    assert found.mu.shape == (20, 6, 2)
    assert found.weights is not None
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, atol=1e-5)
    scored = model.elbo(x)
    assert scored.fold_elbo is not None
    of_folds = np.exp(scored.fold_elbo - scored.elbo[:, None]) / F
    np.testing.assert_allclose(found.weights.reshape(20, F, 2).sum(axis=2), of_folds, atol=1e-4)
    z, member = np.tile(found.mu[:1, 0], (6, 1)), np.arange(6)
    decoded = model.decode(z, member)
    for m in member:
        own = vaes[m // 2].decode(torch.from_numpy(z[m : m + 1]), torch.tensor([m % 2]))
        np.testing.assert_allclose(decoded.mean[m], own["mean"][0].detach().numpy(), rtol=1e-4, atol=1e-5)
    assert len(np.unique(model.sample(200, seed=0, observe=True).members)) == 6  # type: ignore[arg-type]  # there are members


def test_each_fold_is_calibrated_by_the_model_that_was_trained_without_it(folded: Published, model: Model) -> None:
    calibration, trained = model.calibration(), folded.trained
    assert isinstance(calibration, FoldCalibration)
    for f, (own, fold) in enumerate(zip(calibration.folds, trained.splits.folds, strict=True)):
        scored = model.elbo(trained.rows.x[fold])
        assert scored.fold_elbo is not None
        np.testing.assert_array_equal(own.scores, np.sort(-scored.fold_elbo[:, f]))
    assert model.manifest.provenance.rows["calibration"] == 0
    assert model.manifest.calibration is not None
    assert model.manifest.calibration.entries[0].guarantee == 1.5


def test_held_out_surprises_are_from_the_model_that_was_trained_without_the_row(
    folded: Published, model: Model
) -> None:
    trained, held_out = folded.trained, model.surprises
    assert held_out is not None
    surprises = []
    for vae, fold in zip(models_of(folded).each, trained.splits.folds, strict=True):
        own = by_torch(double(vae), "surprise", model, trained.rows.x[fold])
        surprises.append(np.where(np.isnan(trained.rows.x[fold]), np.nan, -own["feature_log_likelihood"]))
    want = np.nanmedian(np.concatenate(surprises), axis=0)
    np.testing.assert_allclose(held_out.features.middle, want, rtol=1e-5)
    explained = model.explain(folded_rows(30, seed=4), top=2)
    assert explained.explanation is not None
    assert np.isfinite(explained.explanation["p_value"][:, 0]).all()


def test_a_prediction_among_some_members_uses_only_these(model: Model) -> None:
    """With `among`, the expected value is that of the selected member."""
    from vaekit.runtime.explain.predict import predict

    x = np.array([[0.3, 1e-3, 2e4]])
    which = np.array([[0]])
    alone = np.array([[m == 4 for m in range(6)]])
    asked = predict(model, x, which, among=alone).expected
    latents = model.encode(x)
    z = latents.mu[0, 4] + latents.sigma[0, 4] * model.draws()  # (K, Z)
    want = model.decode(z, np.full(len(z), 4)).mean[:, 0].mean()
    np.testing.assert_allclose(asked, [[want]], rtol=1e-5)
    assert predict(model, x, which).expected != asked


def test_report_and_card_state_the_guarantee_of_folds(folded: Published, tmp_path: Path) -> None:
    manifest = publish_run(folded.trained, tmp_path)
    folder = tmp_path / manifest.name / "1" / "report"
    for page in ("report.html", "model-card.md"):
        text = (folder / page).read_text()
        assert "The p-value is the median of 3 p-values, one per fold" in text
        assert "1.5 alpha" in text
        assert "There is no single threshold" in text


def test_a_resumed_run_continues_with_the_fold_model_it_was_stopped_at(tmp_path: Path) -> None:
    rows, asked, steps = table(60), config("training.checkpoint_every=10"), []
    whole = run(asked, device="cpu", rows=rows)

    def stop(number: int) -> None:
        steps.append(number)
        if len(steps) == 45:  # in the middle of the second fold model
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        run(asked, device="cpu", rows=rows, keep=Keep(tmp_path), listener=Listener(on_step=stop))
    assert sorted(p.name for p in tmp_path.glob("checkpoint*")) == ["checkpoint-0.pt", "checkpoint-1.pt"]
    steps.clear()
    assert resumed(tmp_path).data.folds == F
    done = run(
        asked, device="cpu", rows=rows, keep=Keep(tmp_path, resume=True), listener=Listener(on_step=steps.append)
    )
    assert steps == [*range(11, 31), *range(1, 31)]
    assert digest(done.vae) == digest(whole.vae)
    assert done.history == whole.history


def test_the_history_is_the_mean_over_fold_models(folded: Published) -> None:
    assert not folded.trained.history.stopped_early
    one = folded.trained.history.validations[-1]
    longer = History((one, _later(one, 80, 4.0)), _later(one, 80, 4.0), stopped_early=False, warnings=("w",))
    shorter = History((one,), one, stopped_early=True)
    found = of_folds([longer, shorter])
    assert [validation.step for validation in found.validations] == [one.step, 80]
    assert found.validations[1].elbo == 4.0
    assert found.best.elbo == pytest.approx((one.elbo + 4.0) / 2)
    assert (found.stopped_early, found.warnings) == (True, ("fold model 0: w",))


def _later(validation: object, step: int, elbo: float) -> object:
    from dataclasses import replace

    return replace(validation, step=step, elbo=elbo)  # type: ignore[type-var]  # a Validation


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["data.folds=4"], "folds 4 is even"),
        (["data.folds=1"], "data.folds: Input should be greater than or equal to 3"),
        (["data.split=time:when"], "folds need split 'random'"),
        (["data.split=group:who"], "folds need split 'random'"),
        (["data.read=stream"], "folds are for few rows"),
        (["export.half=true"], "leave out export.half"),
        (["network.name=conv"], "is for columns"),
        (["likelihood.name=bernoulli", "likelihood.binarize=threshold"], "leave out likelihood.binarize"),
    ],
)
def test_settings_that_folds_do_not_support_are_refused_before_data_is_read(more: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        config(*more)


def test_folds_are_refused_for_images_for_several_ranks_and_for_too_few_rows() -> None:
    with pytest.raises(ConfigError, match=r"data.folds: 3 is for columns, but the rows are images"):
        run(config(), device="cpu", rows=images())
    with pytest.raises(ConfigError, match=r"fold models cannot be trained on 2 ranks"):
        _run(config(), torch.device("cpu"), Listener(), table(60), None, World(0, 2))
    with pytest.raises(InputError, match=r"data.folds = 9 needs at least 18 train and calibration rows, not 16"):
        run(config("data.folds=9"), device="cpu", rows=table(20))


def test_a_column_is_constant_in_the_mixture_only_if_it_is_in_every_fold_model() -> None:
    rows = table(60, constant=True)
    asked = config()
    x: NDArray[np.float64] = rows.x.copy()
    x[split(rows, asked.data, 0).folds[0][0], 5] = 8.0
    same, differs = (run(asked, device="cpu", rows=Rows(one, rows.columns, rows.anomaly)).vae for one in (rows.x, x))
    assert same.features.active.tolist() == [True] * 5 + [False]
    assert differs.features.active.all()
    assert isinstance(differs, FoldModels)
    assert [bool(vae.features.active[5]) for vae in differs.each] == [False, True, True]
