"""Endless batches of training rows that stay in Parquet, shuffled in a buffer.

An epoch reads the row groups in a new order, with up to LANES readers at once, and gives each training row once. The
rows fill a window of fixed size, which is given in random order while the next window is read. So a position is small:
the positions of the readers at the start of the window, and the number of rows given from it.
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

LANES = 4  # row groups that are read at once if columns are few: neighbouring rows of a file are often alike
OPEN_COLUMNS = 64  # in all lanes together; each open column buffers about 2 MB of pages


class StreamBatches:
    """Batches of streamed rows; a `Batches` as in vaekit_training/data/batch.py."""

    def __init__(
        self,
        streamed: Streamed,
        see: Callable[[NDArray[np.float64]], NetworkRows],
        size: int,
        *,
        seed: int,
        buffer: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """
        Args:
            streamed: the rows.
            see: converts raw rows (n, D) to rows as the networks see them.
            size: of a batch; at most the number of training rows.
            seed: of the order.
            buffer: rows per window.
            device: where batches go.
        """
        self.size = min(size, streamed.counts["train"])
        self._see, self._device = see, device
        self._windows = Windows(streamed, buffer, seed)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="window")
        self._coming: Future[tuple[dict[str, Any], NDArray[np.float64]]] | None = None
        self._window: NetworkRows | None = None
        self._began, self._given = self._windows.position(), 0  # start of the current window, and rows given from it

    def __iter__(self) -> Iterator[NetworkRows]:
        return self

    def __next__(self) -> NetworkRows:
        pieces: list[NetworkRows] = []
        missing = self.size
        while missing:
            window = self._window if self._window is not None else self._advance()
            pieces.append(window.slice(self._given, self._given + missing))
            self._given += len(pieces[-1])
            missing -= len(pieces[-1])
            if self._given == len(window):
                self._window = None
        return pieces[0] if len(pieces) == 1 else _joined(pieces)

    def state_dict(self) -> dict[str, Any]:
        return {"began": self._began, "given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._coming is not None:
            self._coming.exception()  # wait for the thread: it reads the windows that seek moves
        self._windows.seek(state["began"])
        self._coming = self._window = None
        window = self._advance()
        self._given = int(state["given"])
        if self._given == len(window):
            self._window = None

    def _advance(self) -> NetworkRows:
        """The next window; reading of the one after it starts."""
        coming = self._coming or self._thread.submit(self._windows.read)
        self._began, x = coming.result()
        self._given, self._coming = 0, self._thread.submit(self._windows.read)
        self._window = self._see(x).to(self._device)
        return self._window


class Windows:
    """Windows of training rows, epoch after epoch."""

    def __init__(self, streamed: Streamed, buffer: int, seed: int) -> None:
        self._streamed, self._buffer, self._seed = streamed, buffer, seed
        self._count = max(1, min(LANES, OPEN_COLUMNS // len(streamed.statistics.count)))
        self.begin(epoch=0)

    def begin(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        self.seek({"epoch": epoch, "window": 0, "lanes": [[0, 0]] * self._count})

    def position(self) -> dict[str, Any]:
        """The position of the next window, as plain numbers."""
        return {"epoch": self._epoch, "window": self._window, "lanes": [[lane.at, lane.used] for lane in self._lanes]}

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position; reads at most one row group per lane again."""
        self._epoch, self._window = position["epoch"], position["window"]
        groups = self._streamed.groups
        order = np.random.default_rng((self._seed, 0, self._epoch)).permutation(len(groups))
        dealt = [[groups[g] for g in order[lane :: self._count]] for lane in range(self._count)]
        self._lanes = [
            Lane(its, self._streamed.training, at, used)
            for its, (at, used) in zip(dealt, position["lanes"], strict=True)
        ]

    def read(self) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """(position at its start, the next window x (n, D) in random order).

        Raises:
            InputError: the files have no training row any more.
        """
        for _ in range(2):
            began, pieces = self.position(), self._fill()
            if pieces:
                order = np.random.default_rng((self._seed, 1, self._epoch, self._window))
                self._window += 1
                x = np.concatenate(pieces)
                return began, x[order.permutation(len(x))]
            self.begin(self._epoch + 1)
        raise InputError("the Parquet files have changed: they no longer hold the training rows found at first")

    def _fill(self) -> list[NDArray[np.float64]]:
        """Rows of all lanes in turn, until the window is full or all lanes are at their end."""
        pieces: list[NDArray[np.float64]] = []
        missing = self._buffer
        for i, lane in enumerate(self._lanes):
            taken = lane.take(-(-missing // (self._count - i)))
            missing -= sum(map(len, taken))
            pieces += taken
        return pieces


class Lane:
    """Reads row groups one after the other, as many rows at a time as requested."""

    def __init__(
        self, groups: Sequence[Group], read: Callable[[Group], Iterator[NDArray[np.float64]]], at: int, used: int
    ) -> None:
        """at: index of the first group to read; used: rows of it to skip."""
        self.at, self.used = at, used
        self._groups, self._read, self._skip = groups, read, used
        self._pieces: Iterator[NDArray[np.float64]] | None = None
        self._rows: NDArray[np.float64] | None = None  # of the current chunk, not yet taken

    def take(self, n: int) -> list[NDArray[np.float64]]:
        """The next n rows, in chunks; fewer at the end."""
        taken: list[NDArray[np.float64]] = []
        while n > 0 and self._load():
            assert self._rows is not None
            taken.append(self._rows[:n])
            self._rows = self._rows[n:]
            self.used += len(taken[-1])
            n -= len(taken[-1])
        return taken

    def _load(self) -> bool:
        """Load rows if none are left; false at the end."""
        while self._rows is None or not len(self._rows):
            if self.at == len(self._groups):
                return False
            if self._pieces is None:
                self._pieces, self._skip = self._read(self._groups[self.at]), self.used
            piece = next(self._pieces, None)
            if piece is None:
                self.at, self.used, self._pieces = self.at + 1, 0, None
                continue
            left_out = min(self._skip, len(piece))
            self._skip -= left_out
            self._rows = piece[left_out:]
        return True


def _joined(pieces: Sequence[NetworkRows]) -> NetworkRows:
    """The rows of one batch from several windows, joined."""
    t = torch.cat([piece.t for piece in pieces])
    observed = [piece.observed for piece in pieces if piece.observed is not None]
    return NetworkRows(t, torch.cat(observed) if observed else None)
