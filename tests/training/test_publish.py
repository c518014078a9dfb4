"""A run from end to end: what is published, what it contains, and what prevents publishing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.models import case
from tests.training.models import table as table_rows
from vaekit.bundle import find, versions
from vaekit.bundle.heldout import HeldOut
from vaekit.bundle.input_spec import VectorSpec
from vaekit.bundle.manifest import FORMAT, Manifest
from vaekit.errors import InputError, TrainingError
from vaekit.runtime import Model
from vaekit.runtime.cpu_count import cpu_count
from vaekit.runtime.explain.surprises import surprise
from vaekit_training import build, evaluate, run
from vaekit_training.config import Config, load_config, make_config
from vaekit_training.data.load import Rows, load
from vaekit_training.data.split import split
from vaekit_training.likelihoods import Gaussian
from vaekit_training.publish import _golden_rows, _other_draws, base_draws, publish_run
from vaekit_training.report.parts import number
from vaekit_training.run import train

QUICK = ["training.steps=60", "network.hidden=[8]", "network.latent_dim=3", "draws.default=4"]


def table_config(tmp_path: Path, *overrides: str) -> Config:
    """A config for 60 rows with a constant column and a label."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 4)) * np.array([1, 1e4, 1e-3, 1]) + 5
    odd = np.arange(60) % 12 == 0
    x[odd] += 40
    np.savez(tmp_path / "rows.npz", X=np.column_stack([x, np.full(60, 3.0)]), odd=odd.astype(int))
    tree = {"name": "table", "data": {"source": str(tmp_path / "rows.npz"), "label": "odd"}}
    return make_config(tree, [*QUICK, *overrides])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, Config]:
    folder = tmp_path_factory.mktemp("table")
    config = table_config(folder)
    return folder / "models", train(config, folder / "models"), config


def test_a_published_bundle_can_be_loaded_and_states_its_provenance(table: tuple[Path, Manifest, Config]) -> None:
    root, manifest, config = table
    folder = find(root, "table", 1)
    with Model.load(folder, device="cpu") as model:
        assert model.manifest == manifest
    assert load_config(folder / "config.toml") == config
    assert manifest.provenance.rows == {"train": 33, "validation": 5, "calibration": 11, "test": 6, "anomalies": 5}
    assert manifest.provenance.data_sha256 == load(config.data).digest()
    assert manifest.provenance.versions["torch"] == torch.__version__
    assert manifest.draws.default == 4
    assert set(manifest.operations) == {"encode", "prior", "decode", "observe", "elbo", "surprise"}


def test_constant_columns_are_named_and_stated_in_the_manifest(table: tuple[Path, Manifest, Config]) -> None:
    root, manifest, _ = table
    assert isinstance(manifest.input, VectorSpec)
    constants = {column.name: column.constant for column in manifest.input.columns if column.constant}
    assert list(constants) == ["x4"]
    assert constants["x4"].value == 3.0  # type: ignore[union-attr]  # filtered above
    assert constants["x4"].scale == pytest.approx(3e-6)  # type: ignore[union-attr]  # filtered above
    assert "Constant in the training rows: x4." in (find(root, "table") / "report" / "model-card.md").read_text()


def test_golden_tolerances_allow_for_rounding_errors_that_small_scales_enlarge(tmp_path: Path) -> None:
    config = table_config(tmp_path, "likelihood.scale=feature", "likelihood.scale_floor=1e-4")
    trained = run.run(config, device="cpu")
    with torch.no_grad():  # the mean has a rounding error of 1e-3 scales in float32
        trained.one.likelihood.spread.raw_scale.fill_(-60.0)
        trained.one.decoder[0].weight.zero_()
        trained.one.decoder[-1].bias.fill_(3.0)
    allowed = publish_run(trained, tmp_path / "models").golden.tolerance
    assert 1e-4 < allowed["CPUExecutionProvider"].absolute < 1e-2


