"""The columns of levels in a kernel prior.

N rows, C columns of levels, L levels over all of them, in groups of C_g columns padded to most_g levels, see
LevelGroups; M exemplars in B blocks of S places; nats. In z, the value of such a column is the index of its level, up
to the small noise of q(z|x).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaekit_training.functional import normal_cdf
from vaekit_training.kernels.levels import levels_of
from vaekit_training.level_groups import LevelGroups

HALF = 0.5  # z is at the level that is nearer than this


class LevelCells(NamedTuple):
    """p(z_d | the other cells) of each column of levels."""

    log_density: Tensor  # (N, C), log probability of the level
    mean: Tensor  # (N, C), of the index
    probabilities: Tensor  # (N, L), of all levels


class LevelKernels(nn.Module):
    """log k_id(l), the probability of each level of each column around each exemplar: see `levels`.

    Given exemplar i, the level of column d has p(z_d) = sum_l k_id(l) N(z_d; l, s^2), and q(z_d|x) = N(l, s^2) at the
    level l of the row. So the entropies cancel, and log k_id(l) remains of the KL.
    """

    log_level: Tensor  # (B, S, L) float64, 0 in empty places
    column: Tensor  # (L,), the column of each level
    level: Tensor  # (L,), its index in the column
    last: Tensor  # (C,), index of the last level
    first: Tensor  # (C,), index among the L of the first level of each column

    def __init__(self, log_levels: Tensor, place: Tensor, places: tuple[int, int], counts: Sequence[int]) -> None:
        """
        Args:
            log_levels: log k_id(l) of the exemplars, (M, L).
            place: place of each exemplar among the B S places, (M,).
            places: (B, S).
            counts: number of levels of each column.
        """
        super().__init__()
        column, level = levels_of(counts)
        by_place = torch.zeros(places[0] * places[1], log_levels.shape[1], dtype=torch.float64)
        by_place[place] = log_levels.double()
        sizes = torch.tensor(list(counts))
        self.register_buffer("log_level", by_place.unflatten(0, places))
        self.register_buffer("column", column)
        self.register_buffer("level", level.double())
        self.register_buffer("last", (sizes - 1).double())
        self.register_buffer("first", torch.cumsum(sizes, 0) - sizes)
        self.groups = LevelGroups(counts)

    def of_rows(self, z: Tensor, there: Tensor | None) -> Tensor:
        """sum_d log k_id(z_d), (B, N, S), for z (N, C); over the columns that are `there`, (N, C) bool."""
        distance = z.double().index_select(1, self.column) - self.level
        hot = distance.abs() < HALF  # (N, L)
        hot = hot if there is None else hot & there.index_select(1, self.column)
        return hot.double() @ self.log_level.transpose(1, 2)

    def cells(self, log_kernels: Tensor, z: Tensor, there: Tensor | None) -> LevelCells:
        """p(z_d | the other cells) = sum_i w_id k_id(z_d), w_id proportional to the kernel of exemplar i without z_d.

        Args:
            log_kernels: log of the whole kernels, (B, N, S), up to a constant of each row.
            z: (N, C).
            there: which cells are observed, (N, C) bool; None: all.
        """
        at = self.first + z.double().round().clamp_min(0.0).minimum(self.last).long()  # (N, C)
        log_k = self.log_level.index_select(2, at.flatten()).unflatten(2, at.shape).transpose(1, 2)  # (B, N, S, C)
        log_k = log_k if there is None else torch.where(there[:, None], log_k, 0.0)
        log_w = log_kernels[..., None] - log_k.to(log_kernels.dtype)
        w = torch.exp(log_w - log_w.amax(dim=(0, 2), keepdim=True))
        w = w / w.sum(2).sum(0)[:, None]  # as in NumberKernels.cells
        of_level = self.log_level.to(w.dtype).exp().flatten(0, 1)  # (B S, L)
        by_column = self.groups.of_columns(w.permute(3, 1, 0, 2).flatten(2), 0)  # (C_g, N, B S) of each group
        p = [
            (own @ of_group.transpose(0, 1)).transpose(0, 1).double()  # (N, C_g, most_g)
            for own, of_group in zip(by_column, self.groups.padded(of_level, 0.0), strict=True)
        ]
        every = self.groups.levels(p)  # (N, L)
        mean = [each @ torch.arange(each.shape[-1], dtype=each.dtype) for each in p]
        return LevelCells(every.gather(1, at).log(), self.groups.joined(mean), every)

    def sample(self, place: Tensor, noise: Tensor) -> Tensor:
        """Indices of levels (N, C): the first at which the cumulative probability reaches Phi(n), for noise (N, C).

        place: (N,), places of the exemplars among the B S places.
        """
        p = self.log_level.flatten(0, 1).index_select(0, place).exp()  # (N, L)
        reached = [torch.cumsum(each, dim=-1) for each in self.groups.padded(p, 0.0)]  # (N, C_g, most_g)
        draws = self.groups.of_columns(normal_cdf(noise).double())  # (N, C_g)
        index = [(u[..., None] > each).double().sum(-1) for u, each in zip(draws, reached, strict=True)]
        return torch.minimum(self.groups.joined(index), self.last)
