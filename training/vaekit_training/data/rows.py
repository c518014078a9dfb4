"""Rows in raw units, with the kinds, levels and statistics of their columns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Kind
from vaekit.bundle.window import SeriesWindow
from vaekit.errors import InputError
from vaekit_training.data.columns import Moments, Statistics, channels
from vaekit_training.data.parquet import Group

CHUNK_CELLS = 2**22  # cells per chunk: 32 MB of float64
RESOLUTION_ROWS = 65536  # rows from which the resolution of columns on disk is computed


@dataclass(frozen=True)
class Streamed:
    """Describes rows that stay in Parquet files; Rows.x then holds a random sample of each split."""

    groups: tuple[Group, ...]
    training: Callable[[Group], Iterator[NDArray[np.float64]]]  # training rows (n, D) of a row group, in chunks
    statistics: Statistics  # of all training rows
    counts: dict[str, int]  # number of rows in each split, and of anomalies
    sampled: dict[str, NDArray[np.intp]]  # indices in Rows.x of the sampled rows of each split
    digest: str  # sha256 over files, columns and levels


class Mapped:
    """A memory-mapped array (N, D) of numbers; indexing it copies rows to memory as float64."""

    dtype = np.dtype(np.float64)
    ndim = 2

    def __init__(self, stored: NDArray[Any], columns: Sequence[int], missing: Sequence[float] = ()) -> None:
        """columns: indices of the columns to take from the stored ones; missing: numbers that are read as NaN."""
        self._stored, self._missing = stored, list(missing)
        self._columns = None if list(columns) == list(range(stored.shape[1])) else list(columns)
        self.shape = (len(stored), len(columns))

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: Any) -> NDArray[np.float64]:
        rows, *rest = index if isinstance(index, tuple) else (index,)
        taken = self._stored[rows] if self._columns is None else self._stored[rows][..., self._columns]
        found = np.asarray(taken[(..., *rest)] if rest else taken, dtype=np.float64)
        return np.where(np.isin(found, self._missing), np.nan, found) if self._missing else found


@dataclass(frozen=True)
class PlaceInSeries:
    """Where the windows of a run are in their series. N windows, S series; places count the time steps of a series."""

    window: SeriesWindow
    series: NDArray[np.intp]  # (N,), number of the series, 0 .. S - 1
    end: NDArray[np.intp]  # (N,), place of the last step
    row: NDArray[np.intp]  # (N,), row of the source of the last step
    lengths: NDArray[np.intp]  # (S,), number of time steps
    time: NDArray[np.float64] | None  # (N,), time of the last step; None: rows have no times
    begin: NDArray[np.float64] | None  # (N,), time of the first step
    possible: int = 0  # windows that there would be without gaps
    lost: int = 0  # of these, the windows across a gap

    @property
    def losses(self) -> str | None:
        """Says that many windows are lost to gaps; None: at most a tenth."""
        if self.lost <= 0.1 * self.possible:
            return None
        return (
            f"{self.lost} of {self.possible} windows are across a gap of more than {self.window.gap:g} in column "
            f"{self.window.time!r} and left out; if these steps follow each other, set data.gap"
        )


@dataclass(frozen=True)
class Rows:
    """The rows of a run: x in raw units, and properties of each row and column.

    With data.read = 'map' x stays in its file, and `x[index]` reads rows. With 'stream' x holds a sample of the rows.
    """

    x: NDArray[Any]  # (N, D) float64, NaN: missing, categories as level indices; or (N, H, W, C) uint8
    columns: tuple[str, ...]  # D names; empty for images
    anomaly: NDArray[np.bool_]  # (N,), all false if there is no label
    split_key: NDArray[Any] | None = None  # (N,) time or group, if rows are split by one
    kinds: tuple[Kind, ...] = ()  # D kinds; default: all real
    levels: tuple[tuple[str, ...] | None, ...] = ()  # levels of D columns; None if not a category
    may_be_missing: tuple[bool, ...] = ()  # D flags
    inferred: tuple[bool, ...] = ()  # whether the kind follows from the cells of all rows, D flags
    streamed: Streamed | None = None
    index: tuple[str, ...] = ()  # columns of a file's index, which were left out
    remarks: tuple[str, ...] = ()  # which files of a folder were skipped, as sentences
    place: PlaceInSeries | None = None  # if the rows are windows of series
    ids: NDArray[Any] | None = None  # the cells of data.id, or the files of images, by row of the source; None: unknown

    def __post_init__(self) -> None:
        for name, default in (("kinds", "real"), ("levels", None), ("may_be_missing", False), ("inferred", False)):
            object.__setattr__(self, name, getattr(self, name) or (default,) * len(self.columns))

    @property
    def is_image(self) -> bool:
        return self.x.ndim == 4

    @property
    def is_mapped(self) -> bool:
        """Whether x is a memory-mapped file, which must be read in chunks."""
        return isinstance(self.x, Mapped | np.memmap)

    @property
    def observed(self) -> NDArray[np.bool_] | None:
        """Which cells are observed, (N, D); None if no cell may be missing."""
        return ~np.isnan(self.x[:]) if any(self.may_be_missing) else None

    def chunks(self, index: NDArray[np.intp] | None = None) -> Iterator[NDArray[Any]]:
        """The rows of x at these indices, or all rows, in chunks (n, D) or (n, H, W, C)."""
        size = max(1, CHUNK_CELLS // int(np.prod(self.x.shape[1:])))
        for start in range(0, len(self.x) if index is None else len(index), size):
            here = slice(start, start + size)
            yield self.x[here if index is None else index[here]]

    def first(self, is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> tuple[int, ...] | None:
        """Index (row, ...) of the first cell for which is_bad is true; None if there is none."""
        start = 0
        for x in self.chunks():
            bad = is_bad(x)
            if bad.any():
                row, *index = (int(i) for i in np.argwhere(bad)[0])
                return (start + row, *index)
            start += len(x)
        return None

    def statistics(self, index: NDArray[np.intp]) -> Statistics:
        """Statistics of the columns over the rows at these indices; for streamed rows, over all training rows.

        Raises:
            InputError: a column has no observed cell in these rows.
        """
        found = self._statistics(index)
        if not found.count.all():
            name = self.columns[int(found.count.argmin())]
            raise InputError(f"feature {name!r}: no training row has a value; leave the column out by data.exclude")
        return found

    def _statistics(self, index: NDArray[np.intp]) -> Statistics:
        if self.streamed is not None:
            return self.streamed.statistics
        if not self.is_mapped:
            return Statistics.of(self.x[index], self.kinds)
        moments = Moments(self.kinds)
        for x in self.chunks(index):
            moments.add(x)
        return moments.statistics(self.x[index[:: -(-len(index) // RESOLUTION_ROWS)]])

    def channels(self, index: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each channel over the images at these indices, (C,) each."""
        return channels(self.chunks(index))

    def digest(self) -> str:
        """sha256 over shape, names, levels, values and labels; for streamed rows see data/stream.py."""
        if self.streamed is not None:
            return self.streamed.digest
        facts: tuple[Any, ...] = (self.x.shape, str(self.x.dtype), self.columns)
        sha = hashlib.sha256(repr((*facts, self.levels) if any(self.levels) else facts).encode())
        for x in self.chunks():
            sha.update(np.ascontiguousarray(x).data)
        sha.update(self.anomaly.tobytes())
        return sha.hexdigest()
