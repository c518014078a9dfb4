"""The training objective, in nats per row.

N rows of a batch, n rows of a part of it, D data dimensions, Z latent dimensions, K draws; ... is an axis of M members,
or empty for a single VAE.
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
    """The loss of a part of a batch, summed over members. The losses of all parts add up to the loss of the batch.

        elbo    (1/N) sum_n [ beta KL(q(z|x_n) || p(z)) - (1/K) sum_k log p(x_n|z_nk) ]
        iwae   -(1/N) sum_n log (1/K) sum_k w_nk,   w_nk = p(x_n|z_nk) p(z_nk) / q(z_nk|x_n)

    The loss is in model units; subtract `log_jacobian` to convert it to raw units. The networks run in the configured
    precision, densities in float32.

    Source: Higgins et al. (2017), "beta-VAE"; Burda et al. (2016), "Importance weighted autoencoders".
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
        """Nats of KL per latent dimension that are not penalised."""
        return self._settings.free_bits

    def __call__(
        self, batch: NetworkRows, eps: Tensor, beta: float | Tensor, share: float, above_free_bits: Tensor | None = None
    ) -> Tensor:
        """The loss of n of the batch's N rows, ().

        Args:
            batch: the n rows.
            eps: standard normals, (n, K, Z).
            beta: weight of the KL, for the member with the largest beta.
            share: 1 / N.
            above_free_bits: (..., Z) mask of the latent dimensions whose KL in the whole batch is above free_bits;
                needed if n < N.
        """
        with self._cast:
            mu, sigma = self._posterior(batch.t, batch.observed)  # each (..., n, Z)
            if self._is_plain and eps.shape[1] == 1 and mu.ndim == 2:
                z = torch.addcmul(mu, sigma, eps[:, 0])  # (n, Z): without the axis K there are fewer operations
            else:
                z = draw_latents(mu, sigma, eps)  # (..., n, K, Z)
            log_p = self._log_prob(batch.t, z, batch.observed)  # (..., n, K, D)
        if self._is_plain:
            weight = beta if self._relative is None else beta * self._relative[..., None]  # (M, 1, 1)
            return elbo_loss(mu, sigma, log_p, weight, share, eps.shape[1])
        if self._settings.name == "iwae":
            return -share * self._importance_weighted(mu, sigma, z, log_p, batch.train_index).sum()
        if self._settings.free_bits:
            kl = self._free_bits_kl(mu, sigma, share, above_free_bits)
            return beta * kl - log_p.sum() * (share / eps.shape[1])
        kl = self._vae.prior.kl(mu, sigma, batch.train_index)  # (..., n)
        weight = beta if self._relative is None else beta * self._relative  # (M, 1)
        return share * ((weight * kl).sum() - log_p.sum() / eps.shape[1])

    def _importance_weighted(
        self, mu: Tensor, sigma: Tensor, z: Tensor, log_p: Tensor, train_index: Tensor | None
    ) -> Tensor:
        """log (1/K) sum_k w_k, (..., n), with the doubly reparameterised gradient.

        With v_k = w_k / sum_i w_i, the gradient of the decoder is sum_k v_k d log w_k. That of the encoder goes through
        z only and has another factor v_k: sum_k v_k^2 (d log w_k / d z_k) d z_k. It has the same mean as the plain
        gradient, but its signal-to-noise ratio does not fall as K grows.

        Source: Tucker et al. (2019), "Doubly reparameterized gradient estimators for Monte Carlo objectives", (8).
        """
        fixed_mu, fixed_sigma = mu.detach()[..., None, :], sigma.detach()  # (..., n, 1, Z), (..., n, Z)
        eps = (z - fixed_mu) / fixed_sigma[..., None, :]  # (..., n, K, Z); gradients of log q(z|x) flow to z only
        log_w = log_p.sum(-1) + self._vae.prior.log_ratio(fixed_sigma, z, eps, train_index)  # (..., n, K)
        v = torch.softmax(log_w.detach(), dim=-1)  # (..., n, K)
        if z.requires_grad:
            z.register_hook(lambda gradient: gradient * v[..., None])
        return log_mean_exp(log_w)

    def _free_bits_kl(self, mu: Tensor, sigma: Tensor, share: float, above_free_bits: Tensor | None) -> Tensor:
        """sum_j max(free_bits, KL_j), (), where KL_j is the mean over the batch of the KL of latent dimension j.

        Source: Kingma et al. (2016), "Improved variational inference with inverse autoregressive flow", (15).
        """
        kl = kl_by_latent(mu, sigma).sum(-2) * share  # (..., Z): the part's contribution to KL_j
        free = self._settings.free_bits
        if above_free_bits is None:
            return kl.clamp_min(free).sum()
        return torch.where(above_free_bits, kl, free * share * mu.shape[-2]).sum()

    @torch.no_grad()
    def kl_of(self, part: NetworkRows, share: float) -> Tensor:
        """The part's contribution to KL_j, the batch mean of the KL of latent dimension j, (..., Z); share: 1 / N."""
        with self._cast:
            mu, sigma = self._posterior(part.t, part.observed)
        return kl_by_latent(mu, sigma).sum(-2) * share

    @torch.no_grad()
    def log_jacobian(self, batch: NetworkRows) -> Tensor:
        """(1/n) sum_n sum_d log |dt_d / dx_d| over the observed cells, (), float64."""
        if self._constant is not None:
            return self._constant
        each = self._vae.features.log_jacobian(batch.t)  # (D,) or (n, D)
        if each.ndim == 1 and batch.observed is None:
            self._constant = each.sum()
        return total_log_jacobian(each, batch.observed).mean()


def relative_betas(settings: ObjectiveConfig, like: Tensor) -> Tensor | None:
    """Each member's beta divided by the largest, (M, 1), with dtype and device of `like`; None if there is one beta."""
    if len(settings.betas) == 1:
        return None
    return torch.tensor(settings.betas, dtype=like.dtype, device=like.device)[:, None] / max(settings.betas)


def total_log_jacobian(each: Tensor, observed: Tensor | None) -> Tensor:
    """sum_d log |dt_d / dx_d| over observed cells, (N,) or (), from the terms `each`, (N, D) or (D,)."""
    return (each if observed is None else torch.where(observed, each, 0.0)).sum(-1)
