"""Cuts the time steps of chunks into windows, across the borders of chunks and files.

Without windows the rows of a chunk pass through. T rows of a chunk, n rows or windows for the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.window import SeriesWindow
from vaekit.scoring.files.fragments import Chunk
from vaekit.scoring.rows import ImageRowReader, InvalidRows, SplitChunk, VectorRowReader, require_valid
from vaekit.tabular.series import Steps, WindowCutter


@dataclass(frozen=True)
class ModelRows:
    """What a model scores of a chunk of T rows."""

    x: NDArray[Any]  # (n, ...)
    at: NDArray[np.intp]  # (n,), the row of the chunk that each result belongs to
    places: NDArray[np.intp]  # (n,), number of earlier steps of its series
    series: NDArray[np.str_] | None  # (n,), names of series; None: all are one
    marked: NDArray[np.bool_]  # (n,), which of these rows have the label of an anomaly
    touched: NDArray[np.bool_]  # (n,), which of them, or of the other steps of their windows, have it


class ChunkWindows:
    """Cuts the chunks of one input, which must come in order."""

    def __init__(self, rows: VectorRowReader | ImageRowReader) -> None:
        self._rows = rows
        self.window = rows.window
        self._cutter = None if rows.window is None else WindowCutter(rows.window)

    def take(self, chunk: Chunk, marked: NDArray[np.bool_] | None = None) -> ModelRows:
        """The rows of a chunk for the model, with the labels (T,) of its rows; None: no row is an anomaly.

        Raises:
            InputError: a row is invalid, or the steps of a series are not in order of time.
        """
        return self.of(require_valid(self._rows, chunk), marked)

    def take_valid(self, chunk: Chunk) -> tuple[ModelRows, InvalidRows | None]:
        """As take, but without the invalid images, which come second. Other invalid rows are refused."""
        if not isinstance(self._rows, ImageRowReader):
            return self.take(chunk), None
        split = self._rows.split(chunk)
        return replace(self.of(split), at=split.numbers - chunk.start), split.invalid

    def of(self, split: SplitChunk, marked: NDArray[np.bool_] | None = None) -> ModelRows:
        """As take, for the valid rows of a chunk."""
        flags = np.zeros(len(split.x), dtype=bool) if marked is None else marked
        if self._cutter is None or split.steps is None:
            every = np.arange(len(split.x))
            return ModelRows(split.x, every, every, None, flags, flags)
        names, d = split.steps.series, split.x.shape[1]
        if marked is None:
            cut = self._cutter.cut(split.steps, split.numbers)
            none = np.zeros(len(cut.ends), dtype=bool)
            own = None if names is None else names[cut.ends]
            return ModelRows(np.ascontiguousarray(cut.x), cut.ends, cut.places, own, none, none)
        cut = self._cutter.cut(Steps(np.column_stack([split.x, flags]), names, split.steps.time), split.numbers)
        windows = cut.x.reshape(len(cut.x), -1, d + 1)  # (n, W, D + 1)
        x = np.ascontiguousarray(windows[:, :, :d]).reshape(len(windows), -1)
        touched = np.asarray(windows[:, :, d].any(axis=1))
        return ModelRows(x, cut.ends, cut.places, None if names is None else names[cut.ends], flags[cut.ends], touched)


class ApartWindows:
    """Chooses windows that share no time step with each other: see vaekit_training.data.window_split.apart.

    The distance from one to the next is W steps and a random number of 0 to W - 1 more.
    """

    def __init__(self, window: SeriesWindow, seed: int = 0) -> None:
        self._width, self._rng = window.steps, np.random.default_rng((seed, window.steps))
        self._next: dict[str, int] = {}

    def choose(self, rows: ModelRows) -> NDArray[np.intp]:
        """Which of these windows to take, of those without an anomaly inside."""
        kept = []
        for i in np.flatnonzero(~rows.touched).tolist():
            name = "" if rows.series is None else str(rows.series[i])
            if rows.places[i] >= self._next.get(name, 0):
                kept.append(i)
                self._next[name] = int(rows.places[i]) + self._width + int(self._rng.integers(self._width))
        return np.array(kept, dtype=np.intp)
