"""Rows in raw units and what is known of their columns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Kind
from vaekit.errors import InputError
from vaekit_training.data.columns import Moments, Statistics, channels
from vaekit_training.data.parquet import Group

CELLS = 2**22  # of one piece: 32 MB of float64
SAMPLE = 65536  # rows that the resolution of columns on disk is read from


@dataclass(frozen=True)
class Streamed:
    """What is known of rows that stay in Parquet; those that Rows holds are a random few of each part."""

    groups: tuple[Group, ...]
    training: Callable[[Group], Iterator[NDArray[np.float64]]]  # training rows (n, D) of a row group, in pieces
    statistics: Statistics  # of all training rows
    counts: dict[str, int]  # rows of each part, and anomalies
    held: dict[str, NDArray[np.intp]]  # numbers of the held rows of each part
    digest: str


class Mapped:
    """An array (N, D) of numbers in a file; what is taken of it is float64 in memory."""

    dtype = np.dtype(np.float64)
    ndim = 2

    def __init__(self, stored: NDArray[Any], columns: Sequence[int]) -> None:
        """columns: those that are taken, of all that are stored."""
        self._stored = stored
        self._columns = None if list(columns) == list(range(stored.shape[1])) else list(columns)
        self.shape = (len(stored), len(columns))

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: Any) -> NDArray[np.float64]:
        rows, *rest = index if isinstance(index, tuple) else (index,)
        taken = self._stored[rows] if self._columns is None else self._stored[rows][..., self._columns]
        return np.asarray(taken[(..., *rest)] if rest else taken, dtype=np.float64)


@dataclass(frozen=True)
class Rows:
    """What a run trains on: x in raw units, and what is known of each row and column.

    Under data.read = 'map' x stays in its file and is taken by `x[index]`; under 'stream' it holds a few of the rows.
    """

    x: NDArray[Any]  # (N, D) float64, NaN where a cell is missing, level indices; or (N, H, W, C) uint8
    columns: tuple[str, ...]  # D names; () for pictures
    anomaly: NDArray[np.bool_]  # (N,), all false where there is no label
    split_key: NDArray[Any] | None = None  # (N,): time or group
    kinds: tuple[Kind, ...] = ()  # D; all real where not given
    levels: tuple[tuple[str, ...] | None, ...] = ()  # D; None for all but categories
    may_be_missing: tuple[bool, ...] = ()  # D
    streamed: Streamed | None = None

    def __post_init__(self) -> None:
        for name, default in (("kinds", "real"), ("levels", None), ("may_be_missing", False)):
            object.__setattr__(self, name, getattr(self, name) or (default,) * len(self.columns))

    @property
    def is_image(self) -> bool:
        return self.x.ndim == 4

    @property
    def is_mapped(self) -> bool:
        """Whether x is in a file, to be taken piece by piece."""
        return isinstance(self.x, Mapped | np.memmap)

    @property
    def observed(self) -> NDArray[np.bool_] | None:
        """Which cells are there, (N, D); None where no column may be missing."""
        return ~np.isnan(self.x[:]) if any(self.may_be_missing) else None

    def pieces(self, index: NDArray[np.intp] | None = None) -> Iterator[NDArray[Any]]:
        """These rows of x, or all of them, a piece at a time."""
        size = max(1, CELLS // int(np.prod(self.x.shape[1:])))
        for start in range(0, len(self.x) if index is None else len(index), size):
            here = slice(start, start + size)
            yield self.x[here if index is None else index[here]]

    def first(self, is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> tuple[int, ...] | None:
        """Where the first cell is that is_bad is true of, (row, place...); None: nowhere."""
        start = 0
        for x in self.pieces():
            bad = is_bad(x)
            if bad.any():
                row, *place = (int(i) for i in np.argwhere(bad)[0])
                return (start + row, *place)
            start += len(x)
        return None

    def statistics(self, index: NDArray[np.intp]) -> Statistics:
        """Of the columns of these rows, or, where they are streamed, of all training rows.

        Raises:
            InputError: a column of which none of them has a cell.
        """
        found = self._statistics(index)
        if not found.count.all():
            name = self.columns[int(found.count.argmin())]
            raise InputError(f"feature {name!r}: no training row has a value; leave it out by data.exclude")
        return found

    def _statistics(self, index: NDArray[np.intp]) -> Statistics:
        if self.streamed is not None:
            return self.streamed.statistics
        if not self.is_mapped:
            return Statistics.of(self.x[index], self.kinds)
        moments = Moments(self.kinds)
        for x in self.pieces(index):
            moments.add(x)
        return moments.statistics(self.x[index[:: -(-len(index) // SAMPLE)]])

    def channels(self, index: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each channel of these pictures, each (C,)."""
        return channels(self.pieces(index))

    def digest(self) -> str:
        """sha256 over shape, names, levels, values and labels; of streamed ones, over what data/parquet.py says."""
        if self.streamed is not None:
            return self.streamed.digest
        facts: tuple[Any, ...] = (self.x.shape, str(self.x.dtype), self.columns)
        sha = hashlib.sha256(repr((*facts, self.levels) if any(self.levels) else facts).encode())
        for x in self.pieces():
            sha.update(np.ascontiguousarray(x).data)
        sha.update(self.anomaly.tobytes())
        return sha.hexdigest()
