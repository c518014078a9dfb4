"""A linear-Gaussian VAE against the closed-form marginal of probabilistic PCA (Tipping and Bishop 1999)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from tests.training.models import whitened_eps
from vaekit.bundle import default_eps
from vaekit_training.export import double, export_graphs
from vaekit_training.features import Standardize
from vaekit_training.functional import softplus_inverse
from vaekit_training.likelihoods import Gaussian
from vaekit_training.networks import mlp
from vaekit_training.publish import base_draws
from vaekit_training.vae import SIGMA_FLOOR, VAE, untempered

DIM, LATENT, S = 6, 3, 0.4
LOC = np.array([0.0, 5.0, -1e5, 1e3, 2.0, 0.1])
SCALE = np.array([1.0, 1e-3, 1e4, 50.0, 2.0, 7.0])
Array = NDArray[np.float64]


def test_posteriors_trained_at_a_smaller_beta_are_converted_to_the_exact_ones() -> None:
    """With orthogonal columns of W the best q at beta has precision 1 + b / beta, with b that of the likelihood."""
    w, s, beta = np.diag([2.0, 0.5, 1e-3])[:, :LATENT], 0.4, 0.1
    b = np.diag(w.T @ w) / s**2  # (Z,)
    t = np.random.default_rng(0).normal(size=(20, LATENT))
    fitted = 1.0 / (1.0 + b / beta)
    mu, sigma = (t @ w / s**2) / beta * fitted, np.broadcast_to(np.sqrt(fitted), t.shape)
    got_mu, got_sigma = untempered(
        torch.tensor(mu), torch.tensor(sigma.copy()), torch.tensor(beta, dtype=torch.float64)
    )
    exact = 1.0 / (1.0 + b)
    np.testing.assert_allclose(got_mu.numpy(), (t @ w / s**2) * exact, rtol=1e-12)
    np.testing.assert_allclose(got_sigma.numpy(), np.broadcast_to(np.sqrt(exact), t.shape), rtol=1e-12)


@dataclass(frozen=True)
class Linear:
    """x = loc + scale (W z + s e); q is the best diagonal Gaussian, which is exact for orthogonal columns of W."""

    w: Array  # (D, Z)
    vae: VAE
    x: Array

    @property
    def marginal(self) -> Array:
        """log p(x) of each row."""
        jitter = self.w @ self.w.T + S**2 * np.eye(DIM)
        t = (self.x - LOC) / SCALE
        log_p: Array = multivariate_normal(np.zeros(DIM), jitter).logpdf(t) - np.log(SCALE).sum()
        return log_p

    @property
    def posterior(self) -> tuple[Array, Array]:
        """Mean (N, Z) and covariance (Z, Z) of p(z|x)."""
        precision = np.eye(LATENT) + self.w.T @ self.w / S**2
        covariance = np.linalg.inv(precision)
        return ((self.x - LOC) / SCALE) @ (covariance @ self.w.T / S**2).T, covariance

    @property
    def gap(self) -> float:
        """KL(q || p(z|x)) where q has the posterior's mean and the inverse diagonal of its precision."""
        precision = np.eye(LATENT) + self.w.T @ self.w / S**2
        return float(0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]))


def make(w: Array) -> Linear:
    active = torch.ones(DIM, dtype=torch.bool)
    features = Standardize(torch.from_numpy(LOC), torch.from_numpy(SCALE), active)
    vae = VAE(
        features,
        mlp([DIM, 2 * LATENT], "relu"),
        mlp([LATENT, DIM], "relu"),
        Gaussian(S, torch.zeros(DIM), active),
        latent_dim=LATENT,
    )
    precision = np.eye(LATENT) + w.T @ w / S**2
    gain = np.linalg.inv(precision) @ w.T / S**2
    sigma = 1 / np.sqrt(np.diag(precision))
    with torch.no_grad():
        encoder, decoder = vae.encoder[0], vae.decoder[0]  # type: ignore[index]  # Sequentials
        encoder.weight.zero_()
        encoder.weight[:LATENT] = torch.from_numpy(gain)
        encoder.bias[:LATENT] = 0
        encoder.bias[LATENT:] = torch.tensor([softplus_inverse(s - SIGMA_FLOOR) for s in sigma])
        decoder.weight.copy_(torch.from_numpy(w))
        decoder.bias.zero_()
    rng = np.random.default_rng(1)
    t = rng.standard_normal((30, LATENT)) @ w.T + S * rng.standard_normal((30, DIM))
    return Linear(w, vae.eval(), LOC + SCALE * t)


@pytest.fixture(scope="module")
def orthogonal() -> Linear:
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, LATENT)))
    return make(q * np.array([2.0, 1.0, 0.5]))


@pytest.fixture(scope="module")
def general() -> Linear:
    return make(np.random.default_rng(0).standard_normal((DIM, LATENT)))


def _by_onnx(model: Linear, eps: Array) -> dict[str, Array]:
    x = torch.from_numpy(model.x)
    graph = export_graphs(model.vae, x, ["elbo"])["elbo"]
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    names = [out.name for out in graph.outputs]
    feeds = {"x": model.x, "eps": np.ascontiguousarray(eps, dtype=np.float32)}
    return dict(zip(names, session.run(names, feeds), strict=True))


def _default(k: int, n: int) -> Array:
    eps = default_eps(base_draws(LATENT, 64, 0), k)
    return np.broadcast_to(eps, (n, *eps.shape))


@pytest.mark.parametrize("k", [2, 3, 16])
def test_with_orthogonal_loadings_the_elbo_is_the_marginal_log_likelihood(orthogonal: Linear, k: int) -> None:
    with torch.no_grad():
        bound = double(orthogonal.vae).bound(
            torch.from_numpy(orthogonal.x), torch.from_numpy(_default(k, len(orthogonal.x)).copy())
        )
    np.testing.assert_allclose(bound.elbo.numpy(), orthogonal.marginal, rtol=0, atol=1e-5)
    np.testing.assert_allclose(bound.log_evidence.numpy(), orthogonal.marginal, rtol=0, atol=1e-5)


def test_the_elbo_of_the_exported_graph_is_the_marginal_log_likelihood(orthogonal: Linear) -> None:
    got = _by_onnx(orthogonal, _default(16, len(orthogonal.x)))
    want = orthogonal.marginal
    np.testing.assert_allclose(got["elbo"], want, rtol=0, atol=1e-5 * DIM)
    np.testing.assert_allclose(got["log_evidence"], want, rtol=0, atol=1e-5 * DIM)


def test_with_general_loadings_the_gap_is_the_kl_to_the_posterior(general: Linear) -> None:
    eps = whitened_eps(LATENT, len(general.x))
    with torch.no_grad():
        bound = double(general.vae).bound(torch.from_numpy(general.x), eps)
    assert general.gap > 0.1
    np.testing.assert_allclose(general.marginal - bound.elbo.numpy(), general.gap, rtol=0, atol=1e-5)


def test_the_encoder_gives_the_exact_posterior_mean(general: Linear) -> None:
    with torch.no_grad():
        mu, _ = double(general.vae).encode(torch.from_numpy(general.x))
    np.testing.assert_allclose(mu.numpy(), general.posterior[0], atol=1e-6)
