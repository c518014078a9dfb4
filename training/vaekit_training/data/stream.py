"""Reads Parquet larger than memory in one pass: checks, levels, statistics, parts.

A row's part follows from a seeded hash of its file's name and its number there, so that files may be added without
dealing the others anew. Of each part a random few rows are held: those of the smallest hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit_training.data.cells import Cells, cells_of, indexed, refuse_empty_columns, refuse_empty_rows
from vaekit_training.data.columns import Moments
from vaekit_training.data.labels import TrainingLabels, columns_of
from vaekit_training.data.parquet import Folder, Group, folder, release
from vaekit_training.data.rows import Rows, Streamed
from vaekit_training.data.split import FEWEST, PARTS
from vaekit_training.sections import DataConfig, Fractions, LikelihoodConfig

HELD_ROWS = 20_000  # the most rows of a part that are held in memory,
HELD_CELLS = 2**23  # and the most cells: 64 MB of float64
PIECE = 2**20  # cells that are read at once: 8 MB of float64
ALL = (*PARTS, "anomalies")


def stream(config: DataConfig, likelihood: LikelihoodConfig, seed: int) -> Rows:
    """Rows of a Parquet folder, read through once; training rows stay on disk.

    Raises:
        InputError: as load says, and too few rows for every part to get one.
        ConfigError: a kind that the likelihood does not take.
    """
    source = folder(config.source)
    columns = columns_of(dict.fromkeys(source.columns), config)
    if not source.rows:
        raise InputError(f"data {config.source!r}: no rows")
    cells = cells_of(columns, config, likelihood)
    reader = StreamReader(source, config, cells, seed)
    moments = Moments([c.kind for c in cells])
    held = [Held(min(HELD_ROWS, max(1, HELD_CELLS // len(columns)))) for _ in ALL]
    for group in source.groups:
        for x, part, place in reader.pieces(group):
            refuse_empty_rows(x, source.where(group))
            moments.add(x[part == 0])
            for p in range(len(ALL)):
                held[p].add(x[part == p], place[part == p])
    if config.label:
        reader.labels.check()
    release()
    return _rows(source, reader, moments, held)


class StreamReader:
    """Reads row groups as numbers, and says which part each row belongs to."""

    def __init__(self, source: Folder, config: DataConfig, cells: Sequence[Cells], seed: int) -> None:
        self.source, self.cells, self.labels = source, cells, TrainingLabels(config)
        self._label = config.label
        self._names = [c.name for c in cells] + ([config.label] if config.label else [])
        self.facts = (self._names, config.label, config.anomalies)
        self._edges = _edges(config.fractions)
        self._keys = [_file_key(name, seed) for name in source.names]
        self.rows_at_once = max(64, PIECE // len(self._names))

    def pieces(self, group: Group) -> Iterator[tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]]:
        """(x (n, D) as Cells.take gives it, part (n,) as its place in ALL, hash (n,) in [0, 1)), piece by piece."""
        where = self.source.where(group)
        for c in self.cells:
            c.source = where
        for start, table in self.source.read(group, self._names, self.rows_at_once):
            x = np.stack([c.take(table[c.name], start) for c in self.cells], axis=1)  # (n, D)
            place = uniform(self._keys[group.file], start, len(x))  # (n,)
            part = np.searchsorted(self._edges, place, side="right")  # (n,)
            if self._label:
                part[self.labels.take(table[self._label], start, where)] = len(PARTS)
            yield x, part, place

    def training(self, group: Group) -> Iterator[NDArray[np.float64]]:
        """x (n, D) of a row group's training rows, categories as indices of their levels."""
        for x, part, _ in self.pieces(group):
            yield indexed(x[part == 0], self.cells)


class Held:
    """The rows of the smallest hashes, among all that were added: a sample without replacement."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self._most, self._limit = most, np.inf
        self._x: list[NDArray[np.float64]] = []
        self._place: list[NDArray[np.float64]] = []

    def add(self, x: NDArray[np.float64], place: NDArray[np.float64]) -> None:
        """More rows x (n, D), each with its hash, (n,)."""
        self.count += len(x)
        some = place < self._limit
        self._x.append(x[some])
        self._place.append(place[some])
        if sum(map(len, self._place)) > 2 * self._most:
            self._cut()

    def rows(self) -> NDArray[np.float64]:
        """x (m, D), in the order in which they were added."""
        self._cut()
        return self._x[0]

    def _cut(self) -> None:
        x, place = np.concatenate(self._x), np.concatenate(self._place)
        if len(place) > self._most:
            self._limit = float(np.partition(place, self._most)[self._most])
            x, place = x[place < self._limit], place[place < self._limit]
        self._x, self._place = [x], [place]


def uniform(key: int, start: int, n: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each of n rows from start on, (n,): splitmix64 of key + row (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        h = np.uint64(key) + np.arange(start + 1, start + n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    return np.asarray((h >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def _file_key(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")


def _edges(fractions: Fractions) -> NDArray[np.float64]:
    return np.cumsum([fractions.train, fractions.validation, fractions.calibration])


def _rows(source: Folder, reader: StreamReader, moments: Moments, held: Sequence[Held]) -> Rows:
    cells = reader.cells
    counts = {name: h.count for name, h in zip(ALL, held, strict=True)}
    normal = sum(counts[name] for name in PARTS)
    if normal < FEWEST:
        raise InputError(f"too few rows: {normal} normal ones, at least {FEWEST} are needed")
    for name in PARTS:
        if not counts[name]:
            raise InputError(f"too few rows: none is left for the {name} part")
    pieces = [indexed(h.rows(), cells) for h in held]
    edges = np.cumsum([0, *map(len, pieces)])
    numbers = [np.arange(a, b) for a, b in pairwise(edges)]
    refuse_empty_columns(cells, f"data {source.source!r}")
    levels = tuple(c.levels for c in cells)
    streamed = Streamed(
        groups=source.groups,
        training=reader.training,
        statistics=moments.statistics(pieces[0]),
        counts=counts,
        held=dict(zip(ALL, numbers, strict=True)),
        digest=hashlib.sha256(repr((source.digest, reader.facts, levels)).encode()).hexdigest(),
    )
    return Rows(
        np.concatenate(pieces),
        tuple(c.name for c in cells),
        np.repeat([name == "anomalies" for name in ALL], [len(piece) for piece in pieces]),
        kinds=tuple(c.kind for c in cells),
        levels=levels,
        may_be_missing=tuple(c.may_be_missing for c in cells),
        streamed=streamed,
    )
