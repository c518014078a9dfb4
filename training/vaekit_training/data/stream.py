"""Reads Parquet files larger than memory in one pass: checks cells, and finds levels, statistics and splits.

A row's split depends only on a seeded hash of its file name and its row number in the file. Adding files therefore does
not change the split of other rows. The rows with the smallest hashes are the sample of each split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit_training.data.cells import Cells, cells_of, indexed, refuse_empty_columns, refuse_empty_rows
from vaekit_training.data.columns import Moments
from vaekit_training.data.labels import TrainingLabels, columns_of, index_columns
from vaekit_training.data.parquet import Folder, Group, folder, release
from vaekit_training.data.rows import Rows, Streamed
from vaekit_training.data.split import FEWEST, SPLITS
from vaekit_training.sections import DataConfig, Fractions, LikelihoodConfig

SAMPLE_ROWS = 20_000  # largest number of rows per split that are kept in memory
SAMPLE_CELLS = 2**23  # largest number of cells per split that are kept in memory: 64 MB of float64
CHUNK_CELLS = 2**20  # cells per chunk: 8 MB of float64
SPLITS_AND_ANOMALIES = (*SPLITS, "anomalies")


def stream(config: DataConfig, likelihood: LikelihoodConfig, seed: int) -> Rows:
    """Rows of a Parquet folder, read once from start to end; training rows stay on disk.

    Raises:
        InputError: as in `load`, or there are too few rows, so that a split would be empty.
        ConfigError: the likelihood does not accept a kind.
    """
    source = folder(config.source)
    columns = columns_of(dict.fromkeys(source.columns), config, source.index)
    if not source.rows:
        raise InputError(f"data {config.source!r}: no rows, expected at least 1")
    cells = cells_of(columns, config, likelihood)
    reader = StreamReader(source, config, cells, seed)
    moments = Moments([c.kind for c in cells])
    samples = [Sample(min(SAMPLE_ROWS, max(1, SAMPLE_CELLS // len(columns)))) for _ in SPLITS_AND_ANOMALIES]
    for group in source.groups:
        for x, index, hashes in reader.chunks(group):
            refuse_empty_rows(x, source.where(group))
            moments.add(x[index == 0])
            if config.label:
                for d, c in enumerate(cells):
                    c.note_normal(x[index < len(SPLITS), d])
            for s, sample in enumerate(samples):
                sample.add(x[index == s], hashes[index == s])
    if config.label:
        reader.labels.check()
    release()
    return replace(_rows(source, reader, moments, samples), index=index_columns(source.columns, config, source.index))


class StreamReader:
    """Reads row groups as numbers, and assigns each row to a split."""

    def __init__(self, source: Folder, config: DataConfig, cells: Sequence[Cells], seed: int) -> None:
        self.source, self.cells, self.labels = source, cells, TrainingLabels(config)
        self._label = config.label
        self._names = [c.name for c in cells] + ([config.label] if config.label else [])
        self.facts = (self._names, config.label, config.anomalies)
        self._edges = _edges(config.fractions)
        self._keys = [_file_key(name, seed) for name in source.names]
        self.rows_at_once = max(64, CHUNK_CELLS // len(self._names))

    def chunks(self, group: Group) -> Iterator[tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]]:
        """Chunks: x (n, D) from Cells.take, index in SPLITS_AND_ANOMALIES (n,) and hash in [0, 1) (n,) of each row."""
        where = self.source.where(group)
        for c in self.cells:
            c.source = where
        for start, table in self.source.read(group, self._names, self.rows_at_once):
            x = np.stack([c.take(table[c.name], start) for c in self.cells], axis=1)  # (n, D)
            hashes = uniform(self._keys[group.file], start, len(x))  # (n,)
            index = np.searchsorted(self._edges, hashes, side="right")  # (n,)
            if self._label:
                index[self.labels.take(table[self._label], start, where)] = len(SPLITS)
            yield x, index, hashes

    def training(self, group: Group) -> Iterator[NDArray[np.float64]]:
        """Chunks x (n, D) of a row group's training rows, with categories as indices of their levels."""
        for x, index, _ in self.chunks(group):
            yield indexed(x[index == 0], self.cells)


class Sample:
    """A random sample without replacement: the rows with the smallest hashes among all rows added."""

    def __init__(self, most: int) -> None:
        """most: largest size of the sample."""
        self.count = 0  # of all rows added
        self._most, self._limit = most, np.inf
        self._x: list[NDArray[np.float64]] = []
        self._hashes: list[NDArray[np.float64]] = []

    def add(self, x: NDArray[np.float64], hashes: NDArray[np.float64]) -> None:
        """Add rows x (n, D) with the hash of each, (n,)."""
        self.count += len(x)
        some = hashes < self._limit
        self._x.append(x[some])
        self._hashes.append(hashes[some])
        if sum(map(len, self._hashes)) > 2 * self._most:
            self._cut()

    def rows(self) -> NDArray[np.float64]:
        """The sampled rows x (m, D), in the order in which they were added."""
        self._cut()
        return self._x[0]

    def _cut(self) -> None:
        x, hashes = np.concatenate(self._x), np.concatenate(self._hashes)
        if len(hashes) > self._most:
            self._limit = float(np.partition(hashes, self._most)[self._most])
            x, hashes = x[hashes < self._limit], hashes[hashes < self._limit]
        self._x, self._hashes = [x], [hashes]


def uniform(key: int, start: int, n: int) -> NDArray[np.float64]:
    """A hash in [0, 1) of each row number from start to start + n - 1, (n,).

    Source: splitmix64, Steele et al. (2014), "Fast splittable pseudorandom number generators".
    """
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


def _rows(source: Folder, reader: StreamReader, moments: Moments, samples: Sequence[Sample]) -> Rows:
    cells = reader.cells
    counts = {name: sample.count for name, sample in zip(SPLITS_AND_ANOMALIES, samples, strict=True)}
    normal = sum(counts[name] for name in SPLITS)
    if normal < FEWEST:
        raise InputError(f"too few rows: {normal} normal ones; at least {FEWEST} are needed")
    for name in SPLITS:
        if not counts[name]:
            raise InputError(f"too few rows: the {name} split would be empty; raise data.fractions.{name}")
    sampled = [indexed(sample.rows(), cells) for sample in samples]
    edges = np.cumsum([0, *map(len, sampled)])
    indices = [np.arange(a, b) for a, b in pairwise(edges)]
    refuse_empty_columns(cells, f"data {source.source!r}")
    levels = tuple(c.levels for c in cells)
    streamed = Streamed(
        groups=source.groups,
        training=reader.training,
        statistics=moments.statistics(sampled[0]),
        counts=counts,
        sampled=dict(zip(SPLITS_AND_ANOMALIES, indices, strict=True)),
        digest=hashlib.sha256(repr((source.digest, reader.facts, levels)).encode()).hexdigest(),
    )
    return Rows(
        np.concatenate(sampled),
        tuple(c.name for c in cells),
        np.repeat([name == "anomalies" for name in SPLITS_AND_ANOMALIES], [len(x) for x in sampled]),
        kinds=tuple(c.kind for c in cells),
        levels=levels,
        may_be_missing=tuple(c.may_be_missing for c in cells),
        streamed=streamed,
    )
