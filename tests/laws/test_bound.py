"""The bound equals that of torch.distributions term by term, and has the expected properties, in float64."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions

from tests.training.models import KINDS, OF_NETWORKS, as_array, case, far, raw_rows, standard_eps
from vaekit.bundle import default_eps
from vaekit.bundle.draws import NEWEST_RULE, DrawsRule
from vaekit_training.build import build
from vaekit_training.export import double
from vaekit_training.likelihoods import Bernoulli, Gaussian, Laplace, StudentT
from vaekit_training.prior import Aggregate, kl_divergence
from vaekit_training.publish import base_draws
from vaekit_training.vae import VAE

K = 5
RULES = get_args(DrawsRule)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _reference(vae: VAE, x: torch.Tensor, eps: torch.Tensor, member: int | None) -> dict[str, torch.Tensor]:
    """The terms of a model or member, computed by torch.distributions from q, p(z) and p(x|z) in raw units."""
    raw, observed = raw_rows(vae, x)
    mu, sigma = (a if member is None else a[member] for a in vae.encode(raw, observed))
    q = distributions.Normal(mu[:, None], sigma[:, None])  # (N, 1, Z)
    z = mu[:, None] + sigma[:, None] * eps  # (N, K, Z)
    log_p = _log_p(vae, x, z, member)  # (N, K, D)
    log_q = q.log_prob(z).sum(-1)
    if isinstance(vae.prior, Aggregate):
        at = [a if member is None else a[member] for a in (vae.prior.mu, vae.prior.sigma)]
        each = distributions.Normal(at[0], at[1]).log_prob(z[:, :, None]).sum(-1)  # (N, K, C)
        log_prior = torch.logsumexp(each, -1) - np.log(each.shape[-1])
        components = distributions.Normal(at[0], at[1])
        each_kl = distributions.kl_divergence(distributions.Normal(mu[:, None], sigma[:, None]), components).sum(-1)
        kl = np.log(each.shape[-1]) - torch.logsumexp(-each_kl, -1)
    else:
        log_prior = distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        standard = distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
        kl = distributions.kl_divergence(distributions.Normal(mu, sigma), standard).sum(-1)
    log_w = log_p.sum(-1) + log_prior - log_q
    return {
        "log_likelihood": log_p.sum(-1).mean(1),
        "kl": kl,
        "elbo": log_p.sum(-1).mean(1) - kl,
        "log_evidence": torch.logsumexp(log_w, 1) - np.log(eps.shape[1]),
        "feature_log_likelihood": log_p.mean(1),
    }


def _log_p(vae: VAE, x: torch.Tensor, z: torch.Tensor, member: int | None) -> torch.Tensor:
    """log p(x_d|z_k), (N, K, D), by torch.distributions with decoded parameters; for bins by the likelihood itself."""
    flat = z.flatten(0, 1)
    decoded = vae.decode(flat, None if member is None else torch.full((len(flat),), member))
    stated = {name: a.flatten(1).unflatten(0, z.shape[:2]) for name, a in decoded.items()}  # (N, K, D) each
    mean, likelihood = stated["mean"], vae.likelihood
    if isinstance(likelihood, Gaussian):
        return distributions.Normal(mean, stated["scale"]).log_prob(_flat(x))
    if isinstance(likelihood, Laplace):
        return distributions.Laplace(mean, stated["scale"]).log_prob(_flat(x))
    if isinstance(likelihood, StudentT):
        return distributions.StudentT(stated["df"], mean, stated["scale"]).log_prob(_flat(x))
    if isinstance(likelihood, Bernoulli):
        probs = mean / getattr(vae.features, "high", 1.0)
        return distributions.Bernoulli(probs=probs).log_prob(vae.features(x).double()[:, None])
    # bins, categories and mixed columns have tests in test_likelihoods; here only the sums over them are tested
    raw, observed = raw_rows(vae, x)
    t = vae.features(raw, observed)
    own = vae.log_prob(t, z if member is None else z.expand(vae.members, *z.shape), observed)
    jacobian = vae.features.log_jacobian(t)
    jacobian = jacobian if observed is None else torch.where(observed, jacobian, 0.0)
    return (own if member is None else own[member]) + jacobian.expand(len(x), -1)[:, None]


def _flat(x: torch.Tensor) -> torch.Tensor:
    return x.double().flatten(1)[:, None]


@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_every_term_equals_that_of_torch_distributions(kind: str) -> None:
    one = case(kind)
    vae = double(one.vae)
    eps = standard_eps(K, one.latent_dim, len(one.rows.x)).double()
    raw, observed = raw_rows(vae, one.x)
    with torch.no_grad():
        got = vae.bound(raw, eps, observed)._asdict()
        members = [None] if vae.members == 1 else list(range(vae.members))
        each = [_reference(vae, one.x, eps, member) for member in members]
    want = each[0] if vae.members == 1 else _mixture(each)
    for name, values in want.items():
        np.testing.assert_allclose(as_array(got[name]), as_array(values), rtol=1e-8, atol=1e-8, err_msg=name)


def _mixture(each: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mixture's terms by their definition: q(m|x) proportional to exp(ELBO_m)."""
    stacked = {name: torch.stack([terms[name] for terms in each]) for name in each[0]}  # (M, N) or (M, N, D)
    q = distributions.Categorical(logits=stacked["elbo"].T)
    uniform = distributions.Categorical(probs=torch.full_like(q.probs, 1 / len(each)))
    w = q.probs.T
    return {
        "log_likelihood": (w * stacked["log_likelihood"]).sum(0),
        "kl": (w * stacked["kl"]).sum(0) + distributions.kl_divergence(q, uniform),
        "elbo": torch.logsumexp(stacked["elbo"], 0) - np.log(len(each)),
        "log_evidence": torch.logsumexp(stacked["log_evidence"], 0) - np.log(len(each)),
        "feature_log_likelihood": (w[..., None] * stacked["feature_log_likelihood"]).sum(0),
    }


