"""The bound against torch.distributions, term by term, and its laws, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions

from tests.training.models import KINDS, as_array, case, standard_eps
from training.build import build
from training.export import double
from training.features import Standardize
from training.likelihoods import Gaussian
from training.publish import base_draws
from training.vae import VAE
from vaekit.bundle import default_eps

K = 5


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _reference(vae: VAE, x: torch.Tensor, eps: torch.Tensor) -> dict[str, torch.Tensor]:
    """The terms by torch.distributions alone: q, p(z), and p(x|z) in raw units."""
    mu, sigma = vae.encode(x)
    q = distributions.Normal(mu[:, None], sigma[:, None])  # (N, 1, Z)
    p = distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    z = mu[:, None] + sigma[:, None] * eps  # (N, K, Z)
    decoded = vae.decode(z.flatten(0, 1))
    mean = decoded["mean"].flatten(1).unflatten(0, z.shape[:2])  # (N, K, D)
    if isinstance(vae.likelihood, Gaussian):
        assert isinstance(vae.features, Standardize)
        scale = decoded["scale"].unflatten(0, z.shape[:2])
        log_p = distributions.Normal(mean, scale).log_prob(x[:, None])
    else:
        high = vae.features.high  # type: ignore[union-attr]  # bernoulli goes with Binarize
        log_p = distributions.Bernoulli(probs=mean / high).log_prob(vae.features(x).double()[:, None])
    kl = distributions.kl_divergence(distributions.Normal(mu, sigma), p).sum(-1)
    log_w = log_p.sum(-1) + distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
    return {
        "log_likelihood": log_p.sum(-1).mean(1),
        "kl": kl,
        "elbo": log_p.sum(-1).mean(1) - kl,
        "log_evidence": torch.logsumexp(log_w, 1) - np.log(eps.shape[1]),
        "feature_log_likelihood": log_p.mean(1),
    }


def test_every_term_is_that_of_torch_distributions(kind: str) -> None:
    one = case(kind)
    vae = double(one.vae)
    eps = standard_eps(K, one.latent_dim, len(one.rows.x)).double()
    with torch.no_grad():
        got, want = vae.bound(one.x, eps)._asdict(), _reference(vae, one.x, eps)
    for name, values in want.items():
        np.testing.assert_allclose(as_array(got[name]), as_array(values), rtol=1e-9, atol=1e-9, err_msg=name)


def test_features_sum_to_the_log_likelihood(kind: str) -> None:
    one = case(kind)
    bound = double(one.vae).bound(one.x, standard_eps(K, one.latent_dim, len(one.rows.x)).double())
    np.testing.assert_allclose(
        as_array(bound.feature_log_likelihood.sum(-1)), as_array(bound.log_likelihood), rtol=1e-9
    )


@settings(max_examples=25, deadline=None)
@given(k=st.integers(2, 64), seed=st.integers(0, 1000), spread=st.floats(0.1, 3.0))
def test_log_evidence_is_never_below_the_elbo_on_default_draws(k: int, seed: int, spread: float) -> None:
    one = case("gaussian, scale from the network")
    vae = double(one.vae)
    eps = torch.from_numpy(default_eps(base_draws(one.latent_dim, 64, seed), k)).expand(len(one.rows.x), -1, -1)
    with torch.no_grad():
        for p in vae.parameters():
            p.mul_(spread)
        bound = vae.bound(one.x, eps)
    assert (bound.log_evidence - bound.elbo >= -1e-9 * (1 + bound.elbo.abs())).all()


def test_the_sampled_log_ratio_of_default_draws_is_the_analytic_kl() -> None:
    one = case("gaussian, one scale")
    from training.vae import kl_divergence, log_prior_ratio

    vae = double(one.vae)
    eps = torch.from_numpy(default_eps(base_draws(one.latent_dim, 16, 0), 7)).expand(len(one.rows.x), -1, -1)
    mu, sigma = vae.encode(one.x)
    sampled = -log_prior_ratio(mu, sigma, eps).mean(1)
    np.testing.assert_allclose(as_array(sampled), as_array(kl_divergence(mu, sigma)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("logit", [-800.0, -200.0, -40.0, -17.5, 17.5, 40.0, 200.0, 800.0])
def test_bernoulli_is_exact_where_probabilities_saturate(logit: float) -> None:
    one = case("bernoulli, columns")
    vae = double(one.vae)
    last = vae.decoder[-1]  # type: ignore[index]  # a Sequential
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(logit)
        bound = vae.bound(one.x, standard_eps(2, one.latent_dim, len(one.rows.x)).double())
    ones = one.x.sum(1)
    miss, hit = -abs(logit) - np.log1p(np.exp(-abs(logit))), -np.log1p(np.exp(-abs(logit)))
    per_one, per_zero = (hit, miss) if logit > 0 else (miss, hit)
    want = ones * per_one + (one.x.shape[1] - ones) * per_zero
    np.testing.assert_allclose(as_array(bound.log_likelihood), as_array(want), rtol=1e-12)


def test_every_finite_row_has_a_finite_bound_in_float32(kind: str) -> None:
    one = case(kind)
    x = one.x[:4].clone()
    if not one.rows.is_image:
        x[0], x[1], x[2] = 1e300, -1.7e308, 5e-324
    bound = one.vae.bound(x, standard_eps(3, one.latent_dim, len(x)))
    assert all(torch.isfinite(term).all() for term in bound)


def test_a_constant_column_that_differs_is_odder_the_more_it_differs() -> None:
    one = case("gaussian, a constant column")
    x = one.x[:1].repeat(4, 1)
    x[1, 5] += 1e-5
    x[2, 5] += 1e-3
    x[3, 5] += 1.0
    bound = double(one.vae).bound(x, standard_eps(2, one.latent_dim, 1).double().expand(4, -1, -1))
    assert (bound.elbo.diff() < 0).all()
    assert torch.allclose(bound.kl, bound.kl[0])  # the networks do not see the column
    others = bound.feature_log_likelihood[:, :5]
    assert torch.allclose(others, others[0])


def test_the_constant_columns_own_term_is_the_stated_gaussian() -> None:
    one = case("gaussian, a constant column")
    bound = double(one.vae).bound(one.x, standard_eps(2, one.latent_dim, len(one.rows.x)).double())
    want = distributions.Normal(torch.tensor(7.0, dtype=torch.float64), 7e-6).log_prob(
        torch.tensor(7.0, dtype=torch.float64)
    )
    np.testing.assert_allclose(as_array(bound.feature_log_likelihood[:, 5]), float(want), rtol=1e-9)


def test_a_learned_scale_is_never_below_its_floor() -> None:
    one = case("gaussian, scale from the network")
    last = one.vae.decoder[-1]  # type: ignore[index]  # a Sequential
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-100.0)
        scale = one.vae.decode(torch.zeros(1, one.latent_dim))["scale"][0].numpy()
    np.testing.assert_allclose(scale, 0.1 * one.rows.x.std(axis=0), rtol=1e-5)


def test_a_rounded_column_has_a_floor_of_its_rounding() -> None:
    one = case("gaussian, scale from the network")
    rows = one.rows
    x = rows.x.copy()
    x[:, 2] = np.round(x[:, 2] / x[:, 2].std())  # in whole standard deviations
    vae = build(one.config, type(rows)(x, rows.columns, rows.anomaly), np.arange(len(x)))
    assert isinstance(vae.likelihood, Gaussian)
    floor = vae.likelihood.floor.numpy() * x.std(axis=0)
    np.testing.assert_allclose(floor[2], 12**-0.5, rtol=1e-5)
    np.testing.assert_allclose(floor[0], 0.1 * x[:, 0].std(), rtol=1e-5)


@pytest.mark.parametrize("kind", [k for k in KINDS if "constant" not in k])
def test_draws_from_the_likelihood_have_its_mean_and_scale(kind: str) -> None:
    """What observe draws, many times at one code, against what decode states."""
    one = case(kind)
    vae = double(one.vae)
    n = 20_000
    z = torch.full((n, one.latent_dim), 0.7, dtype=torch.float64)
    noise = torch.randn(n, vae.features.dim, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x, stated = vae.observe(z, noise), {name: a[0] for name, a in vae.decode(z[:1]).items()}
    scale = stated.get("scale")
    if scale is None:
        high = vae.features.high  # type: ignore[union-attr]  # bernoulli goes with Binarize
        assert torch.isin(x, torch.tensor([0.0, high], dtype=x.dtype)).all()
        scale = (stated["mean"] * (high - stated["mean"])).sqrt()
    assert ((x.mean(0) - stated["mean"]).abs() <= 5 * scale / n**0.5).all()
    assert ((x.std(0) / scale - 1).abs() <= 5 / n**0.5).all()


def test_the_encoder_sees_no_further_than_a_thousand_deviations() -> None:
    one = case("gaussian, scale from the network")
    t = torch.full((1, 5), 1e3)
    near, far = one.vae.posterior(t), one.vae.posterior(t * 1e6)
    assert torch.equal(near[0], far[0])
    assert torch.equal(near[1], far[1])
