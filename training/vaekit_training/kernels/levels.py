"""Columns of levels, such as categories, in a kernel density.

N rows, C columns of levels, L levels over all of them, K clusters, M exemplars. A column has a fixed set of levels; a
row is given by one-hot vectors, (N, L), in which a missing cell has zeros.

Around the exemplar i in cluster k, the level of column d has the probability

    k_id(l) = (1 - a) share_kd(l) + a [x_id = l]

with share_kd(l) the share of level l in the cluster, and a the probability that the level of the exemplar is kept. In
the vectors it is the shrinking towards the mean of the cluster that exemplars have in columns of numbers, a in place of
sqrt(1 - h^2). A missing cell of an exemplar has the shares of its cluster.

Source: Aitchison and Aitken (1976), "Multivariate binary discrimination by the kernel method", for one cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PULL = 3.0  # rows that pull the shares of a cluster to those of all rows
ADDED = 1.0  # rows with even levels that are added to each column


@dataclass(frozen=True)
class Points:
    """Rows as points: numbers and levels."""

    real: Tensor  # (N, Z), model units
    hot: Tensor  # (N, L), one-hot
    counts: tuple[int, ...] = ()  # number of levels of each of the C columns

    def __len__(self) -> int:
        return len(self.real)

    def __getitem__(self, rows: slice | Tensor) -> Points:
        return Points(self.real[rows], self.hot[rows], self.counts)

    @property
    def all(self) -> Tensor:
        """Numbers and one-hot vectors, (N, Z + L)."""
        return torch.cat([self.real, self.hot], dim=1)

    def split(self, rows: int) -> list[Points]:
        """Parts of at most this many rows."""
        return [self[at : at + rows] for at in range(0, len(self), rows)]


def numbers(x: Tensor) -> Points:
    """Rows x (N, Z) without columns of levels."""
    return Points(x, x.new_zeros(len(x), 0))


def one_hot(code: Tensor, there: Tensor, counts: Sequence[int]) -> Tensor:
    """One-hot vectors, (N, L), of the indices of levels (N, C); zeros where a cell is not there, (N, C) bool."""
    column, level = levels_of(counts)
    return ((code[:, column] == level) & there[:, column]).to(code.dtype)


def levels_of(counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The column of each of the L levels, and its index in the column, (L,) each."""
    sizes = torch.tensor(list(counts), dtype=torch.long)
    column = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    return column, torch.arange(len(column)) - (torch.cumsum(sizes, 0) - sizes)[column]


def shares(hot: Tensor, weight: Tensor, counts: Sequence[int]) -> Tensor:
    """The share of each level in each cluster, (K, L), for one-hot vectors (N, L) and weights of the rows (N, K)."""
    column, _ = levels_of(counts)
    even = 1.0 / torch.tensor(list(counts), dtype=hot.dtype)[column]  # (L,)
    all_rows = hot.sum(0) + ADDED * even
    all_rows = all_rows / _by_column(all_rows, column)
    own = weight.T @ hot + PULL * all_rows  # (K, L)
    return own / _by_column(own, column)


def log_probabilities(hot: Tensor, share: Tensor, keep: float, counts: Sequence[int]) -> Tensor:
    """log k_id(l), (M, L), of exemplars hot (M, L) with the shares of their clusters (M, L); keep: a."""
    column, _ = levels_of(counts)
    own = torch.where(_by_column(hot, column) > 0, hot, share)
    return ((1.0 - keep) * share + keep * own).log()


def _by_column(values: Tensor, column: Tensor) -> Tensor:
    """The sum of values (..., L) over the levels of each column, at each of its levels, (..., L)."""
    wide = int(column.max()) + 1 if len(column) else 0
    total = torch.zeros((*values.shape[:-1], wide), dtype=values.dtype).index_add_(-1, column, values)
    return total[..., column]
