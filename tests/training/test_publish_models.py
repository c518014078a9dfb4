"""Bundles of image models, and of models with an aggregate prior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.test_publish import QUICK, table_config
from vaekit.bundle import find
from vaekit.bundle.input_spec import ImageSpec
from vaekit.errors import InputError
from vaekit.runtime import Bound, Model
from vaekit_training.config import make_config
from vaekit_training.run import train


def test_a_model_of_colour_images_is_published_and_loads(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.random.default_rng(0).integers(0, 256, (40, 4, 3, 3), dtype=np.uint8))
    tree = {"name": "colour", "data": {"source": str(tmp_path / "p.npy")}}
    config = make_config(tree, [*QUICK, "likelihood.name=bernoulli", "likelihood.binarize=threshold"])
    manifest = train(config, tmp_path)
    assert manifest.input == ImageSpec(height=4, width=3, channels=3)
    assert manifest.likelihood.threshold == 127.5
    assert manifest.metrics["bits_per_dim"].value > 0
    with Model.load(tmp_path / "colour", device="cpu") as model:
        assert model.sample(2, seed=1).samples.shape == (2, 4, 3, 3)
        same = model.elbo(np.full((1, 4, 3, 3), 128, dtype=np.uint8)).elbo
        assert model.elbo(np.full((1, 4, 3, 3), 255, dtype=np.uint8)).elbo == same  # both binarise to ones


def test_a_convolutional_model_of_pixels_has_bits_per_dim_among_its_metrics(tmp_path: Path) -> None:
    overrides = ["training.steps=20", "network.latent_dim=2", "network.channels=[4]", "draws.default=2"]
    tree = {
        "name": "pixels",
        "data": {"source": "digits"},
        "network": {"name": "conv"},
        "likelihood": {"name": "discretized_logistic", "components": 2},
    }
    manifest = train(make_config(tree, overrides), tmp_path)
    assert (manifest.likelihood.mass, manifest.likelihood.bits_per_dim_of) == (True, "pixels")
    elbo, bits = manifest.metrics["elbo"].value, manifest.metrics["bits_per_dim"].value
    assert bits == pytest.approx(-elbo / (64 * np.log(2)))
    with Model.load(find(tmp_path, "pixels"), device="cpu") as model:
        drawn = model.sample(3, seed=0, observe=True).samples
        assert np.array_equal(drawn, np.rint(drawn))
        assert np.isfinite(model.elbo(drawn).elbo).all()


def test_a_bundle_with_an_aggregate_prior_warns_about_the_rows_it_contains(tmp_path: Path) -> None:
    config = table_config(tmp_path, "prior.name=aggregate", "prior.components=10", "network.members=2")
    manifest = train(config, tmp_path / "models")
    assert (manifest.prior.name, manifest.prior.components, manifest.members) == ("aggregate", 10, 2)
    folder = tmp_path / "models" / "table" / "1"
    assert "contains latents of training rows" in (folder / "report" / "model-card.md").read_text()
    with Model.load(folder, device="cpu") as model:
        drawn = model.sample(200, seed=0)
        assert drawn.members is not None
        assert set(drawn.members.tolist()) == {0, 1}
        again = model.sample(50, seed=0)
        np.testing.assert_array_equal(again.latents, drawn.latents[:50])
        latents = model.encode(drawn.samples)
        assert latents.weights is not None
        np.testing.assert_allclose(latents.weights.sum(axis=1), 1.0, rtol=1e-6)
        with pytest.raises(InputError, match=r"members: not given, expected one of 0\.\.1 for each row"):
            model.decode(drawn.latents)


def test_with_an_aggregate_prior_the_bound_has_a_graph_of_its_own(tmp_path: Path) -> None:
    config = table_config(tmp_path, "prior.name=aggregate", "prior.components=10", "network.members=2")
    train(config, tmp_path / "models")
    with Model.load(find(tmp_path / "models", "table"), device="cpu") as model:
        rows = model.sample(300, seed=0).samples
        whole, alone = model.elbo(rows, num_samples=3), model.bound(rows, num_samples=3)
        assert [tensor.name for tensor in model.manifest.operations["bound"].outputs] == [
            "elbo",
            "log_likelihood",
            "kl",
        ]
        assert type(alone) is Bound
        for name in ("elbo", "log_likelihood", "kl"):
            np.testing.assert_allclose(getattr(alone, name), getattr(whole, name), rtol=1e-6, atol=1e-6)
        model.graphs.pop("bound")
        other = model.bound(rows, num_samples=3)
        assert type(other) is Bound  # for every graph, so that results can be joined
        np.testing.assert_array_equal(other.elbo, whole.elbo)
