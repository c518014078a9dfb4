"""The training objective: its value equals the bound, its gradients equal those of autograd and closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.models import OF_NETWORKS, Case, case, raw_rows, standard_eps
from vaekit_training.data.batch import NetworkRows
from vaekit_training.functional import log_mean_exp
from vaekit_training.loop.elbo_loss import elbo_loss
from vaekit_training.loop.objective import Objective, draw_latents
from vaekit_training.network_rows import network_rows
from vaekit_training.prior import kl_by_latent
from vaekit_training.vae import VAE

GAUSSIAN = "gaussian, scale from the network"


def loss_of(one: Case, eps: Tensor, beta: float = 1.0) -> Tensor:
    batch = network_rows(one.vae, one.rows.x)
    return Objective(one.vae, one.config.objective)(batch, eps, beta, 1.0 / len(batch))


def gradient(vae: VAE, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, list(vae.parameters()), allow_unused=True)
    return torch.cat(
        [
            torch.zeros_like(p).flatten() if g is None else g.flatten()
            for g, p in zip(found, vae.parameters(), strict=True)
        ]
    )


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_at_beta_1_the_objective_is_the_negative_elbo(kind: str, draws: int) -> None:
    one = case(kind)
    x, observed = raw_rows(one.vae, one.x)
    eps = standard_eps(draws, one.latent_dim, len(x))
    batch = network_rows(one.vae, one.rows.x)
    objective = Objective(one.vae, one.config.objective)
    got = objective(batch, eps, 1.0, 1.0 / len(batch)).detach() / one.vae.members - objective.log_jacobian(batch)
    if one.vae.members == 1:
        expected = -one.vae.bound(x, eps, observed).elbo.mean()
    else:
        mu, sigma = one.vae.posterior(batch.t, observed)
        z = draw_latents(mu, sigma, eps)
        kl = one.vae.prior.kl(mu, sigma)
        log_p = one.vae.log_prob(batch.t, z, observed).sum(-1).mean(-1)
        expected = (kl - log_p).mean() - objective.log_jacobian(batch)
    assert float(got) == pytest.approx(float(expected.detach()), rel=1e-4)


@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_the_gradient_equals_that_of_the_terms_by_autograd(kind: str) -> None:
    one = case(kind)
    batch = network_rows(one.vae, one.rows.x)
    eps = standard_eps(1, one.latent_dim, len(batch))
    mu, sigma = one.vae.posterior(batch.t, batch.observed)
    z = draw_latents(mu, sigma, eps)
    plain = 0.3 * one.vae.prior.kl(mu, sigma).sum() - one.vae.log_prob(batch.t, z, batch.observed).sum()
    expected = gradient(one.vae, plain / len(batch))
    got = gradient(one.vae, loss_of(one, eps, 0.3))
    assert float((got - expected).norm()) <= 1e-5 * float(expected.norm())


def test_the_closed_form_gradient_equals_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 3), (2, 4, 3), (2, 4, 5, 6)]
    mu, sigma, log_p = (torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)
    assert torch.autograd.gradcheck(lambda m, s, p: elbo_loss(m, s.exp(), p, 0.7, 0.25, 5), (mu, sigma, log_p))
    expected = 0.25 * (0.7 * kl_by_latent(mu, sigma.exp()).sum() - log_p.sum() / 5)
    got = elbo_loss(mu, sigma.exp(), log_p, 0.7, 0.25, 5)
    assert float(got.detach()) == pytest.approx(float(expected.detach()))


def test_members_may_have_different_betas() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 3), (2, 4, 3), (2, 4, 5, 6)]
    mu, sigma, log_p = (torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)
    beta = torch.tensor([1.0, 0.2], dtype=torch.float64).view(2, 1, 1)
    assert torch.autograd.gradcheck(lambda m, s, p: elbo_loss(m, s.exp(), p, beta, 0.25, 5), (mu, sigma, log_p))
    for kind in ("members", "aggregate prior, members"):
        members = case(kind).vae.members
        betas = [round(0.3**m, 4) for m in range(members)]
        one = case(kind, f"objective.beta={betas}")
        eps = standard_eps(1, one.latent_dim, len(one.rows.x))
        each = [loss_of(case(kind), eps, beta).detach() for beta in (0.0, 1.0)]  # linear in beta, summed over members
        batch = network_rows(one.vae, one.rows.x)
        mu, sigma = one.vae.posterior(batch.t, batch.observed)
        kl = one.vae.prior.kl(mu, sigma, batch.train_index).mean(-1)  # (M,)
        expected = each[0] + (kl.detach() * torch.tensor(betas)).sum()
        assert float(loss_of(one, eps).detach()) == pytest.approx(float(expected), rel=1e-5)
        assert float(each[1]) != pytest.approx(float(expected), rel=1e-5)


def test_free_bits_are_not_penalised_in_the_batch_mean_of_a_dimension() -> None:
    one = case(GAUSSIAN)
    batch = network_rows(one.vae, one.rows.x)
    mu, sigma = one.vae.posterior(batch.t)
    mean = kl_by_latent(mu, sigma).detach().mean(0)  # (Z,)
    free = float(mean.sort().values[1])  # the middle one of three dimensions
    eps = standard_eps(1, 3, len(batch))
    with_free = loss_of(case(GAUSSIAN, f"objective.free_bits={free}"), eps, 0.5)
    expected = loss_of(one, eps, 0.5) + 0.5 * (mean.clamp_min(free) - mean).sum()
    assert float(with_free.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert float(expected.detach()) > float(loss_of(one, eps, 0.5).detach())


@pytest.mark.parametrize(
    "settings", [[], ["objective.free_bits=0.2"], ['objective.name="iwae"', "objective.num_samples=4"]]
)
def test_the_losses_of_parts_add_up_to_the_loss_of_the_batch(settings: list[str]) -> None:
    one = case(GAUSSIAN, *settings)
    batch = network_rows(one.vae, one.rows.x)
    k = one.config.objective.num_samples
    eps = standard_eps(k, 3, len(batch))
    objective, share = Objective(one.vae, one.config.objective), 1.0 / len(batch)
    whole = objective(batch, eps, 1.0, share)
    pieces = list(zip(batch.split(15), eps.split(15), strict=True))
    costly = sum(objective.kl_of(piece, share) for piece, _ in pieces) > one.config.objective.free_bits
    assert isinstance(costly, Tensor)
    parts = torch.stack([objective(piece, e, 1.0, share, costly) for piece, e in pieces]).sum()
    assert float(parts.detach()) == pytest.approx(float(whole.detach()), rel=1e-6)
    assert torch.allclose(gradient(one.vae, parts), gradient(one.vae, whole), atol=1e-6)


IWAE = ['objective.name="iwae"', "objective.num_samples=8"]


def test_iwae_is_the_importance_weighted_bound() -> None:
    one = case(GAUSSIAN, *IWAE)
    eps = standard_eps(8, 3, 40)
    objective, batch = Objective(one.vae, one.config.objective), network_rows(one.vae, one.rows.x)
    got = objective(batch, eps, 1.0, 1 / 40).detach() - objective.log_jacobian(batch)
    assert float(got) == pytest.approx(-float(one.vae.bound(one.x, eps).log_evidence.detach().mean()), rel=1e-5)


def plain_iwae(vae: VAE, batch: NetworkRows, eps: Tensor) -> Tensor:
    """The importance-weighted bound, differentiated by autograd."""
    mu, sigma = vae.posterior(batch.t)
    z = draw_latents(mu, sigma, eps)
    log_w = vae.log_prob(batch.t, z).sum(-1) + vae.prior.log_ratio(sigma, z, eps)
    return -log_mean_exp(log_w).mean()


def test_the_decoder_gets_the_plain_gradient_of_iwae() -> None:
    one = case(GAUSSIAN, *IWAE)
    batch, eps = network_rows(one.vae, one.rows.x), standard_eps(8, 3, 40)
    decoder = list(one.vae.decoder.parameters())
    got = torch.autograd.grad(loss_of(one, eps), decoder)
    expected = torch.autograd.grad(plain_iwae(one.vae, batch, eps), decoder)
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_gradient_of_the_encoder_has_the_same_mean_and_less_variance() -> None:
    one = case(GAUSSIAN, *IWAE)
    batch = network_rows(one.vae, one.rows.x)
    encoder = list(one.vae.encoder.parameters())
    draws = 500

    def gradients(loss: Callable[[Tensor], Tensor], first_seed: int) -> Tensor:
        """Gradients of each draw, (draws, P)."""
        each = [torch.autograd.grad(loss(standard_eps(8, 3, 40, first_seed + i)), encoder) for i in range(draws)]
        return torch.stack([torch.cat([g.flatten() for g in grads]) for grads in each]).double()

    double = gradients(lambda eps: loss_of(one, eps), 0)
    plain = gradients(lambda eps: plain_iwae(one.vae, batch, eps), draws)
    chance = float((double.var(0) + plain.var(0)).sum()) / draws  # expected squared distance of the means by chance

    def distance(share: float) -> float:
        return float((share * double.mean(0) - plain.mean(0)).pow(2).sum()) / chance

    assert distance(1.0) < 2.5
    assert distance(0.5) > 5  # a gradient of half the size would be detected
    assert float(double.var(0).sum()) < 0.5 * float(plain.var(0).sum())


class Line:
    """A VAE with p(z) = N(0, 1), p(x|z) = N(x; z, 1) and q(z|x) = N(m, s^2), for which closed forms exist."""

    def __init__(self, m: float, s: float) -> None:
        self.m, self.s = (torch.tensor([[v]], dtype=torch.float64, requires_grad=True) for v in (m, s))
        self.prior = case(GAUSSIAN).vae.prior

    def parameters(self) -> Iterator[Tensor]:
        return iter([self.m])

    def posterior(self, t: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert observed is None
        return self.m.expand(len(t), 1), self.s.expand(len(t), 1)

    def log_prob(self, t: Tensor, z: Tensor, observed: Tensor | None = None) -> Tensor:
        assert observed is None
        return -0.5 * (t[:, None] - z) ** 2 - 0.5 * math.log(2 * math.pi)


def bound_by_quadrature(m: float, s: float, x: float) -> float:
    """E[log (w_1 + w_2) / 2] over two draws, by Gauss-Hermite quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    z = m + s * points
    log_w = -0.5 * (x - z) ** 2 - 0.5 * math.log(2 * math.pi) + 0.5 * (points**2 - z**2) + math.log(s)
    pairs = np.logaddexp(log_w[:, None], log_w[None]) - math.log(2)
    return float((weights[:, None] * weights[None] * pairs).sum() / (2 * math.pi))


