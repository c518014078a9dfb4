"""p(z) as a mean of kernels around training rows: KL divergence from the posterior, conditionals of cells, samples.

N rows, Z latent dimensions, R of them numbers and C levels, M exemplars in B blocks of S places; nats:

    p(z) = (1/M) sum_i t_nu(z; c_i, h^2 S_k + F) prod_d k_id(z_d)

with a Student-t density of the numbers, see NumberKernels, and a product over the columns of levels, see LevelKernels.
Places without an exemplar have the weight 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaekit_training.functional import log_mean_exp_of_many
from vaekit_training.kernels.blocks import blocks_of
from vaekit_training.kernels.mixture import LOG_2PI
from vaekit_training.kernels.prior_levels import LevelKernels
from vaekit_training.kernels.prior_numbers import NumberKernels
from vaekit_training.kernels.search import Kernels
from vaekit_training.kernels.similar import Similar, most_similar

NOWHERE = -1e30  # log weight of a place without an exemplar


class Cells(NamedTuple):
    """p(z_d | the other cells) of each cell, (N, Z) each, and the most similar exemplars of each row."""

    log_density: Tensor  # of a level: log probability
    mean: Tensor  # of levels: mean index
    deviation: Tensor  # standard deviation; 0 for levels
    similar: Similar
    probabilities: Tensor | None  # (N, L), of all levels; None: no column has levels


class KernelPrior(nn.Module):
    """The prior of a VAE whose z is a standardised row.

    A Student-t kernel is a mixture of normal kernels of different widths. With the index i of the exemplar and the
    width as further latent variables, and their optimal posterior given q(z|x), the joint KL is

        KL = -log (1/M) sum_i t_nu( sqrt(E_q[delta_i^2]) ) prod_d k_id(x_d) - H(q(numbers|x)),
        E_q[delta_i^2] = delta_i^2(mu) + sum_j P_jj sigma_j^2,   P = A A^T

    It is at least KL(q(z|x) || p(z)), so that the ELBO remains a lower bound, and needs no draws.
    """

    inputs = ("noise", "choice")  # arguments of sample that are random numbers
    is_standard = False
    row: Tensor  # (M,) index of each exemplar among the training rows
    cluster: Tensor  # (M,), its cluster
    place: Tensor  # (M,), its place among the B S places
    log_weight: Tensor  # (B, S), 0, or NOWHERE
    at_numbers: Tensor  # (R,) the dimensions of z that are numbers
    at_levels: Tensor  # (C,) those that are levels
    order: Tensor  # (Z,) place of each dimension of z among the numbers and then the levels
    _one: Tensor

    def __init__(self, kernels: Kernels, row: Tensor, is_level: Sequence[bool] = ()) -> None:
        """
        Args:
            kernels: the kernels.
            row: (M,) indices of the exemplars among the training rows.
            is_level: (Z,), whether each dimension of z is one of levels; empty: none is.
        """
        super().__init__()
        self.nu, self.h, self.keep, self.trials = kernels.nu, kernels.h, kernels.keep, kernels.trials
        self.clusters = len(kernels.mean)
        dim, counts = kernels.mean.shape[1], kernels.exemplars.counts
        blocks, place = blocks_of(kernels.cluster)
        self.places = (blocks.shape[0], blocks.shape[1])
        at = torch.tensor(list(is_level) or [False] * dim, dtype=torch.bool)
        at_numbers, at_levels = (~at).nonzero()[:, 0], at.nonzero()[:, 0]
        self.register_buffer("row", row)
        self.register_buffer("cluster", kernels.cluster)
        self.register_buffer("place", place)
        self.register_buffer("log_weight", torch.where(blocks >= 0, 0.0, NOWHERE).double())
        self.register_buffer("at_numbers", at_numbers)
        self.register_buffer("at_levels", at_levels)
        self.register_buffer("order", torch.argsort(torch.cat([at_numbers, at_levels])))
        self.register_buffer("_one", torch.ones(()), persistent=False)  # has the model's dtype
        of_blocks = kernels.cluster[blocks.amax(1)]
        self.numbers = NumberKernels(kernels, blocks, of_blocks) if dim else None
        self.levels = LevelKernels(kernels.log_levels, place, self.places, counts) if counts else None

    @property
    def count(self) -> int:
        """M, the number of exemplars."""
        return self.row.numel()

    @property
    def level_count(self) -> int:
        """L, the number of levels of all columns of levels."""
        return 0 if self.levels is None else self.levels.column.numel()

    @property
    def is_diagonal(self) -> bool:
        """Whether the covariances are diagonal. Missing numbers then have an exact q: the kernels' own."""
        return self.numbers is None or self.numbers.is_diagonal

    @property
    def values(self) -> int:
        """The number of values of all exemplars, with which each row is compared."""
        of_numbers = 0 if self.numbers is None else self.numbers.exemplars.numel()
        return of_numbers + (0 if self.levels is None else self.levels.log_level.numel())

    def kl(self, mu: Tensor, sigma: Tensor, there: Tensor | None = None) -> Tensor:
        """The joint KL of q(z|x), (N,), see the class; of the cells that are `there`, (N, Z) bool, if it is given.

        q(z|x) = N(mu, diag sigma^2), (N, Z) each. Cells that are not there have q(z_d|i) = p(z_d|i) for each exemplar;
        their KL is 0. With full covariances, all numbers are there, also those with a wide q.
        """
        log_p = self.log_density(mu.double(), sigma.double(), there)
        if self.numbers is None:
            return -log_p.to(mu.dtype)
        entropy = self._numbers(sigma).log() + 0.5 * (LOG_2PI + 1.0)
        seen = self._seen(there)
        entropy = entropy if seen is None else torch.where(seen, entropy, 0.0)
        return (-log_p - entropy.sum(-1).double()).to(mu.dtype)

    def log_ratio(self, sigma: Tensor, z: Tensor, eps: Tensor, there: Tensor | None = None) -> Tensor:
        """log p(z_k) - log q(z_k|x), (N, K), for sigma (N, Z), z and eps (N, K, Z); there as in kl."""
        wide = None if there is None else there[:, None].expand(z.shape).flatten(0, 1)
        log_p = self.log_density(z.double().flatten(0, 1), None, wide).unflatten(0, z.shape[:2])
        if self.numbers is None:
            return log_p.to(z.dtype)
        own = self._numbers(eps)
        each = -0.5 * (own * own + LOG_2PI) - self._numbers(sigma).log()[:, None]  # (N, K, R)
        seen = self._seen(there)
        each = each if seen is None else torch.where(seen[:, None], each, 0.0)
        return (log_p - each.sum(-1).double()).to(z.dtype)

    def log_density(self, z: Tensor, sigma: Tensor | None = None, there: Tensor | None = None) -> Tensor:
        """log (1/M) sum_i t_nu(sqrt(E[delta_i^2])) prod_d k_id, (N,) float64, for z and standard deviations (N, Z).

        With there (N, Z) bool, it is the density of these cells of each row: see kl.
        """
        log_t = self.log_weight[:, None].to(self._one.dtype)  # (B, 1, S)
        if self.numbers is not None:
            wide = None if sigma is None else self._numbers(sigma)
            log_t = self.numbers.log_kernels(self._numbers(z), wide, self._seen(there), self.log_weight)
        if self.levels is not None:
            log_t = log_t + self.levels.of_rows(*self._levels(z, there)).to(log_t.dtype)
        by_block = log_mean_exp_of_many(log_t).double().transpose(0, 1)  # (N, B)
        return torch.logsumexp(by_block, dim=-1) + math.log(self.places[1] / self.count)

    def cells(self, mu: Tensor, sigma: Tensor, there: Tensor | None = None) -> Cells:
        """p(z_d | the other cells) at z = mu, for mu and sigma (N, Z); there as in kl.

        The weight of exemplar i without column d is that with it, divided by the density of z_d around it. For a column
        of levels, p(z_d | the other cells) is the mean of k_id with these weights.
        """
        more = self.log_weight[:, None]  # (B, 1, S)
        if self.levels is not None:
            codes, observed = self._levels(mu, there)
            more = more + self.levels.of_rows(codes, observed)  # (B, N, S)
        found, log_kernels = None, more
        if self.numbers is not None:
            log_kernels, found = self.numbers.cells(self._numbers(mu), self._numbers(sigma), self._seen(there), more)
        by_row = log_kernels.transpose(0, 1).flatten(1)  # (N, B S)
        similar = most_similar(by_row.index_select(1, self.place).double())
        if self.levels is None:
            assert found is not None
            return Cells(*found, similar, None)
        of_levels = self.levels.cells(log_kernels.to(self._one.dtype), codes, observed)
        own = (of_levels.log_density, of_levels.mean, torch.zeros_like(of_levels.mean))
        joined = own if found is None else tuple(torch.cat(pair, -1) for pair in zip(found, own, strict=True))
        log_density, mean, deviation = (one.index_select(1, self.order) for one in joined)
        return Cells(log_density, mean, deviation, similar, of_levels.probabilities)

    def sample(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> Tensor:  # noqa: ARG002  as in Aggregate
        """z around the exemplar i = floor(M choice), (N, Z): see NumberKernels.sample and LevelKernels.sample.

        The fraction of M choice is the quantile of chi^2 of the numbers.

        Args:
            noise: standard normals (N, Z).
            choice: uniforms in [0, 1), (N,).
            member: not used.
        """
        assert choice is not None
        scaled = choice.double() * self.count
        i = scaled.floor().long().clamp(0, self.count - 1)  # (N,)
        at = self.place.index_select(0, i)
        found = []
        if self.numbers is not None:
            found.append(self.numbers.sample(at, scaled - i, self._numbers(noise)))
        if self.levels is not None:
            found.append(self.levels.sample(at, noise.index_select(1, self.at_levels)).to(noise.dtype))
        return found[0] if len(found) == 1 else torch.cat(found, -1).index_select(1, self.order)

    def _numbers(self, values: Tensor) -> Tensor:
        """The numbers (..., R) of values (..., Z)."""
        return values if self.levels is None else values.index_select(-1, self.at_numbers)

    def _levels(self, z: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The levels of z (N, Z), and whether they are there, (N, C) each."""
        observed = None if there is None else there.index_select(1, self.at_levels)
        return z.index_select(1, self.at_levels), observed

    def _seen(self, there: Tensor | None) -> Tensor | None:
        """Which numbers the density has, (N, R), for cells that are there, (N, Z); None: all."""
        return None if there is None or not self.is_diagonal else self._numbers(there)
