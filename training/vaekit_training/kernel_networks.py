"""Encoder, decoder and likelihood of a KernelVAE, which have nothing to train.

D data dimensions, Z latent dimensions (the columns that vary), L levels of categories.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaekit.bundle.input_spec import Kind
from vaekit_training.features import MASSES, Standardize
from vaekit_training.kernels.levels import levels_of
from vaekit_training.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood, Mixed

SHARP = 50.0  # -log p of a level next to the one at which z is


class Columns(nn.Module):
    """The encoder: the columns that vary, (..., Z), of rows (..., D)."""

    column: Tensor

    def __init__(self, column: Tensor) -> None:
        super().__init__()
        self.register_buffer("column", column)

    def forward(self, t: Tensor) -> Tensor:
        return t.index_select(-1, self.column)


def places(active: Tensor) -> Tensor:
    """The place of each column in z, (D,), for the columns that vary, (D,) bool; Z for the others."""
    return torch.where(active, torch.cumsum(active.long(), 0) - 1, int(active.sum()))


class Spread(nn.Module):
    """The decoder of tables of numbers: latent vectors (..., Z) as rows (..., D), 0 in constant columns."""

    place: Tensor  # (D,) index of each column in z; Z for constant columns

    def __init__(self, place: Tensor, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("place", place)
        self._is_identity = torch.equal(place, torch.arange(latent_dim))

    def forward(self, z: Tensor) -> Tensor:
        if self._is_identity:
            return z
        return torch.cat([z, torch.zeros_like(z[..., :1])], dim=-1).index_select(-1, self.place)


class Levels(nn.Module):
    """The decoder of tables with columns of levels: the inputs of a likelihood, part by part.

    A level has the logit -SHARP |z_d - its index|, so p(x_d|z) is practically 1 for the level at which z_d is.
    """

    column: Tensor  # (L,) place in z of the column of each level of the categories
    level: Tensor  # (L,), index of the level in its column
    binary: Tensor  # places in z of the binary columns

    def __init__(self, place: Tensor, latent_dim: int, kinds: Sequence[Kind], counts: Sequence[int]) -> None:
        """
        Args:
            place: place of each column in z, (D,).
            latent_dim: Z.
            kinds: kinds of the D columns.
            counts: number of levels of each category, 0 for other columns.
        """
        super().__init__()
        numbers, categories, binary = by_likelihood(kinds)
        own = [counts[d] for d in categories]
        column, level = levels_of(own)
        self.numbers = Spread(place[numbers], latent_dim) if numbers else None
        self.register_buffer("column", place[categories][column])
        self.register_buffer("level", level.float())
        self.register_buffer("binary", place[binary])

    def forward(self, z: Tensor) -> Tensor:
        found = [] if self.numbers is None else [self.numbers(z)]
        if len(self.level):
            found.append(-SHARP * (z.index_select(-1, self.column) - self.level).abs())
        if len(self.binary):
            found.append(2.0 * SHARP * (z.index_select(-1, self.binary) - 0.5))
        return torch.cat(found, dim=-1)


def by_likelihood(kinds: Sequence[Kind]) -> tuple[list[int], list[int], list[int]]:
    """The columns of numbers, the categories and the binary ones, in this order in the decoder's outputs."""
    return (
        [d for d, kind in enumerate(kinds) if kind not in MASSES],
        [d for d, kind in enumerate(kinds) if kind == "category"],
        [d for d, kind in enumerate(kinds) if kind == "binary"],
    )


def kernel_likelihood(features: Standardize, scale: float, kinds: Sequence[Kind], counts: Sequence[int]) -> Likelihood:
    """p(x|z) of the outputs of Levels, or of Spread if all columns are numbers; arguments as in KernelVAE."""
    numbers, categories, binary = by_likelihood(kinds)
    parts: list[tuple[list[int], Likelihood]] = []
    if numbers:
        active = features.active[numbers]
        parts.append((numbers, Gaussian(scale, torch.full((len(numbers),), scale), active)))
    if categories:
        parts.append((categories, Categorical(tuple(counts[d] for d in categories))))
    if binary:
        parts.append((binary, Bernoulli(len(binary))))
    return parts[0][1] if len(parts) == 1 else Mixed(parts)
