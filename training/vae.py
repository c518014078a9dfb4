"""The variational autoencoder and its bound. Knows the mathematics; not data files, optimisers or graphs.

N rows, D data dimensions, Z latent dimensions, K draws; nats; x in raw units.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.features import Features
from training.functional import log_mean_exp, softplus
from training.likelihoods import Likelihood

SIGMA_FLOOR = 1e-6
LARGEST_INPUT = 1e3  # any q keeps the bound: the encoder may look at a cut x


class Bound(NamedTuple):
    """The terms of the bound, each (N,) float64, and (N, D) by feature."""

    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor
    log_evidence: Tensor
    feature_log_likelihood: Tensor


def kl_divergence(mu: Tensor, sigma: Tensor) -> Tensor:
    """KL( N(mu, diag sigma^2) || N(0, I) ) = sum_j [ (mu_j^2 + sigma_j^2 - 1) / 2 - log sigma_j ], (N, Z) -> (N,).

    Source: Kingma and Welling (2014), appendix B.
    """
    return (0.5 * (mu * mu + sigma * sigma - 1.0) - sigma.log()).sum(-1)


class VAE(nn.Module):
    """p(x, z) = p(x|z) N(z; 0, I) with q(z|x) = N(mu(x), diag sigma(x)^2)."""

    def __init__(self, features: Features, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood) -> None:
        """encoder: (N, D) -> (N, 2 Z); decoder: (..., Z) -> (..., likelihood.width)."""
        super().__init__()
        self.features = features
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return next(self.encoder.parameters()).dtype

    @property
    def latent_dim(self) -> int:
        """Z."""
        return next(p for p in self.decoder.parameters() if p.ndim > 1).shape[1]

    def posterior(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """mu, sigma (N, Z) each, for rows t (N, D) as the networks see them."""
        shown = t if self.features.all_active else torch.where(self.features.active, t, 0.0)
        mu, raw = self.encoder(shown.clamp(-LARGEST_INPUT, LARGEST_INPUT)).chunk(2, dim=-1)
        return mu, SIGMA_FLOOR + softplus(raw)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu, sigma (N, Z) each, for raw rows."""
        return self.posterior(self.features(x).to(self.dtype))

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        """Mean, and scale where there is one, of p(x|z) in raw units, float64; (N, Z) -> (N, D) or (N, H, W, C)."""
        h = self.decoder(z)
        out = {"mean": self.features.to_raw(self.likelihood.mean(h))}
        s = self.likelihood.scale(h)
        if s is not None:
            out["scale"] = self.features.to_raw_scale(s.expand((*h.shape[:-1], self.features.dim)))
        return out

    def observe(self, z: Tensor, noise: Tensor) -> Tensor:
        """x ~ p(x|z) in raw units, float64, from standard normals (N, D, 2)."""
        return self.features.to_raw(self.likelihood.observe(self.decoder(z), noise))

    def bound(self, x: Tensor, eps: Tensor) -> Bound:
        """The bound of raw rows for draws eps (N, K, Z).

        elbo         = (1/K) sum_k log p(x|z_k) - KL(q(z|x) || p(z)),   z_k = mu + sigma eps_k
        log_evidence = log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x)       Burda et al. (2016)
        """
        t = self.features(x).to(self.dtype)  # (N, D)
        mu, sigma = self.posterior(t)  # each (N, Z)
        z = mu[:, None] + sigma[:, None] * eps  # (N, K, Z)
        per_feature = self.likelihood.log_prob(t[:, None], self.decoder(z))  # (N, K, D)
        jacobian = self.features.log_jacobian()  # (D,)
        log_p_x = per_feature.sum(-1).double() + jacobian.sum()  # (N, K)
        kl = kl_divergence(mu.double(), sigma.double())  # (N,)
        log_ratio = log_prior_ratio(mu.double(), sigma.double(), eps.double())  # (N, K)
        log_likelihood = log_p_x.mean(-1)  # (N,)
        return Bound(
            elbo=log_likelihood - kl,  # E_q[log p(x|z)] - KL(q||p)
            log_likelihood=log_likelihood,
            kl=kl,
            log_evidence=log_mean_exp(log_p_x + log_ratio),
            feature_log_likelihood=per_feature.mean(1).double() + jacobian,
        )


def log_prior_ratio(mu: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
    """log p(z_k) - log q(z_k|x) = sum_j [ (eps_kj^2 - z_kj^2) / 2 + log sigma_j ], (N, K)."""
    z = mu[:, None] + sigma[:, None] * eps  # (N, K, Z)
    return (0.5 * (eps * eps - z * z) + sigma[:, None].log()).sum(-1)
