"""HTTP with JSON, HTTP with npy, the runtime and torch give the same score for a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.kinds import Published, as_json
from tests.live import serving
from tests.training.models import table
from vaekit import Client, Model
from vaekit.bundle import find
from vaekit_training.config import make_config
from vaekit_training.export import double
from vaekit_training.features import observed_rows
from vaekit_training.publish import publish_run
from vaekit_training.run import run
from vaekit_training.trained import Trained
from vaekit_training.vae import VAE

TERMS = ("elbo", "log_likelihood", "kl", "log_evidence", "feature_log_likelihood")
BERNOULLI = ["likelihood.name=bernoulli", "likelihood.binarize=threshold"]


@dataclass(frozen=True)
class Ways:
    """The same model in torch, in the runtime and behind HTTP."""

    trained: Trained
    model: Model
    client: Client

    @property
    def x(self) -> NDArray[Any]:
        """Rows, some with missing cells if cells may be missing."""
        return self.trained.rows.x[:20]

    @property
    def listed(self) -> list[Any]:
        """The same rows in JSON."""
        return as_json(self.x, self.model.spec)

    def in_torch(self, vae: VAE) -> dict[str, torch.Tensor]:
        """The rows as inputs of the VAE in torch."""
        x = torch.from_numpy(self.x)
        return dict(zip(("x", "observed"), observed_rows(x), strict=True)) if vae.features.may_be_missing else {"x": x}


def _published(kind: str, root: Path) -> tuple[Path, Trained]:
    """A models folder, and the run of its model `ways`."""
    source, overrides = root / "rows.npy", ["training.steps=60", "network.hidden=[8]", "network.latent_dim=3"]
    if kind == "table":
        np.save(source, table(200, constant=True).x)
    else:
        np.save(source, np.random.default_rng(0).integers(0, 256, (60, 4, 3, 3), dtype=np.uint8))
        overrides += BERNOULLI
    trained = run(make_config({"name": "ways", "data": {"source": str(source)}}, overrides))
    publish_run(trained, root / "models")
    return root / "models", trained


@pytest.fixture(scope="module", params=["table", "pictures", "mixed", "several"])
def ways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    if request.param in ("mixed", "several"):
        published: Published = request.getfixturevalue(request.param)
        models, trained = published.root, published.trained
    else:
        models, trained = _published(request.param, tmp_path_factory.mktemp("ways"))
    name = trained.config.name
    with (
        Model.load(find(models, name), device="cpu") as model,
        serving(models, default_model=name) as url,
        Client(url) as client,
    ):
        yield Ways(trained, model, client)


def _close(got: Any, want: Any, dim: int) -> None:
    """Equal within 1e-5 relative, plus the rounding error of float32 sums of D terms."""
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * dim)


def test_scores_agree_four_ways(ways: Ways) -> None:
    x, dim = ways.x, ways.model.spec.dim
    eps = torch.from_numpy(ways.model.draws()).double().expand(len(x), -1, -1)
    vae = double(ways.trained.vae)
    with torch.no_grad():
        in_torch = vae.bound(eps=eps, **ways.in_torch(vae))._asdict()
    by_json = ways.client.elbo(ways.listed, features=True)
    by_npy = ways.client.elbo(x, features=True)
    by_runtime = ways.model.surprise(x)
    for term in TERMS:
        _close(getattr(by_runtime, term), in_torch[term].numpy().reshape(getattr(by_runtime, term).shape), dim)
        _close(getattr(by_npy, term), getattr(by_runtime, term), dim)
        _close(getattr(by_json, term), getattr(by_runtime, term), dim)
    assert by_npy.p_value is not None
    assert by_json.p_value is not None
    np.testing.assert_array_equal(by_npy.p_value, by_json.p_value)
    count = (~np.isnan(x)).sum(axis=1) if ways.model.spec.may_be_missing else None
    for got in (by_json.observed_count, by_npy.observed_count, by_runtime.observed_count):
        np.testing.assert_array_equal(got, count)


def test_a_missing_cell_adds_nothing_to_the_likelihood(ways: Ways) -> None:
    per_feature = ways.model.surprise(ways.x).feature_log_likelihood
    assert per_feature is not None
    assert ((per_feature == 0) == np.isnan(ways.x.astype(np.float64))).all()
    _close(
        per_feature.reshape(len(ways.x), -1).sum(axis=1), ways.model.elbo(ways.x).log_likelihood, ways.model.spec.dim
    )


def test_latents_and_decodings_agree_four_ways(ways: Ways) -> None:
    vae = double(ways.trained.vae)
    with torch.no_grad():
        mu, sigma = (a.numpy() for a in vae.encode(**ways.in_torch(vae)))
    members = None if vae.members == 1 else np.arange(len(ways.x)) % vae.members
    if members is not None:
        mu, sigma = mu.swapaxes(0, 1), sigma.swapaxes(0, 1)  # (N, M, Z)
    here = ways.model.encode(ways.x)
    for inputs in (ways.x, ways.listed):
        got = ways.client.encode(inputs)
        np.testing.assert_allclose(got.mu, mu, atol=1e-5)
        np.testing.assert_allclose(got.sigma, sigma, atol=1e-5)
        for weights in (got.weights, here.weights):
            assert (weights is None) == (members is None)
            if weights is not None:
                np.testing.assert_allclose(weights, here.weights, atol=1e-6)
                np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    z = mu if members is None else mu[np.arange(len(mu)), members]  # (N, Z)
    _decodings_agree(ways, vae, z, members)


def _decodings_agree(ways: Ways, vae: VAE, z: NDArray[Any], members: NDArray[Any] | None) -> None:
    with torch.no_grad():
        wanted = vae.decode(torch.from_numpy(z), None if members is None else torch.from_numpy(members))
    want = {name: a.numpy() for name, a in wanted.items()}
    unit = vae.features.to_raw_scale(torch.ones(vae.features.dim)).numpy()
    here = ways.model.decode(z, members)
    for latents in (z, z.tolist()):
        there = ways.client.decode(latents, members=members)
        for name in ("mean", "scale"):
            for got in (getattr(there, name), getattr(here, name)):
                assert (got is None) == (name not in want)
                if got is not None:
                    assert (np.abs(got - want[name]) <= 1e-5 * unit + 1e-5 * np.abs(want[name])).all()
        if there.probabilities is not None:
            by_level = np.concatenate(list(there.probabilities.values()), axis=1)
            np.testing.assert_allclose(by_level, want["probabilities"], atol=1e-5)
            np.testing.assert_allclose(here.probabilities, want["probabilities"], atol=1e-5)


def test_samples_of_a_seed_equal_those_of_the_runtime(ways: Ways) -> None:
    for observe in (False, True):
        got = ways.client.sample(5, seed=11, observe=observe)
        want = ways.model.sample(5, seed=11, observe=observe)
        np.testing.assert_allclose(got.latents, want.latents, rtol=1e-6)
        np.testing.assert_allclose(got.samples, want.samples, rtol=1e-6)
        np.testing.assert_array_equal(got.members, want.members)
