"""Endless batches of training rows that stay in Parquet files, shuffled in a buffer.

Each epoch reads the row groups in a new random order, with up to LANES readers at once, and returns each training row
once. The rows read fill a window of fixed size. The window is returned in random order while the next one is read. The
saved position is therefore small: the readers' positions at the start of the window, and the number of rows returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit_training.data.batch import NetworkRows
from vaekit_training.data.parquet import Group
from vaekit_training.data.rows import Streamed

LANES = 4  # row groups that are read in parallel and mixed, because neighbouring rows of a file are often similar
OPEN_COLUMNS = 64  # largest number of open columns over all lanes; each one buffers about 2 MB of pages


class StreamBatches:
    """Batches of streamed rows; a `Batches` as in vaekit_training/data/batch.py."""

    def __init__(
        self,
        streamed: Streamed,
        convert: Callable[[NDArray[np.float64]], NetworkRows],
        size: int,
        *,
        seed: int,
        buffer: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """
        Args:
            streamed: the rows to read.
            convert: converts raw rows (n, D) to model units.
            size: rows per batch; capped at the number of training rows.
            seed: seed of the order.
            buffer: rows per window.
            device: device of the batches.
        """
        self.size = min(size, streamed.counts["train"])
        self._convert, self._device = convert, device
        self._windows = Windows(streamed, buffer, seed)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="window")
        self._coming: Future[tuple[dict[str, Any], NDArray[np.float64]]] | None = None
        self._window: NetworkRows | None = None
        self._began, self._given = self._windows.position(), 0  # start of this window, and rows returned from it

    def __iter__(self) -> Iterator[NetworkRows]:
        return self

    def __next__(self) -> NetworkRows:
        chunks: list[NetworkRows] = []
        missing = self.size
        while missing:
            window = self._window if self._window is not None else self._advance()
            chunks.append(window.slice(self._given, self._given + missing))
            self._given += len(chunks[-1])
            missing -= len(chunks[-1])
            if self._given == len(window):
                self._window = None
        return chunks[0] if len(chunks) == 1 else _joined(chunks)

    def state_dict(self) -> dict[str, Any]:
        return {"began": self._began, "given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._coming is not None:
            self._coming.exception()  # wait for the reading thread, because seek moves the readers it uses
        self._windows.seek(state["began"])
        self._coming = self._window = None
        window = self._advance()
        self._given = int(state["given"])
        if self._given == len(window):
            self._window = None

    def _advance(self) -> NetworkRows:
        """The next window; starts to read the one after it."""
        coming = self._coming or self._thread.submit(self._windows.read)
        self._began, x = coming.result()
        self._given, self._coming = 0, self._thread.submit(self._windows.read)
        self._window = self._convert(x).to(self._device)
        return self._window


class Windows:
    """Windows of training rows, epoch after epoch."""

    def __init__(self, streamed: Streamed, buffer: int, seed: int) -> None:
        self._streamed, self._buffer, self._seed = streamed, buffer, seed
        self._count = max(1, min(LANES, OPEN_COLUMNS // len(streamed.statistics.count)))
        self.begin(epoch=0)

    def begin(self, epoch: int) -> None:
        """Move to the start of an epoch."""
        self.seek({"epoch": epoch, "window": 0, "lanes": [[0, 0]] * self._count})

    def position(self) -> dict[str, Any]:
        """The position of the next window, as plain numbers."""
        return {"epoch": self._epoch, "window": self._window, "lanes": [[lane.at, lane.used] for lane in self._lanes]}

    def seek(self, position: dict[str, Any]) -> None:
        """Move to a position; reads at most one row group per lane a second time."""
        self._epoch, self._window = position["epoch"], position["window"]
        groups = self._streamed.groups
        order = np.random.default_rng((self._seed, 0, self._epoch)).permutation(len(groups))
        dealt = [[groups[g] for g in order[lane :: self._count]] for lane in range(self._count)]
        self._lanes = [
            Lane(groups_of_lane, self._streamed.training, at, used)
            for groups_of_lane, (at, used) in zip(dealt, position["lanes"], strict=True)
        ]

    def read(self) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """The position at the start of the next window, and the window x (n, D) in random order.

        Raises:
            InputError: the files no longer contain any training row.
        """
        for _ in range(2):
            began, chunks = self.position(), self._fill()
            if chunks:
                order = np.random.default_rng((self._seed, 1, self._epoch, self._window))
                self._window += 1
                x = np.concatenate(chunks)
                return began, x[order.permutation(len(x))]
            self.begin(self._epoch + 1)
        raise InputError(
            "the Parquet files have changed since the run started: they no longer contain any training row"
        )

    def _fill(self) -> list[NDArray[np.float64]]:
        """Rows from each lane in turn, until the window is full or every lane has ended."""
        chunks: list[NDArray[np.float64]] = []
        missing = self._buffer
        for i, lane in enumerate(self._lanes):
            taken = lane.take(-(-missing // (self._count - i)))
            missing -= sum(map(len, taken))
            chunks += taken
        return chunks


class Lane:
    """Reads a list of row groups in order; each call returns as many rows as requested."""

    def __init__(
        self, groups: Sequence[Group], read: Callable[[Group], Iterator[NDArray[np.float64]]], at: int, used: int
    ) -> None:
        """at: index of the first group to read; used: number of its rows to skip."""
        self.at, self.used = at, used
        self._groups, self._read, self._skip = groups, read, used
        self._pieces: Iterator[NDArray[np.float64]] | None = None
        self._rows: NDArray[np.float64] | None = None  # of the current chunk, not yet taken

    def take(self, n: int) -> list[NDArray[np.float64]]:
        """The next n rows, in chunks (n_i, D); fewer rows at the end."""
        taken: list[NDArray[np.float64]] = []
        while n > 0 and self._load():
            assert self._rows is not None
            taken.append(self._rows[:n])
            self._rows = self._rows[n:]
            self.used += len(taken[-1])
            n -= len(taken[-1])
        return taken

    def _load(self) -> bool:
        """Load the next chunk if the current one is used up; false at the end of the last group."""
        while self._rows is None or not len(self._rows):
            if self.at == len(self._groups):
                return False
            if self._pieces is None:
                self._pieces, self._skip = self._read(self._groups[self.at]), self.used
            chunk = next(self._pieces, None)
            if chunk is None:
                self.at, self.used, self._pieces = self.at + 1, 0, None
                continue
            left_out = min(self._skip, len(chunk))
            self._skip -= left_out
            self._rows = chunk[left_out:]
        return True


def _joined(chunks: Sequence[NetworkRows]) -> NetworkRows:
    """One batch from the rows of several windows."""
    t = torch.cat([chunk.t for chunk in chunks])
    observed = [chunk.observed for chunk in chunks if chunk.observed is not None]
    return NetworkRows(t, torch.cat(observed) if observed else None)
