"""Rows as the networks see them, and endless batches of them.

n rows, D data dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 64  # batches gathered by one call, to share its overhead
CELLS = 2**18  # and the most cells gathered by one call, so that they are still in the cache when they are used


@dataclass(frozen=True, slots=True)
class NetworkRows:
    """Rows t as the networks see them; a batch also holds their numbers in the training split."""

    t: Tensor  # (n, D) float32
    observed: Tensor | None = None  # (n, D) bool; None: every cell is
    own: Tensor | None = None  # (n,) int64, row numbers in the training split

    def __len__(self) -> int:
        return len(self.t)

    def take(self, index: Tensor) -> NetworkRows:
        """The rows with these numbers, (m,) int64 on any device."""
        index = index.to(self.t.device)
        return self._each(lambda part: part.index_select(0, index))

    def slice(self, start: int, stop: int) -> NetworkRows:
        """Rows start to stop, without copying."""
        return self._each(lambda part: part[start:stop])

    def split(self, size: int) -> list[NetworkRows]:
        """The rows in batches of this size, without copying; the last one may be smaller."""
        parts = [
            (None,) * -(-len(self) // size) if p is None else p.split(size) for p in (self.t, self.observed, self.own)
        ]
        return [NetworkRows(t, observed, own) for t, observed, own in zip(*parts, strict=True)]

    def to(self, device: torch.device | str) -> NetworkRows:
        return self._each(lambda part: part.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> NetworkRows:
        observed, own = (None if part is None else change(part) for part in (self.observed, self.own))
        return NetworkRows(change(self.t), observed, own)


class RowTable(Protocol):
    """Rows that can be taken by number: NetworkRows, or rows that are read from a file on demand."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> NetworkRows:
        """The rows with these numbers, (m,) int64 on the CPU."""
        ...


@runtime_checkable
class Batches(Protocol):
    """Endless batches of one size, in an order that depends only on a seed, with a position that can be restored.

    A batch is the global one, whatever the number of ranks: every rank makes the same batch and uses its share. After
    `load_state_dict(state_dict())` the same batches follow, bit for bit, in another process too.
    """

    size: int  # rows of every batch

    def __iter__(self) -> Iterator[NetworkRows]: ...

    def __next__(self) -> NetworkRows:
        """The next batch, `own` included, on the device to train on."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position of the next batch: plain numbers, strings and tensors."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class MemoryBatches:
    """Batches of a table; each epoch is a new permutation, and a batch may span two epochs.

    Epoch e's permutation depends only on (seed, e), so the number of rows given so far is the whole position.
    """

    def __init__(self, rows: RowTable, size: int, seed: int, device: torch.device | str = "cpu") -> None:
        """size: at most the number of rows; device: where batches go."""
        self.size = min(size, len(rows))
        self._rows, self._seed, self._device = rows, seed, device
        self._position = 0  # rows given so far
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)  # of the current epoch
        self._ready: list[NetworkRows] = []  # next batches, in reverse order
        self._at_once = 1  # until the number of cells per batch is known

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
        """Some of the next batches, within two epochs."""
        start = self._position
        stop = start + self.size * self._at_once
        pieces = []
        while start < stop:
            epoch, first = divmod(start, len(self._rows))
            piece = self._permutation(epoch)[first : first + stop - start]
            pieces.append(piece)
            start += len(piece)
        index = torch.cat(pieces)  # (m,)
        seen = self._rows.take(index)
        within_an_epoch = -(-len(self._rows) // self.size)
        self._at_once = max(1, min(AT_ONCE, within_an_epoch, CELLS // (self.size * seen.t.shape[1])))
        return NetworkRows(seen.t, seen.observed, index).to(self._device).split(self.size)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.randperm(len(self._rows), generator=generator(self._seed, 1, epoch))
        return self._order


def generator(*seeds: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by these numbers; different numbers give unrelated generators."""
    entropy = (len(seeds), *seeds)  # a SeedSequence alone gives (1,) and (1, 0) the same state
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator(device=device).manual_seed(int(state))
