"""The VAE whose latent vector is the standardised row, with a kernel density over training rows as its prior.

N rows, D data dimensions, Z latent dimensions (the columns that vary), K draws; nats.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaekit_training.features import Standardize
from vaekit_training.functional import HALF_LOG_2PI, log_mean_exp
from vaekit_training.kernels.missing import Conditional
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.similar import Similar
from vaekit_training.likelihoods import Gaussian
from vaekit_training.likelihoods.base import LARGEST_RESIDUAL
from vaekit_training.likelihoods.location_scale import log_normal
from vaekit_training.networks import Cost
from vaekit_training.vae import VAE, BoundTerms, draw_latents

FARTHEST = 100.0  # |z| is clamped to it where cells are compared, so that differences of squares keep their digits
Z_90 = 1.6448536269514722  # normal quantile of 0.95: half the width of a central interval of 90 %


class RawCells(NamedTuple):
    """p(x_d | the other cells) of each cell, (N, D) each: log density in nats, mean and central 90 % in raw units.

    similar: the exemplars that are most similar to each row.
    """

    log_density: Tensor
    expected: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    similar: Similar | None = None


class Columns(nn.Module):
    """The encoder: the columns that vary, (..., Z), of rows (..., D)."""

    column: Tensor

    def __init__(self, column: Tensor) -> None:
        super().__init__()
        self.register_buffer("column", column)

    def forward(self, t: Tensor) -> Tensor:
        return t.index_select(-1, self.column)


class Spread(nn.Module):
    """The decoder: latent vectors (..., Z) as rows (..., D), 0 in constant columns."""

    place: Tensor  # (D,) index of each column in z; Z for constant columns

    def __init__(self, column: Tensor, dim: int) -> None:
        super().__init__()
        place = torch.full((dim,), len(column))
        place[column] = torch.arange(len(column))
        self.register_buffer("place", place)
        self._all = len(column) == dim

    def forward(self, z: Tensor) -> Tensor:
        if self._all:
            return z
        return torch.cat([z, torch.zeros_like(z[..., :1])], dim=-1).index_select(-1, self.place)


class KernelVAE(VAE):
    """mu(x) = the standardised columns that vary, p(x|z) = N(z, s^2) in standard deviations of the columns.

    With sigma(x) = s too, the expected log-likelihood is the same for every row and needs no draws. The ELBO is the log
    density of the prior at the row, up to about s^2 / (2 smallest variance) nats per column:

        E_q[log p(x|z)] + H(q(z|x)) = 0 for the columns that vary

    With diagonal kernels, missing cells are integrated out: the ELBO is that of the other cells. With full ones, a
    missing cell gets a wide q: its mean and standard deviation are those of a normal distribution with the covariance
    of the training rows, given the other cells; that of the standard deviation given all others (mean field).

    The graphs have log p(x_d | the other cells) as terms by feature; they do not add up to the log-likelihood. They
    also have the exemplars that are most similar to a row, by the posterior over exemplars.
    """

    column: Tensor  # (Z,) the columns that vary
    prior: KernelPrior

    def __init__(self, features: Standardize, scale: float, prior: KernelPrior, precision: Tensor) -> None:
        """
        Args:
            features: the standardisation.
            scale: s.
            prior: the kernel density.
            precision: inverse covariance of the training rows in model units, (Z, Z), or its diagonal, (Z,).
        """
        column = features.active.nonzero()[:, 0]
        likelihood = Gaussian(scale, torch.full((features.dim,), scale), features.active)
        super().__init__(
            features, Columns(column), Spread(column, features.dim), likelihood, latent_dim=len(column), prior=prior
        )
        self.register_buffer("column", column)
        self.scale = scale
        self.conditional = Conditional(precision)

    def costs(self) -> tuple[Cost, Cost]:
        """Cost of the encoder with the prior, and of the decoder."""
        values = self.prior.exemplars.numel()
        wide = self.features.dim
        return Cost(values, values + self.prior.inverse.numel(), wide), Cost(0, wide, wide)

    def posterior(self, t: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu and sigma of q(z|x), (N, Z) each, for rows t (N, D) in model units; observed: (N, D) bool."""
        mu = self.encoder(t)
        sigma = torch.full_like(mu, self.scale)
        if observed is None:
            return mu, sigma
        there = self.encoder(observed)  # (N, Z)
        filled, wide = self.conditional(mu.double(), there)
        return torch.where(there, mu, filled.to(t.dtype)), torch.where(there, sigma, wide.to(t.dtype))

    def encode(self, x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu and sigma of q(z|x), (N, Z) each, for raw rows x (N, D); computed in float64."""
        mu, sigma = self.posterior(self.features(x, observed), observed)
        return mu.to(self.dtype), sigma.to(self.dtype)

    def bound(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> BoundTerms:
        """The bound of raw rows as in VAE.bound, with E_q[log p(x_d|z)] by feature, which add up to the log-likelihood.

        It compares no cell with the exemplars, and is about Z times as fast as bounds_by_member.
        """
        return self._bound(x, eps, observed, cells=False)[2]

    def bounds_by_member(
        self, x: Tensor, eps: Tensor, observed: Tensor | None = None
    ) -> tuple[Tensor, Tensor, BoundTerms]:
        """mu and sigma, (N, Z) each, and the bound, (N,), with log p(x_d | the other cells) by feature."""
        return self._bound(x, eps, observed, cells=True)

    def _bound(
        self, x: Tensor, eps: Tensor, observed: Tensor | None, *, cells: bool
    ) -> tuple[Tensor, Tensor, BoundTerms]:
        t = self.features(x, observed)  # (N, D), float64
        mu, sigma = self.posterior(t, observed)  # (N, Z), float64
        noise = eps.double()  # (N, K, Z)
        jacobian = self.features.log_jacobian(t)  # (D,) or (N, D)
        per_feature = self._log_likelihood(t, noise.square())  # (N, K, D)
        expected = self._log_likelihood(t, torch.ones_like(mu)[:, None])[:, 0]  # (N, D): E_q[eps^2] = 1
        there = self.encoder(observed) if observed is not None and self.prior.is_diagonal else None  # (N, Z)
        of_cells = self._cells(t, mu, sigma, jacobian, there) if cells else RawCells(expected + jacobian)
        if observed is not None:
            jacobian = torch.where(observed, jacobian, 0.0)
            per_feature = torch.where(observed[:, None], per_feature, 0.0)
            expected = torch.where(observed, expected, 0.0)
            of_cells = of_cells._replace(log_density=torch.where(observed, of_cells.log_density, 0.0))
        log_p_x = per_feature.sum(-1) + jacobian.sum(-1)[..., None]  # (N, K)
        kl = self.prior.kl(mu, sigma, there)  # (N,)
        log_ratio = self.prior.log_ratio(sigma, draw_latents(mu, sigma, noise), noise, there)  # (N, K)
        log_likelihood = (expected + jacobian).sum(-1)  # (N,)
        bound = BoundTerms(
            elbo=log_likelihood - kl,
            log_likelihood=log_likelihood,
            kl=kl,
            log_evidence=log_mean_exp(log_p_x + log_ratio),
            feature_log_likelihood=of_cells.log_density,
            feature_expected=of_cells.expected,
            feature_low=of_cells.low,
            feature_high=of_cells.high,
            similar=of_cells.similar,
        )
        return mu.to(self.dtype), sigma.to(self.dtype), bound

    def _log_likelihood(self, t: Tensor, squares: Tensor) -> Tensor:
        """log p(t_d|z_k), (N, K, D), of rows t (N, D) for z_k = mu + s eps_k, from eps_k^2, (N, K, Z).

        The residual of z_k is -eps_k. Constant columns are N(0, 1) in model units, as in every LocationScale.
        """
        r = self.decoder(squares)  # (N, K, D), 0 for constant columns
        if self.features.all_active:
            return -0.5 * r - HALF_LOG_2PI - math.log(self.scale)
        constant = t.clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL).square()[:, None]  # (N, 1, D)
        active = self.features.active
        return -0.5 * torch.where(active, r, constant) - HALF_LOG_2PI - torch.where(active, math.log(self.scale), 0.0)

    def _cells(self, t: Tensor, mu: Tensor, sigma: Tensor, jacobian: Tensor, there: Tensor | None) -> RawCells:
        """log p(x_d | the other cells), its mean and its central 90 % in raw units, for rows t (N, D)."""
        found = self.prior.cells(mu.clamp(-FARTHEST, FARTHEST), sigma, there)
        log_density, mean, deviation = (self.decoder(one) for one in found[:3])  # (N, D) each
        if not self.features.all_active:
            active = self.features.active
            constant = log_normal(t.clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL))
            log_density = torch.where(active, log_density, constant)
            deviation = torch.where(active, deviation, 1.0)
        to_raw, half = self.features.to_raw, Z_90 * deviation
        return RawCells(log_density + jacobian, to_raw(mean), to_raw(mean - half), to_raw(mean + half), found.similar)