def test_golden_tolerances_are_at_least_the_minimum_and_four_times_the_rounding_error() -> None:
    exact, rounded = np.array([-9.0, 0.0]), np.array([-9.01, 1e-3], dtype=np.float32)
    assert evaluate.largest_off(rounded, exact, None) == pytest.approx(1e-3, rel=1e-3)
    assert evaluate.largest_off(rounded, exact, np.array([91.0, 10.0])) == pytest.approx(1e-4, rel=1e-3)
    least = {"CPUExecutionProvider": 1e-4, "CUDAExecutionProvider": 1e-3}
    found = [evaluate.tolerances(worst, least) for worst in (1e-6, 1e-4, 1e-3)]
    assert [one["CPUExecutionProvider"].relative for one in found] == [1e-4, 4e-4, 4e-3]
    assert [one["CUDAExecutionProvider"].absolute for one in found] == [1e-3, 1e-3, 4e-3]


def test_the_report_is_written(table: tuple[Path, Manifest, Config]) -> None:
    report = find(table[0], "table") / "report"
    assert sorted(path.name for path in report.iterdir()) == ["model-card.md", "report.html"]
    card = (report / "model-card.md").read_text()
    assert "exchangeable" in card
    assert number(table[1].metrics["elbo"].value, 6) in card


