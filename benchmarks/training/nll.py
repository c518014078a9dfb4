"""Estimates log p(x) by importance sampling, row by row."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekit_training.vae import VAE


@torch.no_grad()
def minus_log_evidence(vae: VAE, x: Tensor, draws: int, seed: int = 0) -> Tensor:
    """-log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x) of raw rows x, with independent draws per row; (N,) nats, float64.

    In expectation this is an upper bound of -log p(x), tighter for larger K. The memory is that of K rows.

    Source: Burda, Grosse and Salakhutdinov (2016), equation 8.
    """
    generator = torch.Generator().manual_seed(seed)
    t = vae.features(x)  # (N, D)
    jacobian = vae.features.log_jacobian(t).sum(-1)  # () or (N,)
    t = t.to(vae.dtype)
    mu, sigma = vae.posterior(t)  # each (N, Z)
    found = torch.empty(len(x), dtype=torch.float64)
    for n in range(len(x)):
        found[n] = _log_sum_of_row(vae, t[n : n + 1], mu[n : n + 1], sigma[n : n + 1], draws, generator)
    return math.log(draws) - (found + jacobian)


def _log_sum_of_row(vae: VAE, t: Tensor, mu: Tensor, sigma: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """log sum_k p(t|z_k) p(z_k) / q(z_k|t) of one row (1, D)."""
    eps = torch.randn(1, draws, mu.shape[-1], generator=generator, dtype=mu.dtype)
    z = mu[:, None] + sigma[:, None] * eps  # (1, K, Z)
    log_p = vae.log_prob(t, z).sum(-1).double()  # (1, K)
    return torch.logsumexp(log_p + vae.prior.log_ratio(sigma, z, eps).double(), dim=-1)[0]
