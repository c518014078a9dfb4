"""Rows in model units (the input t of the networks), and endless batches of them.

n rows of a table or batch, m selected rows, D data dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

BATCHES_PER_GATHER = 64  # at most: one indexing call costs the same for many batches as for one
CELLS_PER_GATHER = 2**18  # at most, so that the gathered cells stay in the CPU cache until they are used


@dataclass(frozen=True, slots=True)
class NetworkRows:
    """Rows in model units; a batch also holds the index of each row in the training split."""

    t: Tensor  # (n, D) float32
    observed: Tensor | None = None  # (n, D) bool; None: no cell is missing
    train_index: Tensor | None = None  # (n,) int64, index of each row in the training split

    def __len__(self) -> int:
        return len(self.t)

    def take(self, index: Tensor) -> NetworkRows:
        """The rows at these indices, (m,) int64 on any device."""
        index = index.to(self.t.device)
        return self._each(lambda part: part.index_select(0, index))

    def slice(self, start: int, stop: int) -> NetworkRows:
        """Rows start to stop, without copying."""
        return self._each(lambda part: part[start:stop])

    def split(self, size: int) -> list[NetworkRows]:
        """The rows in batches of this size, without copying; the last one may be smaller."""
        parts = [
            (None,) * -(-len(self) // size) if part is None else part.split(size)
            for part in (self.t, self.observed, self.train_index)
        ]
        return [NetworkRows(t, observed, train_index) for t, observed, train_index in zip(*parts, strict=True)]

    def to(self, device: torch.device | str) -> NetworkRows:
        """The rows on this device."""
        return self._each(lambda part: part.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> NetworkRows:
        observed, train_index = (None if part is None else change(part) for part in (self.observed, self.train_index))
        return NetworkRows(change(self.t), observed, train_index)


class RowTable(Protocol):
    """Rows that can be selected by index: NetworkRows in memory, or rows that are read from a file on demand."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> NetworkRows:
        """The rows at these indices, (m,) int64 on the CPU."""
        ...


@runtime_checkable
class Batches(Protocol):
    """Endless batches of one size. The order depends only on a seed, and the position can be saved and restored.

    Every rank makes the same global batch and uses its own share of it. After `load_state_dict(state_dict())` the
    same batches follow bit for bit, also in another process.
    """

    size: int  # rows of every batch

    def __iter__(self) -> Iterator[NetworkRows]: ...

    def __next__(self) -> NetworkRows:
        """The next batch with its `train_index`, on the training device."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position of the next batch, as plain numbers, strings and tensors."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class MemoryBatches:
    """Batches of a table; each epoch is a new permutation, and a batch may span two epochs.

    The permutation of epoch e depends only on (seed, e), so the number of rows returned so far defines the position.
    """

    def __init__(self, rows: RowTable, size: int, seed: int, device: torch.device | str = "cpu") -> None:
        """size: at most the number of rows; device: where batches go."""
        self.size = min(size, len(rows))
        self._rows, self._seed, self._device = rows, seed, device
        self._position = 0  # number of rows returned so far
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)  # of the current epoch
        self._ready: list[NetworkRows] = []  # next batches, in reverse order
        self._at_once = 1  # batches per gather; 1 until the number of cells per batch is known

    def __iter__(self) -> Iterator[NetworkRows]:
        return self

    def __next__(self) -> NetworkRows:
        if not self._ready:
            self._ready = self._gather()[::-1]
        self._position += self.size
        return self._ready.pop()

    def state_dict(self) -> dict[str, Any]:
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._position, self._ready = int(state["position"]), []

    def _gather(self) -> list[NetworkRows]:
        """Gather the next `_at_once` batches; they span at most two epochs."""
        start = self._position
        stop = start + self.size * self._at_once
        chunks = []
        while start < stop:
            epoch, first = divmod(start, len(self._rows))
            chunk = self._permutation(epoch)[first : first + stop - start]
            chunks.append(chunk)
            start += len(chunk)
        index = torch.cat(chunks)  # (m,)
        seen = self._rows.take(index)
        within_an_epoch = -(-len(self._rows) // self.size)
        self._at_once = max(
            1, min(BATCHES_PER_GATHER, within_an_epoch, CELLS_PER_GATHER // (self.size * seen.t.shape[1]))
        )
        return NetworkRows(seen.t, seen.observed, index).to(self._device).split(self.size)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.randperm(len(self._rows), generator=generator(self._seed, 1, epoch))
        return self._order


def generator(*seeds: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A random generator seeded by these numbers; different numbers give independent streams."""
    entropy = (len(seeds), *seeds)  # a SeedSequence alone gives (1,) and (1, 0) the same state
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator(device=device).manual_seed(int(state))