def test_the_mean_gradient_equals_the_analytic_one_for_a_linear_model() -> None:
    m, s, x, n = 0.2, 0.9, 1.5, 200_000
    line = Line(m, s)
    settings = case(GAUSSIAN, 'objective.name="iwae"', "objective.num_samples=2").config.objective
    objective = Objective(line, settings)  # type: ignore[arg-type]  # Line has all that Objective uses of a VAE
    eps = torch.randn(n, 2, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = objective(NetworkRows(torch.full((n, 1), x, dtype=torch.float64)), eps, 1.0, 1 / n)
    got = torch.autograd.grad(loss, [line.m, line.s])
    h = 1e-4
    expected = [
        -(bound_by_quadrature(m + h, s, x) - bound_by_quadrature(m - h, s, x)) / (2 * h),
        -(bound_by_quadrature(m, s + h, x) - bound_by_quadrature(m, s - h, x)) / (2 * h),
    ]
    assert float(loss.detach()) == pytest.approx(-bound_by_quadrature(m, s, x), abs=0.005)
    assert [float(g) for g in got] == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_densities_are_in_float32_if_the_networks_are_not(kind: str) -> None:
    one = case(kind)
    batch = network_rows(one.vae, one.rows.x[:6])
    z = standard_eps(1, one.latent_dim, len(batch)).expand(
        *([one.vae.members] if one.vae.members > 1 else []), -1, -1, -1
    )
    with torch.no_grad():
        h = one.vae.decoder(z)
        plain = one.vae.likelihood.log_prob(batch.t[:, None], h)
        with torch.autocast("cpu", torch.bfloat16):
            cast = one.vae.likelihood.log_prob(batch.t[:, None], h)
            assert one.vae.decoder(z).dtype == torch.bfloat16
    assert cast.dtype == torch.float32
    assert torch.equal(cast, plain)
