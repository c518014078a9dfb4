"""The training objective.

N rows, D data dimensions, Z latent dimensions, K draws, a leading axis of M members if there are members; nats per row.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from vaekit_training.data.batch import NetworkRows
from vaekit_training.functional import log_mean_exp
from vaekit_training.loop.elbo_loss import elbo_loss
from vaekit_training.prior import kl_by_latent
from vaekit_training.sections import ObjectiveConfig
from vaekit_training.vae import VAE, draw_latents

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Objective:
    """A share of the negative objective of a batch, summed over members; the shares of all parts add up to the whole.

        elbo    (1/N) sum_n [ beta KL(q(z|x_n) || p(z)) - (1/K) sum_k log p(x_n|z_nk) ]
        iwae   -(1/N) sum_n log (1/K) sum_k w_nk,   w_nk = p(x_n|z_nk) p(z_nk) / q(z_nk|x_n)

    It is in the units the networks see; `log_jacobian` converts it to raw units. The networks run in the configured
    precision, densities in float32.
    """

    def __init__(self, vae: VAE, settings: ObjectiveConfig, *, precision: str = "fp32", compiled: bool = False) -> None:
        self._vae, self._settings = vae, settings
        self._posterior: Any = torch.compile(vae.posterior, dynamic=False) if compiled else vae.posterior
        self._log_prob: Any = torch.compile(vae.log_prob, dynamic=False) if compiled else vae.log_prob
        device = next(vae.parameters()).device.type
        self._cast: Any = torch.autocast(device, PRECISIONS[precision]) if precision in PRECISIONS else nullcontext()
        self._constant: Tensor | None = None  # the Jacobian, if it is the same for every row
        self._relative = relative_betas(settings, next(vae.parameters()))

    @property
    def _is_plain(self) -> bool:
        """Whether elbo_loss, whose gradient is in closed form, applies."""
        return self._vae.prior.is_standard and self._settings.name == "elbo" and not self._settings.free_bits

    @property
    def free_bits(self) -> float:
        """Nats per latent dimension that cost nothing."""
        return self._settings.free_bits

    def __call__(
        self, batch: NetworkRows, eps: Tensor, beta: float | Tensor, share: float, costly: Tensor | None = None
    ) -> Tensor:
        """The loss of these rows.

        Args:
            batch: n of the batch's N rows.
            eps: (n, K, Z) standard normals.
            beta: weight of the KL, for the member with the largest one.
            share: 1 / N.
            costly: (..., Z) latent dimensions above their free bits in the whole batch; needed if this is a part of it.
        """
        with self._cast:
            mu, sigma = self._posterior(batch.t, batch.observed)  # each (..., n, Z)
            if self._is_plain and eps.shape[1] == 1 and mu.ndim == 2:
                z = torch.addcmul(mu, sigma, eps[:, 0])  # (n, Z): one axis less costs fewer operations
            else:
                z = draw_latents(mu, sigma, eps)  # (..., n, K, Z)
            log_p = self._log_prob(batch.t, z, batch.observed)  # (..., n, K, D)
        if self._is_plain:
            weight = beta if self._relative is None else beta * self._relative[..., None]  # (M, 1, 1)
            return elbo_loss(mu, sigma, log_p, weight, share, eps.shape[1])
        if self._settings.name == "iwae":
            return -share * self._importance_weighted(mu, sigma, z, log_p, batch.own).sum()
        if self._settings.free_bits:
            kl = self._above_free_bits(mu, sigma, share, costly)
            return beta * kl - log_p.sum() * (share / eps.shape[1])
        kl = self._vae.prior.kl(mu, sigma, batch.own)  # (..., n)
        weight = beta if self._relative is None else beta * self._relative  # (M, 1)
        return share * ((weight * kl).sum() - log_p.sum() / eps.shape[1])

    def _importance_weighted(self, mu: Tensor, sigma: Tensor, z: Tensor, log_p: Tensor, own: Tensor | None) -> Tensor:
        """log (1/K) sum_k w_k, (..., n), with the doubly reparameterised gradient.

        The decoder's gradient is sum_k v_k d log w_k with v = w / sum w. The encoder's goes through z alone and has one
        more factor v_k: sum_k v_k^2 (d log w_k / d z_k) d z_k. It has the same mean as the plain gradient, and its
        signal is not lost in its variance as K grows.

        Source: Tucker et al. (2019), "Doubly reparameterized gradient estimators for Monte Carlo objectives", (8).
        """
        fixed_mu, fixed_sigma = mu.detach()[..., None, :], sigma.detach()
        eps = (z - fixed_mu) / fixed_sigma[..., None, :]  # log q(z|x) depends on z, not on mu and sigma
        log_w = log_p.sum(-1) + self._vae.prior.log_ratio(fixed_sigma, z, eps, own)  # (..., n, K)
        v = torch.softmax(log_w.detach(), dim=-1)
        if z.requires_grad:
            z.register_hook(lambda gradient: gradient * v[..., None])
        return log_mean_exp(log_w)

    def _above_free_bits(self, mu: Tensor, sigma: Tensor, share: float, costly: Tensor | None) -> Tensor:
        """sum_j max(free, KL_j), with KL_j the batch mean of a latent dimension's KL; ().

        Source: Kingma et al. (2016), "Improved variational inference with inverse autoregressive flow", (15).
        """
        kl = kl_by_latent(mu, sigma).sum(-2) * share  # (..., Z): a part's contribution to the mean
        free = self._settings.free_bits
        if costly is None:
            return kl.clamp_min(free).sum()
        return torch.where(costly, kl, free * share * mu.shape[-2]).sum()

    @torch.no_grad()
    def kl_of(self, part: NetworkRows, share: float) -> Tensor:
        """A part's contribution to the batch mean of each latent dimension's KL, (..., Z)."""
        with self._cast:
            mu, sigma = self._posterior(part.t, part.observed)
        return kl_by_latent(mu, sigma).sum(-2) * share

    @torch.no_grad()
    def log_jacobian(self, batch: NetworkRows) -> Tensor:
        """Mean over rows of sum_d log |dt_d / dx_d| over the observed cells, float64, ()."""
        if self._constant is not None:
            return self._constant
        each = self._vae.features.log_jacobian(batch.t)  # (D,) or (n, D)
        if each.ndim == 1 and batch.observed is None:
            self._constant = each.sum()
        return total_log_jacobian(each, batch.observed).mean()


def relative_betas(settings: ObjectiveConfig, like: Tensor) -> Tensor | None:
    """Each member's beta over the largest, (M, 1); None if all are equal, as for a single VAE."""
    if len(settings.betas) == 1:
        return None
    return torch.tensor(settings.betas, dtype=like.dtype, device=like.device)[:, None] / max(settings.betas)


def total_log_jacobian(each: Tensor, observed: Tensor | None) -> Tensor:
    """sum_d log |dt_d / dx_d| over observed cells, (N,) or (), from `each` (D,) or (N, D)."""
    return (each if observed is None else torch.where(observed, each, 0.0)).sum(-1)
