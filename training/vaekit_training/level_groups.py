"""Groups columns of levels by their number of levels, so that values of levels can be padded to arrays.

C columns with L levels over all of them. A group of C_g columns is padded to its largest number of levels, most_g. One
column of 1,000 levels beside 100 of 2 would need 100,000 values in one array. So the padded groups have at most twice
as many values as there are levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WASTE = 2  # padded values for each level, at most


class LevelGroups(nn.Module):
    """Values of levels, (..., L), as one padded array (..., C_g, most_g) for each group, and back."""

    order: Tensor  # (C,) place of each column among those of all groups
    flat: Tensor  # (L,) place of each level in the flattened arrays of all groups

    def __init__(self, counts: Sequence[int]) -> None:
        """counts: number of levels of each column."""
        super().__init__()
        sizes = torch.tensor(list(counts))
        first, self.count = torch.cumsum(sizes, 0) - sizes, len(sizes)
        columns = [torch.tensor(group) for group in _groups(counts)]
        self.most = [int(sizes[group].max()) for group in columns]
        places, start = [], 0
        for g, (group, most) in enumerate(zip(columns, self.most, strict=True)):
            exists = torch.arange(most) < sizes[group, None]  # (C_g, most_g)
            index = torch.where(exists, first[group, None] + torch.arange(most), first[group, None])
            self.register_buffer(f"columns_{g}", group)
            self.register_buffer(f"index_{g}", index)
            self.register_buffer(f"exists_{g}", exists)
            places.append(torch.stack([index[exists], start + exists.flatten().nonzero()[:, 0]]))
            start += exists.numel()
        level, place = torch.cat(places, dim=1)
        self.register_buffer("order", torch.argsort(torch.cat(columns)))
        self.register_buffer("flat", place[torch.argsort(level)])
        self.is_even = bool((sizes == sizes[0]).all())

    def padded(self, values: Tensor, fill: float) -> list[Tensor]:
        """Values (..., L) as an array (..., C_g, most_g) of each group; fill: where a column has no such level."""
        if self.is_even:
            return [values.unflatten(-1, (self.count, self.most[0]))]
        found = []
        for index, exists in zip(self._each("index"), self._each("exists"), strict=True):
            own = values.index_select(-1, index.flatten()).unflatten(-1, index.shape)
            found.append(torch.where(exists, own, fill))
        return found

    def of_columns(self, values: Tensor, dim: int = -1) -> list[Tensor]:
        """Values of the columns as those of each group, (..., C_g), for values (..., C); dim: the axis of columns."""
        if len(self.most) == 1:
            return [values]
        return [values.index_select(dim, columns) for columns in self._each("columns")]

    def joined(self, values: Sequence[Tensor]) -> Tensor:
        """Values of the columns of each group, (..., C_g), as those of all columns, (..., C)."""
        return values[0] if len(values) == 1 else torch.cat(list(values), -1).index_select(-1, self.order)

    def levels(self, values: Sequence[Tensor]) -> Tensor:
        """Padded arrays of all groups, (..., C_g, most_g), as values of the levels, (..., L)."""
        together = torch.cat([one.flatten(-2) for one in values], -1)
        return together if self.is_even else together.index_select(-1, self.flat)

    def _each(self, name: str) -> list[Tensor]:
        return [self.get_buffer(f"{name}_{g}") for g in range(len(self.most))]


def _groups(counts: Sequence[int]) -> list[list[int]]:
    """The columns of each group: all in one if that wastes little, else those of similar numbers of levels."""
    every = list(range(len(counts)))
    if len(counts) * max(counts) <= WASTE * sum(counts):
        return [every]
    groups: list[list[int]] = []
    for d in sorted(every, key=lambda d: (-counts[d], d)):
        if groups and counts[d] * WASTE >= counts[groups[-1][0]]:
            groups[-1].append(d)
        else:
            groups.append([d])
    return [sorted(group) for group in groups]
