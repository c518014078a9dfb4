"""What is refused before training, or before a bundle is published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_publish import QUICK, table_config
from vaekit.bundle import models
from vaekit.errors import ConfigError, DeviceError, GoldenMismatch, InputError, MissingExtra, TrainingError
from vaekit_training import evaluate, run
from vaekit_training.config import make_config
from vaekit_training.data.load import load
from vaekit_training.data.split import split
from vaekit_training.features import Standardize
from vaekit_training.loop.tracking import Validation
from vaekit_training.run import Listener, train
from vaekit_training.vae import VAE


def test_graphs_that_differ_from_torch_are_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the graphs differ by 0.001 nats per dimension from torch in float64, nothing is published."""
    real = evaluate.double

    def shifted(vae: VAE) -> VAE:
        vae = real(vae)
        assert isinstance(vae.features, Standardize)
        vae.features.loc += 1e-3 * vae.features.scale
        return vae

    monkeypatch.setattr(evaluate, "double", shifted)
    config = table_config(tmp_path)
    with pytest.raises((TrainingError, GoldenMismatch)):
        train(config, tmp_path / "models")
    assert models(tmp_path / "models") == []


def test_a_very_anomalous_validation_row_does_not_prevent_publishing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.standard_normal((80, 2)), np.zeros(80)])
    tree = {"name": "flag", "data": {"source": str(tmp_path / "x.npy")}}
    np.save(tmp_path / "x.npy", x)
    config = make_config(tree, QUICK)
    odd = split(load(config.data), config.data, config.training.seed).validation[0]
    x[odd, 2] = 1.0  # a value that no training row has
    x[odd, 0] = 300.0
    np.save(tmp_path / "x.npy", x)
    assert train(config, tmp_path / "models").metrics["parity"].value < 1e-4


def test_stopping_by_ctrl_c_publishes_nothing(tmp_path: Path) -> None:
    def stop(_: Validation) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(table_config(tmp_path), tmp_path / "models", listener=Listener(on_validation=stop))
    assert list((tmp_path / "models").iterdir()) == []


def test_a_missing_package_is_reported_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    monkeypatch.setattr(run, "NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(MissingExtra, match=r"no_such_package cannot be imported.*vaekit\[training\]"):
        train(table_config(tmp_path), tmp_path / "models", listener=Listener(on_step=steps.append))
    assert steps == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens where there is no CUDA")
def test_missing_cuda_is_an_error_and_does_not_fall_back_to_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="torch finds no CUDA devices"):
        train(table_config(tmp_path), tmp_path / "models", device="cuda")


@pytest.mark.parametrize("name", ["mixed", "categorical"])
def test_a_likelihood_for_columns_is_refused_for_images(name: str, tmp_path: Path) -> None:
    config = make_config({"name": "m", "data": {"source": "digits"}, "likelihood": {"name": name}}, QUICK)
    with pytest.raises(ConfigError, match=f"'{name}' is for columns"):
        train(config, tmp_path)


def test_a_network_for_images_is_refused_for_columns_before_they_are_read() -> None:
    with pytest.raises(ConfigError, match=r"network.name = 'conv' is for images, but nowhere.csv holds columns"):
        make_config({"name": "m", "data": {"source": "nowhere.csv"}, "network": {"name": "conv"}}, [])


def test_grey_pixels_without_a_threshold_are_refused(tmp_path: Path) -> None:
    config = make_config({"name": "m", "data": {"source": "digits"}, "likelihood": {"name": "bernoulli"}}, QUICK)
    with pytest.raises(InputError, match=r"row 0, pixel \(0, 2, 0\): 80 is neither 0 nor 255.*binarize = 'threshold'"):
        train(config, tmp_path)


def test_grey_columns_without_a_threshold_are_refused(tmp_path: Path) -> None:
    config = table_config(tmp_path, "likelihood.name=bernoulli")
    with pytest.raises(InputError, match=r"row 0, feature 'x0': not 0 or 1: .*'gaussian'.*binarize = 'threshold'"):
        train(config, tmp_path)


@pytest.mark.parametrize("value", [1e200, 1e-200, 5e-324])
def test_columns_that_float64_cannot_standardise_are_named(tmp_path: Path, value: float) -> None:
    x = np.random.default_rng(0).standard_normal((40, 2))
    x[:, 1] = value * np.round(x[:, 1] * 10)
    np.save(tmp_path / "x.npy", x)
    config = make_config({"name": "m", "data": {"source": str(tmp_path / "x.npy")}}, QUICK)
    with pytest.raises(InputError, match=r"feature 'x1': .* convert the column to another unit"):
        train(config, tmp_path / "models")


def test_a_binarised_table_outside_its_range_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(-20, 150, (40, 2)))
    config = make_config(
        {"name": "m", "data": {"source": str(tmp_path / "x.npy")}},
        [*QUICK, "likelihood.name=bernoulli", "likelihood.binarize=threshold"],
    )
    with pytest.raises(InputError, match=r"row 0, feature 'x\d': not between 0 and 1: "):
        train(config, tmp_path / "models")


def test_a_models_folder_that_is_not_writable_is_reported_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    steps: list[int] = []
    with pytest.raises(ConfigError, match=r"models folder .*file/models is not writable: Not a directory"):
        train(table_config(tmp_path), tmp_path / "file" / "models", listener=Listener(on_step=steps.append))
    assert steps == []
