"""Columns of levels in groups of similar numbers of levels."""

from __future__ import annotations

import pytest
import torch

from vaekit_training.level_groups import WASTE, LevelGroups

UNEVEN = (2, 1000, 2, 3, 40, 2, 25, 2)


@pytest.mark.parametrize("counts", [(3,), (4, 4), (2, 3, 4), UNEVEN, (1,) * 50 + (300,)])
def test_padded_groups_hold_every_level_once_and_waste_little(counts: tuple[int, ...]) -> None:
    groups, total = LevelGroups(counts), sum(counts)
    values = torch.arange(2.0 * total).unflatten(0, (2, total)) + 1.0
    padded = groups.padded(values, 0.0)
    assert sum(each.shape[-2] * each.shape[-1] for each in padded) <= WASTE * total
    assert torch.equal(groups.levels(padded), values)
    by_column = torch.stack([own.sum(-1) for own in values.split(counts, -1)], -1)
    assert torch.equal(groups.joined([each.sum(-1) for each in padded]), by_column)
    assert torch.equal(groups.joined(groups.of_columns(by_column)), by_column)


def test_columns_of_similar_sizes_are_one_group() -> None:
    assert LevelGroups((2, 3, 4)).most == [4]
    assert LevelGroups(UNEVEN).most == [1000, 40, 3]
