"""The VAE whose latent vector is the standardised row, with a kernel density over training rows as its prior.

N rows, D data dimensions, Z latent dimensions (the columns that vary), K draws, L levels of categories; nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.bundle.input_spec import Kind
from vaekit_training.features import MASSES, Standardize
from vaekit_training.functional import HALF_LOG_2PI, log_mean_exp
from vaekit_training.kernel_networks import Columns, Levels, Spread, kernel_likelihood, places
from vaekit_training.kernels.missing import Usual
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.similar import Similar
from vaekit_training.likelihoods.base import LARGEST_RESIDUAL
from vaekit_training.likelihoods.location_scale import log_normal
from vaekit_training.networks import Cost
from vaekit_training.vae import VAE, BoundTerms, draw_latents

FARTHEST = 100.0  # |z| is clamped to it where cells are compared, so that differences of squares keep their digits
Z_90 = 1.6448536269514722  # normal quantile of 0.95: half the width of a central interval of 90 %


class RawCells(NamedTuple):
    """p(x_d | the other cells) of each cell, (N, D) each: log density in nats, mean and central 90 % in raw units.

    A column of levels has the mean of the index, and no central 90 %.
    """

    log_density: Tensor
    expected: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    similar: Similar | None = None  # the exemplars that are most similar to each row
    probabilities: Tensor | None = None  # (N, L), of the levels of all categories


class KernelVAE(VAE):
    """mu(x) = the standardised columns that vary, p(x|z) = N(z, s^2) in standard deviations of the columns.

    With sigma(x) = s too, the expected log-likelihood is the same for every row and needs no draws. The ELBO is the log
    density of the prior at the row, up to about s^2 / (2 smallest variance) nats per column:

        E_q[log p(x|z)] + H(q(z|x)) = 0 for the columns that vary

    In columns of levels (binary ones and categories) z is the index of the level. p(x_d|z) is 1 for the level at which
    z_d is, and the entropy of q cancels with that of the prior: see LevelKernels. They can always be left out exactly.
    With diagonal kernels, missing cells are integrated out: the ELBO is that of the other cells. With full ones, a
    missing cell gets a wide q: its mean and standard deviation are those of a normal distribution with the covariance
    of the training rows, given the other cells; that of the standard deviation given all others (mean field).

    The graphs have log p(x_d | the other cells) as terms by feature; they do not add up to the log-likelihood. They
    also have the exemplars that are most similar to a row, by the posterior over exemplars.
    """

    column: Tensor  # (Z,) the columns that vary
    is_level: Tensor  # (D,) bool, columns of levels
    of_categories: Tensor  # (L,), the levels of categories among those of all columns of levels
    prior: KernelPrior

    def __init__(
        self,
        features: Standardize,
        scale: float,
        prior: KernelPrior,
        usual: Usual,
        kinds: Sequence[Kind],
        counts: Sequence[int],
    ) -> None:
        """
        Args:
            features: the standardisation.
            scale: s.
            prior: the kernel density.
            usual: what missing cells are filled in by.
            kinds: kinds of the D columns.
            counts: number of levels of each category, 0 for other columns.
        """
        column, place = features.active.nonzero()[:, 0], places(features.active)
        likelihood = kernel_likelihood(features, scale, kinds, counts)
        has_levels = prior.levels is not None
        decoder = Levels(place, len(column), kinds, counts) if has_levels else Spread(place, len(column))
        super().__init__(features, Columns(column), decoder, likelihood, latent_dim=len(column), prior=prior)
        self.register_buffer("column", column)
        is_level = torch.tensor([kind in MASSES for kind in kinds])
        self.register_buffer("is_level", is_level)
        is_category = torch.tensor(
            [kinds[d] == "category" for d in column[is_level[column]].tolist()], dtype=torch.bool
        )
        of_levels = torch.zeros(0, dtype=torch.long) if prior.levels is None else prior.levels.column
        self.register_buffer("of_categories", is_category[of_levels].nonzero()[:, 0])
        self.spread = Spread(place, len(column))
        self.scale, self.usual = scale, usual

    def costs(self) -> tuple[Cost, Cost]:
        """Cost of the encoder with the prior, and of the decoder. Rows are compared with all levels at once."""
        values, wide = self.prior.values, max(self.features.dim, self.prior.level_count)
        shapes = 0 if self.prior.numbers is None else self.prior.numbers.inverse.numel()
        return Cost(values, values + shapes, wide), Cost(0, wide, wide)

    def posterior(self, t: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu and sigma of q(z|x), (N, Z) each, for rows t (N, D) in model units; observed: (N, D) bool."""
        mu = self.encoder(t)
        sigma = torch.full_like(mu, self.scale)
        if observed is None:
            return mu, sigma
        there = self.encoder(observed)  # (N, Z)
        filled, wide = self.usual(mu.double(), there)
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
        there = None if observed is None else self.encoder(observed)  # (N, Z)
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
            feature_probabilities=of_cells.probabilities,
        )
        return mu.to(self.dtype), sigma.to(self.dtype), bound

    def _log_likelihood(self, t: Tensor, squares: Tensor) -> Tensor:
        """log p(t_d|z_k), (N, K, D), of rows t (N, D) for z_k = mu + s eps_k, from eps_k^2, (N, K, Z).

        The residual of z_k is -eps_k. Constant columns are N(0, 1) in model units, as in every LocationScale. Levels
        have the probability 1.
        """
        r = self.spread(squares)  # (N, K, D), 0 for constant columns
        if self.features.all_active:
            log_p = -0.5 * r - HALF_LOG_2PI - math.log(self.scale)
        else:
            constant = t.clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL).square()[:, None]  # (N, 1, D)
            active = self.features.active
            log_scale = torch.where(active, math.log(self.scale), 0.0)
            log_p = -0.5 * torch.where(active, r, constant) - HALF_LOG_2PI - log_scale
        return log_p if self.prior.levels is None else torch.where(self.is_level, 0.0, log_p)

    def _cells(self, t: Tensor, mu: Tensor, sigma: Tensor, jacobian: Tensor, there: Tensor | None) -> RawCells:
        """log p(x_d | the other cells), its mean and its central 90 % in raw units, for rows t (N, D)."""
        near = mu.clamp(-FARTHEST, FARTHEST)
        if self.prior.levels is not None:
            near = torch.where(self.encoder(self.is_level), mu, near)
        found = self.prior.cells(near, sigma, there)
        log_density, mean, deviation = (self.spread(one) for one in found[:3])  # (N, D) each
        if not self.features.all_active:
            active = self.features.active
            constant = log_normal(t.clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL))
            log_density = torch.where(active, log_density, constant)
            deviation = torch.where(active, deviation, 1.0)
        to_raw, half, p = self.features.to_raw, Z_90 * deviation, found.probabilities
        return RawCells(
            log_density + jacobian,
            to_raw(mean),
            to_raw(mean - half),
            to_raw(mean + half),
            found.similar,
            p.index_select(1, self.of_categories) if p is not None and len(self.of_categories) else None,
        )
