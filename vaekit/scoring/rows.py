"""Converts chunks of an input to model arrays. Invalid rows are refused or split off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.window import SeriesWindow
from vaekit.errors import InputError
from vaekit.scoring.files.fragments import Chunk, RowSource
from vaekit.tabular.arrow_columns import Columns
from vaekit.tabular.arrow_windows import steps_of_table
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit.tabular.invalid_rows import CollectFaults
from vaekit.tabular.series import Steps
from vaekit.tabular.windows import check_beside, is_of_steps

OutputAndInput = tuple[pa.RecordBatch, NDArray[Any]]
ROW = pa.field("row", pa.int64())  # row number in the whole input; replaces the input columns if none is kept


@dataclass(frozen=True)
class InvalidRows:
    """The invalid rows of a chunk."""

    numbers: NDArray[np.int64]  # (n,), numbers of the rows in the whole input
    columns: Sequence[str | None]  # (n,), column of the first invalid cell; None: the row as a whole
    reasons: Sequence[str]  # (n,)
    table: pa.RecordBatch  # as read

    def sentence(self, i: int) -> str:
        """What is wrong with invalid image i of the chunk."""
        if self.columns[i] is not None:
            return f"row {self.numbers[i]}, {self.columns[i]}: {self.reasons[i]}"
        return f"row {self.numbers[i]}, file {self.table.column('file')[i].as_py()!r}: {self.reasons[i]}"


@dataclass(frozen=True)
class SplitChunk:
    """A chunk, split into valid and invalid rows."""

    kept: pa.RecordBatch  # valid rows: the input columns that go into the output
    x: NDArray[Any]  # (n, D) or (n, H, W, C), valid rows as model input
    numbers: NDArray[np.int64]  # (n,), numbers of the valid rows in the whole input
    invalid: InvalidRows | None
    steps: Steps | None = None  # the valid rows as time steps, if the model has windows and the input has steps


class ImageRowReader:
    """Reads images without conversion. The output gets their row numbers."""

    ignored: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    window: SeriesWindow | None = None

    def __init__(self, schema: pa.Schema, spec: ImageSpec) -> None:
        self.schema = schema
        self._two_valued = spec.two_valued

    def take(self, chunk: Chunk) -> OutputAndInput:
        """(columns for the output, pixels (n, H, W, C) uint8).

        Raises:
            InputError: an image cannot be read, or a pixel is neither 0 nor 255, and the model reads only these.
        """
        assert chunk.pixels is not None
        for i, fault in enumerate(chunk.faults):
            if fault is not None:
                file = chunk.table.column("file")[i].as_py()
                raise InputError(f"row {chunk.start + i}, file {file!r}: {fault}")
        grey = self._grey(chunk)
        if grey.any():
            n, h, w, c = np.argwhere(grey)[0]
            raise InputError(f"row {chunk.start + n}, pixel ({h}, {w}, {c}): not 0 or 255: {chunk.pixels[n, h, w, c]}")
        return chunk.table, chunk.pixels

    def split(self, chunk: Chunk) -> SplitChunk:
        """The chunk, split into valid and invalid images."""
        assert chunk.pixels is not None
        grey = self._grey(chunk)
        faults = chunk.faults or (None,) * len(grey)
        bad = np.asarray(grey.any(axis=(1, 2, 3))) | np.array([fault is not None for fault in faults], dtype=bool)
        where: list[str | None] = []
        for i in np.flatnonzero(bad):
            h, w, c = np.unravel_index(grey[i].argmax(), grey[i].shape)
            where.append(f"pixel ({h}, {w}, {c})" if faults[i] is None else None)
        reasons = [faults[i] or "not 0 or 255" for i in np.flatnonzero(bad)]
        return _split(chunk, chunk.table, chunk.pixels, bad, where, reasons)

    def _grey(self, chunk: Chunk) -> NDArray[np.bool_]:
        """Mask of invalid pixels, (n, H, W, C); (n, 1, 1, 1) if the model accepts every pixel value."""
        assert chunk.pixels is not None
        if not self._two_valued:
            return np.zeros((len(chunk.pixels), 1, 1, 1), dtype=bool)
        grey: NDArray[np.bool_] = (chunk.pixels != 0) & (chunk.pixels != 255)
        return grey


class VectorRowReader:
    """Finds the model's columns by name. The columns to keep go into the output in their input order.

    Model columns of numbers that were read as text become float64 in the output. All other columns keep their type.
    """

    def __init__(
        self,
        schema: pa.Schema,
        spec: VectorSpec,
        *,
        text: bool,
        indices: bool,
        keep: Sequence[str] | None = None,
        most_missing: int | None = None,
        strict: bool = False,
        dialect: CsvDialect = PLAIN,
    ) -> None:
        """Raises InputError if the columns do not fit the model.

        Args:
            schema: schema of the input.
            spec: input of the model.
            text: whether numbers were read as text.
            indices: whether categories were read as indices of levels.
            keep: columns for the output; None: all; empty: the row numbers instead.
            most_missing: with strict, how many cells of a row may be missing.
            strict: whether to refuse novel rows, and columns that the model does not have.
            dialect: how numbers are written as text.
        """
        self.window = spec.window if spec.window is not None and is_of_steps(schema.names, spec.window) else None
        if self.window is not None:
            if not indices:  # rows of an array are the steps of one series
                check_beside(schema.names, self.window)
            spec = spec.step
        self._dialect = dialect if text else None
        self._columns = Columns(
            schema,
            spec,
            text=text,
            indices=indices,
            strict=strict,
            most_missing=most_missing if strict and self.window is None else None,
            dialect=dialect,
            beside=() if self.window is None else self.window.beside,
        )
        self.absent = self._columns.ignored.absent
        self.ignored, self.remarks = self._columns.ignored.columns, self._columns.ignored.warnings
        for at, column in self._columns.at.items():
            if text and column.kind != "category":
                schema = schema.set(at, pa.field(column.name, pa.float64()))
        self._kept = [i for i, name in enumerate(schema.names) if keep is None or name in set(keep)]
        kept = [schema.field(i) for i in self._kept] if self._kept else [ROW]
        self.schema = pa.schema(kept, metadata=schema.metadata)

    def take(self, chunk: Chunk) -> OutputAndInput:
        """(columns for the output, x (n, D) float64). Raises InputError at the first invalid row."""
        arrays, x = self._columns.take(chunk.table, chunk.start)
        return self._output_columns(arrays, chunk), x

    def split(self, chunk: Chunk) -> SplitChunk:
        """The chunk, split into valid and invalid rows."""
        noted = CollectFaults(chunk.table.num_rows)
        arrays, x = self._columns.read(chunk.table, noted)
        found = _split(chunk, self._output_columns(arrays, chunk), x, noted.bad, *noted.reasons())
        if self.window is None:
            return found
        return replace(found, steps=self.steps(chunk, found.x, noted.bad))

    def steps(self, chunk: Chunk, x: NDArray[np.float64], bad: NDArray[np.bool_] | None = None) -> Steps | None:
        """The rows of a chunk, without the invalid ones (T,), as time steps; None for a model without windows."""
        if self.window is None:
            return None
        if not set(self.window.beside) <= set(chunk.table.schema.names):
            return Steps(x)
        table = chunk.table if bad is None or not bad.any() else chunk.table.filter(pa.array(~bad))
        return steps_of_table(table, x, self.window, start=chunk.start, dialect=self._dialect)

    def _output_columns(self, arrays: Sequence[pa.Array], chunk: Chunk) -> pa.RecordBatch:
        kept = [arrays[i] for i in self._kept] or [pa.array(_numbers(chunk))]
        return pa.RecordBatch.from_arrays(kept, schema=self.schema)


def rows_of(
    source: RowSource,
    spec: VectorSpec | ImageSpec,
    keep: Sequence[str] | None = None,
    *,
    strict: bool = False,
    most_missing: int | None = None,
) -> VectorRowReader | ImageRowReader:
    """The reader that converts chunks of a source to model arrays.

    Args:
        source: the input.
        spec: input of the model.
        keep: columns of a table for the output; None: all.
        strict: whether to refuse novel rows, and columns that the model does not have.
        most_missing: with strict, how many cells of a row may be missing: the manifest's most_missing.

    Raises:
        InputError: the columns do not fit the model, or a column to keep does not exist.
    """
    if isinstance(spec, ImageSpec):
        if keep:
            raise InputError(f"columns: {', '.join(map(repr, keep))}: images have no columns; use none")
        return ImageRowReader(source.schema, spec)
    unknown = [name for name in keep or () if name not in source.schema.names]
    if unknown:
        raise InputError(f"columns: the input has no column {', '.join(map(repr, unknown))}")
    return VectorRowReader(
        source.schema,
        spec,
        text=source.text,
        indices=source.indices,
        keep=keep,
        most_missing=most_missing,
        strict=strict,
        dialect=source.dialect,
    )


def require_valid(rows: VectorRowReader | ImageRowReader, chunk: Chunk) -> SplitChunk:
    """The chunk, which must have valid rows only.

    Raises:
        InputError: a row is invalid.
    """
    kept, x = rows.take(chunk)
    steps = rows.steps(chunk, x) if isinstance(rows, VectorRowReader) else None
    return SplitChunk(kept, x, _numbers(chunk), None, steps)


def _numbers(chunk: Chunk) -> NDArray[np.int64]:
    return np.arange(chunk.start, chunk.start + chunk.table.num_rows)


def _split(
    chunk: Chunk,
    kept: pa.RecordBatch,
    x: NDArray[Any],
    bad: NDArray[np.bool_],
    columns: Sequence[str | None],
    reasons: Sequence[str],
) -> SplitChunk:
    if not bad.any():
        return SplitChunk(kept, x, _numbers(chunk), None)
    numbers, mask = _numbers(chunk), pa.array(bad)
    invalid = InvalidRows(numbers[bad], columns, reasons, chunk.table.filter(mask))
    return SplitChunk(kept.filter(pa.array(~bad)), x[~bad], numbers[~bad], invalid)
