"""One row has one score: HTTP JSON = HTTP npy = runtime = torch, on rows of a model trained here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.live import serving
from tests.training.models import table
from training.config import make_config
from training.export import double
from training.publish import Trained, publish_run
from training.run import run
from vaekit import Client, Model
from vaekit.bundle import find

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
        return self.trained.rows.x[:7]


@pytest.fixture(scope="module", params=["table", "pictures"])
def ways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    root: Path = tmp_path_factory.mktemp("ways")
    source, overrides = root / "rows.npy", ["training.steps=60", "network.hidden=[8]", "network.latent_dim=3"]
    if request.param == "table":
        np.save(source, table(200, constant=True).x)
    else:
        np.save(source, np.random.default_rng(0).integers(0, 256, (60, 4, 3, 3), dtype=np.uint8))
        overrides += BERNOULLI
    trained = run(make_config({"name": "ways", "data": {"source": str(source)}}, overrides))
    publish_run(trained, root / "models")
    with (
        Model.load(find(root / "models", "ways"), device="cpu") as model,
        serving(root / "models") as url,
        Client(url) as client,
    ):
        yield Ways(trained, model, client)


def _close(got: Any, want: Any, dim: int) -> None:
    """Within 1e-5 relative, and what float32 sums of D terms may differ by."""
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * dim)


def test_scores_agree_four_ways(ways: Ways) -> None:
    x, dim = ways.x, ways.model.spec.dim
    eps = torch.from_numpy(ways.model.draws()).double().expand(len(x), -1, -1)
    with torch.no_grad():
        in_torch = double(ways.trained.vae).bound(torch.from_numpy(x), eps)._asdict()
    by_json = ways.client.elbo(x.tolist(), features=True)
    by_npy = ways.client.elbo(x, features=True)
    by_runtime = ways.model.surprise(x)
    for term in TERMS:
        _close(getattr(by_runtime, term), in_torch[term].numpy().reshape(getattr(by_runtime, term).shape), dim)
        _close(getattr(by_npy, term), getattr(by_runtime, term), dim)
        _close(getattr(by_json, term), getattr(by_runtime, term), dim)
    assert by_npy.p_value is not None
    assert by_json.p_value is not None
    np.testing.assert_array_equal(by_npy.p_value, by_json.p_value)


def test_codes_and_decodings_agree_four_ways(ways: Ways) -> None:
    x = ways.x
    vae = double(ways.trained.vae)
    with torch.no_grad():
        mu, sigma = (a.numpy() for a in vae.encode(torch.from_numpy(x)))
        decoded = vae.decode(torch.from_numpy(mu))
    unit = vae.features.to_raw_scale(torch.ones(vae.features.dim)).numpy()
    for inputs in (x, x.tolist()):
        got = ways.client.encode(inputs)
        np.testing.assert_allclose(got.mu, mu, atol=1e-5)
        np.testing.assert_allclose(got.sigma, sigma, atol=1e-5)
    for latents in (mu, mu.tolist()):
        mean = ways.client.decode(latents).mean
        assert (np.abs(mean - decoded["mean"].numpy()) <= 1e-5 * unit + 1e-12 * np.abs(mean)).all()
        assert (np.abs(mean - ways.model.decode(mu).mean) <= 1e-5 * unit + 1e-12 * np.abs(mean)).all()


def test_samples_of_a_seed_are_the_runtimes(ways: Ways) -> None:
    for observe in (False, True):
        got = ways.client.sample(5, seed=11, observe=observe)
        want = ways.model.sample(5, seed=11, observe=observe)
        np.testing.assert_allclose(got.latents, want.latents, rtol=1e-6)
        np.testing.assert_allclose(got.samples, want.samples, rtol=1e-6)
