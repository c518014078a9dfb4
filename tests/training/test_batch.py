"""Batches contain every row once per epoch, and continue from a saved position."""

from __future__ import annotations

import pytest
import torch

from vaekit_training.data.batch import BATCHES_PER_GATHER, MemoryBatches, NetworkRows, generator


def table(n: int = 10, *, holes: bool = False) -> NetworkRows:
    t = torch.arange(float(n))[:, None].expand(n, 2)
    return NetworkRows(t, t % 3 > 0 if holes else None)


def rows(batch: NetworkRows) -> list[int]:
    return [int(value) for value in batch.t[:, 0]]


@pytest.mark.parametrize("n", [10, 3 * BATCHES_PER_GATHER + 1])
def test_every_epoch_returns_every_row_once(n: int) -> None:
    batches = MemoryBatches(table(n), 1 if n > 10 else 2, seed=0)
    for _ in range(2):
        seen = [row for _ in range(n // batches.size) for row in rows(next(batches))]
        assert sorted(seen) == list(range(n))
        assert seen != list(range(n))


def test_a_batch_may_span_two_epochs() -> None:
    batches = MemoryBatches(table(), 4, seed=0)
    seen = [row for _ in range(5) for row in rows(next(batches))]
    assert sorted(seen) == sorted([*range(10), *range(10)])
    assert sorted(seen[:10]) == list(range(10))


def test_a_batch_larger_than_the_data_has_all_rows_once() -> None:
    batches = MemoryBatches(table(3), 128, seed=0)
    assert batches.size == 3
    assert sorted(rows(next(batches))) == [0, 1, 2]


def test_a_batch_has_the_indices_of_its_rows_and_their_observed_cells() -> None:
    data = table(holes=True)
    batch = next(MemoryBatches(data, 4, seed=0))
    assert batch.train_index is not None
    assert batch.observed is not None
    assert batch.train_index.tolist() == rows(batch)
    assert data.observed is not None
    assert torch.equal(batch.observed, data.observed[batch.train_index])


@pytest.mark.parametrize("given", [0, 1, 3, 2 * BATCHES_PER_GATHER + 5])
def test_the_same_batches_follow_after_restoring_a_position(given: int) -> None:
    first = MemoryBatches(table(), 4, seed=5)
    for _ in range(given):
        next(first)
    second = MemoryBatches(table(), 4, seed=5)
    second.load_state_dict(first.state_dict())
    assert [rows(next(second)) for _ in range(20)] == [rows(next(first)) for _ in range(20)]


def test_another_seed_gives_another_order() -> None:
    first, second = (MemoryBatches(table(100), 50, seed=s) for s in (0, 1))
    assert rows(next(first)) != rows(next(second))


def test_slices_and_splits_of_rows_are_the_rows() -> None:
    data = table(holes=True)
    parts = data.split(4)
    assert [len(part) for part in parts] == [4, 4, 2]
    assert data.observed is not None
    assert torch.equal(torch.cat([p.observed for p in parts if p.observed is not None]), data.observed)
    assert rows(data.slice(2, 5)) == [2, 3, 4]
    assert rows(data.take(torch.tensor([7, 1]))) == [7, 1]


def test_generators_with_different_seeds_are_independent() -> None:
    draws = [torch.randn(3, generator=generator(*seeds)).tolist() for seeds in ((0, 1), (1, 0), (0, 1, 0), (0, 1))]
    assert draws[0] == draws[3]
    assert len({tuple(d) for d in draws}) == 3
