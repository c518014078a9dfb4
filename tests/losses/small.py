"""A small VAE with random weights, and ours beside a foreign loss on it. Knows no loss by name."""

from __future__ import annotations

import tomllib

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, StudentT, kl_divergence

from vaekit.losses import Equivalent

B, D, Z = 5, 6, 3
SIZES = {"dim": D, "latent_dim": Z, "batch_size": B}


class Small(nn.Module):
    """Encoder and decoder with random weights, and what a loss is made of, for one batch and one draw."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        torch.manual_seed(0)
        dim = x.shape[1]
        self.encoder = nn.Sequential(nn.Linear(dim, 7), nn.Tanh(), nn.Linear(7, 2 * Z)).double()
        self.decoder = nn.Sequential(nn.Linear(Z, 7), nn.Tanh(), nn.Linear(7, dim)).double()
        self.raw_scale = nn.Parameter(torch.tensor(-0.3, dtype=torch.float64))  # what a learned scale is made of
        self.x, self.eps = x, torch.randn(len(x), Z, dtype=torch.float64)

    def terms(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x (B, D), h (B, D), mu, log_var (B, Z)."""
        mu, log_var = self.encoder(self.x).chunk(2, dim=-1)
        return self.x, self.decoder(mu + (0.5 * log_var).exp() * self.eps), mu, log_var

    def gradient(self, loss: Tensor) -> Tensor:
        grads = torch.autograd.grad(loss, list(self.parameters()), allow_unused=True, retain_graph=True)
        return torch.cat([torch.zeros(1) if g is None else g.flatten() for g in grads])


def kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """(B, Z), as everybody writes it."""
    return -0.5 * (1 + log_var - mu**2 - log_var.exp())


def density(vae: Small) -> Tensor:
    """-log p(x|z) of each row (B,), by a density whose scale is learned."""
    x, h, _, _ = vae.terms()
    return -StudentT(4.0, h, F.softplus(vae.raw_scale)).log_prob(x).sum(1)


def ours(vae: Small, config: str) -> Tensor:
    """Mean over rows of -log p(x|z) + beta KL, by torch's own distributions, as the lines of a config say."""
    said = tomllib.loads(config)
    x, h, mu, log_var = vae.terms()
    likelihood = said["likelihood"]
    if isinstance(likelihood.get("scale"), float):
        negative = -Normal(h, likelihood["scale"]).log_prob(x).sum(1)
    elif likelihood["name"] == "bernoulli":
        negative = -Bernoulli(logits=h).log_prob(x).sum(1)
    else:
        negative = density(vae)
    q, p = Normal(mu, (0.5 * log_var).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return (negative + said["objective"]["beta"] * kl_divergence(q, p).sum(1)).mean()


def check(vae: Small, foreign: Tensor, equivalent: Equivalent) -> None:
    """foreign = factor (ours - constant), in value and in gradient."""
    here = ours(vae, equivalent.config)
    torch.testing.assert_close(
        vae.gradient(foreign), equivalent.factor * vae.gradient(here), rtol=1e-9, atol=1e-12 * equivalent.factor
    )
    value = equivalent.factor * (here.item() - equivalent.constant)
    assert foreign.item() == pytest.approx(value, rel=1e-9, abs=1e-9 * equivalent.factor * (1 + abs(here.item())))