@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_features_sum_to_the_log_likelihood(kind: str) -> None:
    one = case(kind)
    raw, observed = raw_rows(one.vae, one.x)
    bound = double(one.vae).bound(raw, standard_eps(K, one.latent_dim, len(raw)).double(), observed)
    np.testing.assert_allclose(
        as_array(bound.feature_log_likelihood.sum(-1)), as_array(bound.log_likelihood), rtol=1e-9
    )


@settings(max_examples=25)
@given(k=st.integers(2, 64), seed=st.integers(0, 1000), spread=st.floats(0.1, 3.0), rule=st.sampled_from(RULES))
def test_log_evidence_is_never_below_the_elbo_on_default_draws(
    k: int, seed: int, spread: float, rule: DrawsRule
) -> None:
    one = case("gaussian, scale from the network")
    vae = double(one.vae)
    eps = torch.from_numpy(default_eps(base_draws(one.latent_dim, 64, seed), k, rule)).expand(len(one.rows.x), -1, -1)
    with torch.no_grad():
        for p in vae.parameters():
            p.mul_(spread)
        bound = vae.bound(one.x, eps)
    assert (bound.log_evidence - bound.elbo >= -1e-9 * (1 + bound.elbo.abs())).all()


def test_the_mean_log_ratio_of_default_draws_is_the_analytic_kl() -> None:
    one = case("gaussian, one scale")
    vae = double(one.vae)
    eps = torch.from_numpy(default_eps(base_draws(one.latent_dim, 16, 0), 7, NEWEST_RULE)).expand(
        len(one.rows.x), -1, -1
    )
    mu, sigma = vae.encode(one.x)
    sampled = -vae.prior.log_ratio(sigma, mu[:, None] + sigma[:, None] * eps, eps).mean(1)
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
    x, observed = raw_rows(one.vae, far(one))
    bound = one.vae.bound(x, standard_eps(3, one.latent_dim, len(x)), observed)
    assert all(torch.isfinite(term).all() for term in bound if term is not None)


def test_the_score_grows_with_the_deviation_of_a_constant_column() -> None:
    one = case("gaussian, a constant column")
    x = one.x[:1].repeat(4, 1)
    x[1, 5] += 1e-5
    x[2, 5] += 1e-3
    x[3, 5] += 1.0
    bound = double(one.vae).bound(x, standard_eps(2, one.latent_dim, 1).double().expand(4, -1, -1))
    assert (bound.elbo.diff() < 0).all()
    assert torch.allclose(bound.kl, bound.kl[0])  # the networks do not get the column
    others = bound.feature_log_likelihood[:, :5]
    assert torch.allclose(others, others[0])


def test_the_term_of_a_constant_column_is_the_documented_gaussian() -> None:
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


def test_the_scale_floor_of_a_rounded_column_is_its_rounding_error() -> None:
    one = case("gaussian, scale from the network")
    rows = one.rows
    x = rows.x.copy()
    x[:, 2] = np.round(x[:, 2] / x[:, 2].std())  # in whole standard deviations
    vae = build(one.config, type(rows)(x, rows.columns, rows.anomaly), np.arange(len(x)))
    assert isinstance(vae.likelihood, Gaussian)
    floor = vae.likelihood.floor.numpy() * x.std(axis=0)
    np.testing.assert_allclose(floor[2], 12**-0.5, rtol=1e-5)
    np.testing.assert_allclose(floor[0], 0.1 * x[:, 0].std(), rtol=1e-5)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.startswith(("bernoulli", "gaussian, a", "gaussian, one"))])
def test_draws_from_the_likelihood_have_its_mean_and_scale(kind: str) -> None:
    """Many draws of observe for one latent, against the parameters from decode."""
    one = case(kind)
    vae = double(one.vae)
    n = 20_000
    z = torch.full((n, one.latent_dim), 0.7, dtype=torch.float64)
    noise = torch.randn(n, vae.features.dim, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x, stated = vae.observe(z, noise), {name: a[0] for name, a in vae.decode(z[:1]).items()}
    scale = stated.get("scale")
    if scale is None:
        high = getattr(vae.features, "high", 1.0)
        assert torch.isin(x, torch.tensor([0.0, high], dtype=x.dtype)).all()
        scale = (stated["mean"] * (high - stated["mean"])).sqrt()
    assert ((x.mean(0) - stated["mean"]).abs() <= 5 * scale / n**0.5).all()
    assert ((x.std(0) / scale - 1).abs() <= 5 / n**0.5).all()


@pytest.mark.parametrize("kind", ["gaussian, counts", "discretized_logistic, images", "mixed", "gaussian, images"])
def test_draws_of_counts_pixels_and_categories_are_whole_numbers(kind: str) -> None:
    one = case(kind)
    z = standard_eps(1, one.latent_dim, 50)[:, 0]
    noise = torch.randn(50, one.vae.features.dim, 2, generator=torch.Generator().manual_seed(0))
    x = one.vae.observe(z, noise).flatten(1)[:, ~one.vae.features.density]
    assert torch.equal(x, x.round())
    assert len(x.unique()) > 2


def test_the_encoders_input_is_clamped_to_a_thousand_standard_deviations() -> None:
    one = case("gaussian, scale from the network")
    t = torch.full((1, 5), 1e3)
    near, far = one.vae.posterior(t), one.vae.posterior(t * 1e6)
    assert torch.equal(near[0], far[0])
    assert torch.equal(near[1], far[1])