def test_calibration_scores_are_those_of_the_calibration_rows(table: tuple[Path, Manifest, Config]) -> None:
    root, _, config = table
    rows = load(config.data)
    parts = split(rows, config.data, config.training.seed)
    with Model.load(find(root, "table"), device="cpu") as model:
        calibration = model.calibration()
        assert not isinstance(calibration, str)
        np.testing.assert_allclose(calibration.scores, np.sort(model.elbo(rows.x[parts.calibration]).score), rtol=1e-6)
        assert calibration.n == len(parts.calibration)
        assert model.surprises is not None
        of_cells = HeldOut.of(surprise(model.surprise(rows.x[parts.calibration]), rows.x[parts.calibration]))
        np.testing.assert_allclose(model.surprises.features.largest, of_cells.largest, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(model.surprises.usual, np.sort(rows.x[parts.calibration], axis=0)[5])  # of 11
        assert isinstance(model.calibration(num_samples=5), str)
        assert isinstance(model.calibration(seed=1), str)


def test_metrics_use_independent_draws_and_state_their_error(table: tuple[Path, Manifest, Config]) -> None:
    root, manifest, config = table
    rows = load(config.data)
    parts = split(rows, config.data, config.training.seed)
    with Model.load(find(root, "table"), device="cpu") as model:
        x = rows.x[parts.test]
        eps = np.random.default_rng(config.training.seed).standard_normal((len(x), 4, 3))  # independent by row
        bound = model.elbo(x, eps=eps)
    assert manifest.metrics["elbo"].value == pytest.approx(bound.elbo.mean())
    error = bound.elbo.std(ddof=1) / np.sqrt(len(bound))
    assert manifest.metrics["elbo"].standard_error == pytest.approx(error)
    assert manifest.metrics["auroc"].value > 0.9
    validation = manifest.metrics["validation_elbo"]
    assert validation.n == len(parts.validation)
    assert validation.standard_error is not None
    assert validation.standard_error > 0
    assert 0 <= manifest.metrics["parity"].value < 1e-4


def test_new_bundles_have_whitened_draws_and_their_measured_error(table: tuple[Path, Manifest, Config]) -> None:
    root, manifest, config = table
    rows = load(config.data)
    x = rows.x[split(rows, config.data, config.training.seed).test]
    assert (manifest.format, manifest.draws.rule) == (FORMAT, "first-k-whitened")
    with Model.load(find(root, "table"), device="cpu") as model:
        eps = model.draws()  # (4, 3)
        np.testing.assert_allclose(eps.T @ eps / 4, np.eye(3), atol=1e-6)
        many = np.mean([model.elbo(x, num_samples=256, seed=seed).elbo for seed in range(20)], axis=0)
        off = model.elbo(x).elbo - many
        others = _other_draws(manifest, config.training.seed)
        measured = model.bound(x).elbo - model.bound(x, eps=others).elbo
    bias, error = manifest.metrics["quadrature_bias"], manifest.metrics["quadrature_error"]
    assert bias.n == error.n == len(x)
    assert bias.value == pytest.approx(off.mean(), abs=0.05)
    assert error.value == pytest.approx(np.sqrt(np.square(off).mean()), abs=0.05)
    assert (bias.value, error.value) == pytest.approx((measured.mean(), np.sqrt(np.square(measured).mean())), rel=1e-3)
    assert error.value > 1e-3
    assert "4 default draws minus ELBO of 64 others" in (bias.unit or "")


def test_the_same_config_gives_the_same_bundle(tmp_path: Path, table: tuple[Path, Manifest, Config]) -> None:
    _, first, config = table
    second = train(config, tmp_path)
    assert second.operations == first.operations  # digests of the graphs
    assert second.golden == first.golden
    assert second.calibration == first.calibration
    assert second.metrics == first.metrics


def test_training_again_publishes_a_new_version_and_keeps_the_old_one(tmp_path: Path) -> None:
    config = make_config(
        {"name": "binary", "data": {"source": str(bits(tmp_path))}, "likelihood": {"name": "bernoulli"}}, QUICK
    )
    for _ in range(2):
        manifest = train(config, tmp_path / "models")
    assert manifest.version == 2
    assert versions(tmp_path / "models", "binary") == [1, 2]
    assert isinstance(manifest.input, VectorSpec)
    assert {column.kind for column in manifest.input.columns} == {"binary"}
    with Model.load(tmp_path / "models" / "binary", device="cpu") as model:
        assert np.isin(model.sample(20, seed=0, observe=True).samples, (0, 1)).all()
        assert model.decode(np.zeros((1, 3))).scale is None
        with pytest.raises(InputError, match=r"row 0, feature 'x0': not 0 or 1: 0\.5"):
            model.elbo([[0.5] * 5], strict=True)


def bits(tmp_path: Path) -> Path:
    np.save(tmp_path / "bits.npy", (np.random.default_rng(0).random((60, 5)) < 0.4).astype(float))
    return tmp_path / "bits.npy"


@pytest.mark.parametrize("kind", ["gaussian, scale from the network", "bernoulli, colour"])
def test_golden_inputs_are_not_training_rows(kind: str) -> None:
    one = case(kind)
    golden = _golden_rows(one.vae, one.rows, seed=0)
    known = {row.tobytes() for row in one.rows.x}
    assert not any(row.tobytes() in known for row in golden)
    assert golden.dtype == one.rows.x.dtype


def test_parity_is_measured_against_float64_and_names_the_worst_row(
    table: tuple[Path, Manifest, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _, config = table
    trained = run.run(config)
    x = trained.rows.x[trained.splits.validation]
    with Model.load(find(root, "table"), device="cpu") as model:
        off = evaluate.parity(model, trained.vae, x)
        assert 0 < off < 1e-4
        monkeypatch.setattr(evaluate, "double", lambda vae: vae)
        assert evaluate.parity(model, trained.vae, x) != off
        monkeypatch.setattr(evaluate, "LARGEST_PARITY", 1e-12)
        with pytest.raises(TrainingError, match=r"of validation row [0-5]"):
            evaluate.parity(model, trained.vae, x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_cuda_publishes(tmp_path: Path) -> None:
    assert train(table_config(tmp_path), tmp_path / "models", device="cuda").version == 1


def test_base_draws_are_quasi_random_normals() -> None:
    draws = base_draws(5, 256, seed=0)
    assert np.isfinite(draws).all()
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(np.square(draws).mean(axis=0), 1, atol=0.05)
    assert np.array_equal(draws, base_draws(5, 256, seed=0))


def test_small_steps_run_on_one_thread_and_the_thread_count_is_restored() -> None:
    small, large = (case("gaussian, one scale", f"network.hidden=[{width}]").vae for width in (8, 4096))
    assert run.fitting_threads(small, 128) == 1
    assert run.fitting_threads(large, 65536) == cpu_count()
    before = torch.get_num_threads()
    with run.cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_an_outlier_does_not_raise_the_scale_floor_of_a_rounded_column() -> None:
    rows = table_rows(100)
    x = rows.x.copy()
    x[:, 1] = 5.0
    x[0, 1] = 1e6
    config = case("gaussian, one scale").config
    vae = build.build(config, Rows(x, rows.columns, rows.anomaly), np.arange(100))
    assert isinstance(vae.likelihood, Gaussian)
    assert vae.likelihood.floor[1] <= 1.0
