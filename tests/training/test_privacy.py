"""What a bundle reveals about its training rows: the figures, the number of rows, and refused temperatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds import Published
from vaekit import Model
from vaekit.bundle import Manifest, VectorSpec, find
from vaekit.bundle.input_spec import Column, ImageSpec
from vaekit.bundle.privacy import Privacy
from vaekit.detector import Detector
from vaekit.errors import ConfigError, InputError
from vaekit.runtime.sampling import check_temperature
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.privacy import Coordinates
from vaekit_training.report.words import privacy
from vaekit_training.run import Listener, run, train
from vaekit_training.unused import unused

FIGURES = (
    "membership_auc",
    "training_rows_reconstructed",
    "held_out_rows_reconstructed",
    "training_rows_reconstructed_at_1",
    "held_out_rows_reconstructed_at_1",
)


def published(folder: Path, *settings: str, draws_report: bool = False) -> Manifest:
    """The manifest of a model of 80 rows of 6 columns, whose latents are wide enough to tell its rows apart."""
    x = np.random.default_rng(0).standard_normal((80, 6))
    tree = {"name": "x", "data": {"source": "memory"}, "network": {"latent_dim": 6, "hidden": [32]}}
    quick = ["training.steps=400", "training.learning_rate=0.01", "objective.beta=0.1", "draws.default=4"]
    rows = of_array(x, [f"c{d}" for d in range(6)])
    config = make_config(tree, [*quick, *settings])
    return train(config, folder, device="cpu", rows=rows, draws_report=draws_report)


@pytest.fixture(scope="module")
def aggregate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("aggregate")
    return folder, published(folder, "prior.name=aggregate", "prior.components=40", "prior.start=1.0")


def test_training_rows_in_the_prior_are_counted_and_measured(aggregate: tuple[Path, Manifest]) -> None:
    manifest = aggregate[1]
    assert manifest.privacy == Privacy(training_rows=40, allow_low_temperature=False)
    value = {name: manifest.metrics[name].value for name in FIGURES}
    assert value["membership_auc"] > 0.75  # 40 of the 48 training rows have a component of their own
    assert value["training_rows_reconstructed"] > value["held_out_rows_reconstructed"]
    assert manifest.metrics["training_rows_reconstructed"].n == 48
    assert manifest.metrics["membership_auc"].n == 48 + 24  # training rows, calibration and test rows
    assert "of one of 40 samples at temperature 0" in (manifest.metrics["training_rows_reconstructed"].unit or "")


def test_the_figures_are_those_of_a_caller_who_counts(aggregate: tuple[Path, Manifest], tmp_path: Path) -> None:
    """Measures the shares again, with samples that an allowing bundle gives."""
    folder, manifest = aggregate
    x = np.random.default_rng(0).standard_normal((80, 6))
    own = tmp_path / "x"
    own.mkdir()
    (own / "1").symlink_to(find(folder, "x"), target_is_directory=True)
    with Model.load(own, device="cpu") as model:
        model.manifest = manifest.model_copy(update={"privacy": Privacy(training_rows=40, allow_low_temperature=True)})
        samples = model.sample(2000, seed=0, temperature=0.0).samples  # each of 40 components many times
        assert len(np.unique(samples.round(6), axis=0)) == 40
        near = np.sqrt((((x[:, None] - samples[None]) / x.std(0)) ** 2).mean(-1)).min(1) <= 0.15
        share = manifest.metrics["training_rows_reconstructed"].value * 48
    assert near.sum() == pytest.approx(share + manifest.metrics["held_out_rows_reconstructed"].value * 24, abs=3)


def test_a_normal_prior_has_no_training_rows_and_samples_at_any_temperature(tmp_path: Path) -> None:
    manifest = published(tmp_path, "prior.name=normal")
    assert "of the only sample at temperature 0" in (manifest.metrics["training_rows_reconstructed"].unit or "")
    assert manifest.privacy == Privacy(training_rows=0)
    assert abs(manifest.metrics["membership_auc"].value - 0.5) < 0.25
    assert manifest.metrics["training_rows_reconstructed"].value == 0.0
    with Model.load(find(tmp_path, "x"), device="cpu") as model:
        assert (model.sample(3, seed=0, temperature=0.0).latents == 0).all()


@pytest.mark.parametrize("temperature", [0.0, -0.0, 5e-324, 1e-9, 0.1, 0.5, 0.999])
def test_temperatures_below_1_are_refused_where_the_prior_consists_of_training_rows(
    aggregate: tuple[Path, Manifest], folded: Published, temperature: float
) -> None:
    share = f"{aggregate[1].metrics['training_rows_reconstructed'].value:.0%}"
    with Model.load(find(aggregate[0], "x"), device="cpu") as model:
        with pytest.raises(
            InputError, match=rf"copies of training rows \(of {share} of them at temperature 0"
        ) as caught:
            model.sample(2, seed=0, temperature=temperature)
        assert model.sample(2, seed=0).samples.shape == (2, 6)
    for said in ("use 1 or more", "privacy.allow_low_temperature = true", "prior.name = 'normal'"):
        assert said in str(caught.value)
    with Model.load(folded.folder, device="cpu") as model, pytest.raises(InputError, match="copies of training rows"):
        model.sample(2, seed=0, temperature=temperature, observe=True)


def test_a_bundle_may_allow_low_temperatures_and_its_card_and_report_say_so(tmp_path: Path) -> None:
    settings = ["prior.name=aggregate", "privacy.allow_low_temperature=true", "training.steps=20"]
    manifest = published(tmp_path, *settings, draws_report=True)
    assert manifest.privacy == Privacy(training_rows=48, allow_low_temperature=True)
    folder = find(tmp_path, "x")
    with Model.load(folder, device="cpu") as model:
        assert len(np.unique(model.sample(200, seed=0, temperature=0.0).latents, axis=0)) <= 48
    with pytest.raises(InputError, match="temperature: -1"):
        check_temperature(manifest, -1.0)
    card, page = ((folder / "report" / name).read_text() for name in ("model-card.md", "report.html"))
    for text in (card, page):
        assert "/sample accepts temperatures below 1" in text
        assert "membership_auc" in text
        assert "mu and sigma of 48 training rows" in text
    assert "\n## Privacy\n" in card


def test_fold_models_count_the_rows_of_all_their_priors(folded: Published) -> None:
    with Model.load(folded.folder, device="cpu") as model:
        assert model.manifest.privacy is not None
        splits = folded.trained.splits
        assert model.manifest.privacy.training_rows == len(splits.train)  # each row is in two of three fold models
        assert model.manifest.metrics["membership_auc"].n == len(splits.train) + len(splits.validation) + len(
            splits.test
        )


def test_the_bundle_of_a_detector_has_the_same_facts() -> None:
    x = np.random.default_rng(1).standard_normal((100, 3))
    settings = ["training.steps=30", "network.hidden=[8]"]
    with_rows, without = (Detector(settings=[*settings, *more]).fit(x) for more in ([], ["prior.name=normal"]))
    manifest = with_rows.model_.manifest
    assert manifest.privacy == Privacy(training_rows=manifest.provenance.rows["train"])
    assert set(FIGURES) <= manifest.metrics.keys()
    assert without.model_.manifest.privacy == Privacy(training_rows=0)
    assert set(FIGURES) <= without.model_.manifest.metrics.keys()
    assert without.model_.manifest.members == manifest.members == 3


def test_one_setting_leaves_training_rows_out_of_the_default_recipe() -> None:
    tree = {"name": "x", "data": {"source": "rows.csv"}, "likelihood": {"name": "auto"}}
    config = make_config(tree, ["prior.name=normal"])
    assert config.prior.name == "normal"
    assert config.network.members == 3
    assert unused(config) == []
    allowed = make_config(tree, ["prior.name=normal", "privacy.allow_low_temperature=true"])
    assert unused(allowed) == [
        "privacy.allow_low_temperature = True has no effect: it needs prior.name = 'aggregate' or 'kernel'"
    ]


def test_the_model_card_says_what_the_bundle_reveals(aggregate: tuple[Path, Manifest], several: Published) -> None:
    with Model.load(several.folder, device="cpu") as model:
        several_manifest = model.manifest
    said = privacy(aggregate[1])
    assert "/sample refuses temperatures below 1" in said
    assert f"AUC of {aggregate[1].metrics['membership_auc'].value:.3f}" in said
    assert "no training rows are in the bundle" in privacy(several_manifest)


def brute(a: Any, samples: Any, scale: Any) -> Any:
    """Root mean square difference over observed cells from the nearest sample."""
    return np.array([min(np.sqrt(np.nanmean(((row - s) / scale) ** 2)) for s in samples) for row in a])


def test_distances_are_in_standard_deviations_per_observed_column() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 3)) * [1e-6, 1.0, 1e9] + [0, 5, 1e10]
    x[rng.random(x.shape) < 0.2] = np.nan
    x[np.isnan(x).all(1)] = 5.0
    spec = VectorSpec(columns=tuple(Column(name=n, may_be_missing=True) for n in "abc"))
    space = Coordinates(spec, x)
    samples = rng.standard_normal((2300, 3)) * [1e-6, 1.0, 1e9] + [0, 5, 1e10]
    got = space.nearest(x, space.of(samples)[0])
    np.testing.assert_allclose(got, brute(x, samples, np.nanstd(x, axis=0)), rtol=1e-6)


def test_levels_are_one_apart_and_constant_columns_are_left_out() -> None:
    columns = (
        Column(name="a", kind="category", levels=("x", "y", "z"), may_be_missing=True),
        Column(name="b"),
        Column(name="c"),
    )
    x = np.array([[0, 1.0, 7.0], [1, 3.0, 7.0], [2, 1.0, 7.0], [np.nan, 3.0, 7.0]])
    space = Coordinates(VectorSpec(columns=columns), x)
    samples = space.of(np.array([[0, 1.0, 99.0]]))[0]
    want = np.sqrt([0.0, (1 + 4) / 2, 1 / 2, 4.0])  # the standard deviation of b is 1; the last row has one cell
    np.testing.assert_allclose(space.nearest(x, samples), want)


def test_pixels_share_one_standard_deviation() -> None:
    x = np.zeros((4, 2, 2, 1), dtype=np.uint8)
    x[:, 0, 0, 0] = [0, 200, 0, 200]  # the other pixels are black in all images
    space = Coordinates(ImageSpec(height=2, width=2, channels=1), x)
    samples = space.of(np.full((1, 2, 2, 1), 10.0))[0]
    want = np.sqrt(np.array([4 * 10.0**2, 190.0**2 + 3 * 10.0**2]) / 4) / np.sqrt(100.0**2 / 4)
    np.testing.assert_allclose(space.nearest(x[:2], samples), want)


def test_training_rows_are_in_the_bundle_of_a_kernel_prior_only_if_asked_and_its_card_says_so(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((80, 6))
    tree = {"name": "x", "data": {"source": "memory"}, "likelihood": {"name": "auto"}}
    rows = of_array(x, [f"c{d}" for d in range(6)])
    for shown in (False, True):
        config = make_config(tree, {"privacy.show_exemplars": shown})
        manifest = train(config, tmp_path, device="cpu", rows=rows)
        assert manifest.privacy is not None
        assert manifest.privacy.show_exemplars == (manifest.exemplars is not None) == shown
        folder = find(tmp_path, "x")
        assert (folder / "exemplars.npz").exists() == shown
        card = (folder / "report" / "model-card.md").read_text()
        assert ("The bundle holds these rows as they were given" in card) == shown
        assert ("privacy.show_exemplars is true" in card) == shown
    with np.load(folder / "exemplars.npz") as stored:
        np.testing.assert_array_equal(stored["x"], x[stored["row"]])
        assert len(stored["row"]) == manifest.privacy.training_rows == manifest.exemplars.n  # type: ignore[union-attr]  # it has both


def test_a_table_that_kernels_cannot_model_shows_no_training_rows_and_the_run_says_so() -> None:
    x = np.ones((60, 2))  # no column varies
    config = make_config(
        {"name": "x", "data": {"source": "memory"}, "likelihood": {"name": "auto"}}, ["privacy.show_exemplars=true"]
    )
    assert unused(config) == []

    def stop(text: str) -> None:
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match=r"show_exemplars = True has no effect: a kernel prior cannot model this"):
        run(config, device="cpu", rows=of_array(x, ["a", "b"]), listener=Listener(warn=stop))


def test_rows_that_are_streamed_cannot_be_shown() -> None:
    tree = {"name": "x", "data": {"source": "rows", "read": "stream"}, "likelihood": {"name": "auto"}}
    with pytest.raises(ConfigError, match=r"privacy\.show_exemplars needs the number of each row, which data\.read"):
        make_config(tree, ["privacy.show_exemplars=true"])
