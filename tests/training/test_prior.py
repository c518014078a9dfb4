"""The aggregate prior: a density whose components are the posteriors of training rows."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import distributions

from tests.training.models import as_array, case
from vaekit.bundle import default_eps
from vaekit.bundle.draws import NEWEST_RULE, DrawsRule
from vaekit_training.export import double
from vaekit_training.network_rows import network_rows, refresh_prior
from vaekit_training.prior import NARROWEST, Aggregate, Normal
from vaekit_training.publish import base_draws

KINDS = ["aggregate prior", "aggregate prior, members"]


def _aggregate(kind: str) -> tuple[Aggregate, torch.Tensor]:
    """A prior, and two standard-normal latents for each of 5 rows, (..., 5, 2, Z)."""
    one = case(kind)
    prior = double(one.vae).prior
    assert isinstance(prior, Aggregate)
    shape = (5, 2, one.latent_dim) if one.vae.members == 1 else (one.vae.members, 5, 2, one.latent_dim)
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return prior, z


def _log_prob(prior: Aggregate, z: torch.Tensor, own: torch.Tensor | None = None) -> torch.Tensor:
    """log p(z), (..., N, K): the ratio to a q that is a standard normal around z."""
    log_q = distributions.Normal(0.0, 1.0).log_prob(torch.zeros_like(z)).sum(-1)
    return prior.log_ratio(torch.ones_like(z[..., 0, :]), z, torch.zeros_like(z), own) + log_q


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_is_the_mean_of_the_posteriors_of_its_rows(kind: str) -> None:
    one = case(kind)
    prior, z = _aggregate(kind)
    mu, sigma = one.vae.posterior(network_rows(one.vae, one.rows.x[prior.row.numpy()]).t)
    each = distributions.Normal(mu[..., None, None, :, :].double(), sigma[..., None, None, :, :].double())
    want = torch.logsumexp(each.log_prob(z[..., None, :]).sum(-1), -1) - np.log(len(prior.row))
    np.testing.assert_allclose(as_array(_log_prob(prior, z)), as_array(want), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_own_component_is_left_out_of_its_density(kind: str) -> None:
    prior, z = _aggregate(kind)
    own = torch.tensor([int(prior.row[0]), int(prior.row[3]), -1, int(prior.row[0]), -1])
    got = _log_prob(prior, z, own)
    for n, row in enumerate(own.tolist()):
        kept = prior.row != row
        less = Aggregate(prior.row[kept], z.shape[-1], 1 if prior.mu.ndim == 2 else prior.mu.shape[0])
        less.mu, less.sigma, less.is_standard = prior.mu[..., kept, :], prior.sigma[..., kept, :], False
        want = _log_prob(less.double(), z)
        np.testing.assert_allclose(as_array(got[..., n, :]), as_array(want[..., n, :]), rtol=1e-12)


def test_a_latent_at_its_own_component_gains_nothing_from_it() -> None:
    prior, z = _aggregate(KINDS[0])
    z[0] = prior.mu[0]
    with_own, without = (
        _log_prob(prior, z)[0],
        _log_prob(prior, z, torch.tensor([int(prior.row[0]), -1, -1, -1, -1]))[0],
    )
    assert (with_own > without).all()


def test_a_very_narrow_posterior_becomes_a_component_with_an_exact_density() -> None:
    one = case(KINDS[0])
    prior = one.vae.prior
    assert isinstance(prior, Aggregate)
    with torch.no_grad():
        one.vae.encoder[-1].bias[one.latent_dim :] = -50.0  # type: ignore[index]  # a Sequential; sigma at its floor
        one.vae.encoder[-1].weight[one.latent_dim :] = 0.0  # type: ignore[index]  # as above
    refresh_prior(one.vae, network_rows(one.vae, one.rows.x))
    torch.testing.assert_close(prior.sigma, torch.full_like(prior.sigma, NARROWEST), rtol=1e-6, atol=0)
    eps = torch.randn(len(prior.mu), 4, one.latent_dim, dtype=torch.float64)  # (C, 4, Z)
    z = prior.mu[:, None] + prior.sigma[:, None] * eps
    each = distributions.Normal(prior.mu, prior.sigma)
    log_q = distributions.Normal(prior.mu[:, None], prior.sigma[:, None]).log_prob(z).sum(-1)
    want = torch.logsumexp(each.log_prob(z[..., None, :]).sum(-1), -1) - np.log(len(prior.row)) - log_q
    for of, atol in ((prior, 1e-6), (prior.double(), 1e-8)):
        got = of.log_ratio(of.sigma, z, eps)
        np.testing.assert_allclose(as_array(got), as_array(want), rtol=0, atol=atol)


def test_the_density_integrates_to_one() -> None:
    prior = Aggregate(torch.arange(3), 1).double()
    prior.mu.copy_(torch.tensor([[-1.0], [0.5], [4.0]]))
    prior.sigma.copy_(torch.tensor([[0.3], [1.0], [0.05]]))
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = _log_prob(prior, grid[:, None, None]).exp().squeeze(-1)
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1.0, abs=1e-9)


def test_samples_have_the_distribution_of_the_prior() -> None:
    prior, _ = _aggregate(KINDS[0])
    n = 40_000
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, prior.mu.shape[-1], generator=generator, dtype=torch.float64)
    z = prior.sample(noise, torch.rand(n, generator=generator))
    mean = prior.mu.mean(0)
    variance = (prior.sigma**2 + prior.mu**2).mean(0) - mean**2
    assert ((z.mean(0) - mean).abs() <= 5 * (variance / n).sqrt()).all()
    assert ((z.var(0) / variance - 1).abs() <= 0.1).all()


def test_members_sample_from_their_own_components() -> None:
    prior, _ = _aggregate(KINDS[1])
    count = len(prior.row)
    choice = (torch.arange(count) + 0.5).repeat(2) / count
    member = torch.tensor([0, 1]).repeat_interleave(count)
    noise = torch.zeros(2 * count, prior.mu.shape[-1], dtype=torch.float64)
    assert torch.equal(prior.sample(noise, choice, member), prior.mu.flatten(0, 1))


def test_the_prior_is_standard_normal_before_it_has_components() -> None:
    prior, normal = Aggregate(torch.arange(4), 2), Normal()
    mu, sigma = torch.randn(2, 3, 2).unbind(0)[0], torch.rand(3, 2) + 0.1
    eps = torch.randn(3, 5, 2)
    z = mu[:, None] + sigma[:, None] * eps
    assert torch.equal(prior.kl(mu, sigma), normal.kl(mu, sigma))
    assert torch.equal(prior.log_ratio(sigma, z, eps), normal.log_ratio(sigma, z, eps))


def test_a_loaded_prior_knows_whether_it_has_components() -> None:
    prior, z = _aggregate(KINDS[0])
    again = Aggregate(torch.zeros_like(prior.row), z.shape[-1]).double()
    again.load_state_dict(prior.state_dict())
    mu, sigma = z.unbind(-2)
    assert torch.equal(again.kl(mu, sigma.exp()), prior.kl(mu, sigma.exp()))
    assert not torch.equal(again.kl(mu, sigma.exp()), Normal().kl(mu, sigma.exp()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_kl_is_the_joint_kl_of_latent_and_component(kind: str) -> None:
    prior, z = _aggregate(kind)
    mu, sigma = z[..., 0, :], z[..., 1, :].exp()
    q = distributions.Normal(mu[..., None, :], sigma[..., None, :])
    each = distributions.kl_divergence(q, distributions.Normal(prior.mu[..., None, :, :], prior.sigma[..., None, :, :]))
    each = each.sum(-1)  # (..., N, C)
    best = distributions.Categorical(logits=-each)
    uniform = distributions.Categorical(probs=torch.full_like(best.probs, 1 / each.shape[-1]))
    want = (best.probs * each).sum(-1) + distributions.kl_divergence(best, uniform)
    np.testing.assert_allclose(as_array(prior.kl(mu, sigma)), as_array(want), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kl_is_at_least_the_kl_of_the_latent_alone(kind: str) -> None:
    prior, z = _aggregate(kind)
    mu, sigma = z[..., 0, :], 0.3 * z[..., 1, :].exp()
    eps = torch.from_numpy(default_eps(base_draws(mu.shape[-1], 4096, 0), 4096, NEWEST_RULE)).expand(5, -1, -1)
    sampled = -prior.log_ratio(sigma, mu[..., None, :] + sigma[..., None, :] * eps, eps).mean(-1)
    kl = prior.kl(mu, sigma)
    assert (kl >= sampled - 1e-9 * (1 + sampled.abs())).all()
    assert (kl <= sampled + np.log(len(prior.row))).all()


def test_a_rows_own_component_is_left_out_of_its_kl() -> None:
    prior, _ = _aggregate(KINDS[0])
    mu, sigma = prior.mu[:3], prior.sigma[:3]
    assert (prior.kl(mu, sigma) <= np.log(len(prior.row))).all()  # each is a component: KL_i = 0 for one i
    for n in range(3):
        kept = torch.arange(len(prior.row)) != n
        less = Aggregate(prior.row[kept], mu.shape[-1])
        less.mu, less.sigma, less.is_standard = prior.mu[kept], prior.sigma[kept], False
        got = prior.kl(mu, sigma, prior.row[:3])[n]
        torch.testing.assert_close(got, less.double().kl(mu, sigma)[n], rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [2, 7, 16])
@pytest.mark.parametrize("rule", get_args(DrawsRule))
def test_log_evidence_is_never_below_the_elbo_on_default_draws(kind: str, k: int, rule: DrawsRule) -> None:
    one = case(kind)
    eps = torch.from_numpy(default_eps(base_draws(one.latent_dim, 64, 0), k, rule)).expand(len(one.rows.x), -1, -1)
    bound = double(one.vae).bound(one.x, eps)
    assert (bound.log_evidence - bound.elbo >= -1e-9 * (1 + bound.elbo.abs())).all()
