"""Converts chunks of an input to model arrays; invalid rows are refused or separated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.scoring.files.fragments import Chunk, RowSource
from vaekit.tabular.arrow_columns import Columns
from vaekit.tabular.invalid_rows import CollectFaults

Taken = tuple[pa.RecordBatch, NDArray[Any]]
ROW = pa.field("row", pa.int64())  # number of the row in the whole input; written if no input column is kept


@dataclass(frozen=True)
class BadRows:
    """The invalid rows of a chunk."""

    numbers: NDArray[np.int64]  # (n,), in the whole input
    columns: Sequence[str | None]  # (n,), column of the first invalid cell; None: the row as a whole
    reasons: Sequence[str]  # (n,)
    table: pa.RecordBatch  # as read


@dataclass(frozen=True)
class Sifted:
    """A chunk, split into valid and invalid rows."""

    passed: pa.RecordBatch  # input columns of the valid rows that go into the output
    x: NDArray[Any]  # valid rows as model input
    numbers: NDArray[np.int64]  # (n,), of the valid rows, in the whole input
    bad: BadRows | None


class ImageRowReader:
    """Images, unchanged; their table goes into the output."""

    def __init__(self, schema: pa.Schema, spec: ImageSpec) -> None:
        self.schema = schema
        self._two_valued = spec.two_valued

    def take(self, chunk: Chunk) -> Taken:
        """(columns for the output, pixels (n, H, W, C) uint8).

        Raises:
            InputError: an image that cannot be read, or a grey pixel, if the model reads only 0 and 255.
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

    def sift(self, chunk: Chunk) -> Sifted:
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
        return _apart(chunk, chunk.table, chunk.pixels, bad, where, reasons)

    def _grey(self, chunk: Chunk) -> NDArray[np.bool_]:
        """Invalid pixels, (n, H, W, C); (n, 1, 1, 1) if every value is valid."""
        assert chunk.pixels is not None
        if not self._two_valued:
            return np.zeros((len(chunk.pixels), 1, 1, 1), dtype=bool)
        grey: NDArray[np.bool_] = (chunk.pixels != 0) & (chunk.pixels != 255)
        return grey


class VectorRowReader:
    """Finds the model's columns by name; the kept columns go into the output in their order.

    Numbers that were read as text leave as float64, all other columns with their own type.
    """

    def __init__(
        self, schema: pa.Schema, spec: VectorSpec, *, text: bool, indices: bool, keep: Sequence[str] | None = None
    ) -> None:
        """Raises InputError if the columns do not fit the model.

        Args:
            schema: schema of the input.
            spec: input of the model.
            text: whether numbers are text.
            indices: whether categories are indices of levels.
            keep: columns for the output; None: all; empty: the row numbers instead.
        """
        self._columns = Columns(schema, spec, text=text, indices=indices)
        for at, column in self._columns.at.items():
            if text and column.kind != "category":
                schema = schema.set(at, pa.field(column.name, pa.float64()))
        self._kept = [i for i, name in enumerate(schema.names) if keep is None or name in set(keep)]
        kept = [schema.field(i) for i in self._kept] if self._kept else [ROW]
        self.schema = pa.schema(kept, metadata=schema.metadata)

    def take(self, chunk: Chunk) -> Taken:
        """(columns for the output, x (n, D) float64), as from Columns.take."""
        arrays, x = self._columns.take(chunk.table, chunk.start)
        return self._passed(arrays, chunk), x

    def sift(self, chunk: Chunk) -> Sifted:
        """The chunk, split into valid and invalid rows."""
        noted = CollectFaults(chunk.table.num_rows)
        arrays, x = self._columns.read(chunk.table, noted)
        return _apart(chunk, self._passed(arrays, chunk), x, noted.bad, *noted.reasons())

    def _passed(self, arrays: Sequence[pa.Array], chunk: Chunk) -> pa.RecordBatch:
        kept = [arrays[i] for i in self._kept] or [pa.array(_numbers(chunk))]
        return pa.RecordBatch.from_arrays(kept, schema=self.schema)


def rows_of(
    source: RowSource, spec: VectorSpec | ImageSpec, keep: Sequence[str] | None = None
) -> VectorRowReader | ImageRowReader:
    """The reader that converts chunks of a source to model arrays.

    Args:
        source: the input.
        spec: input of the model.
        keep: columns of a table for the output; None: all.

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
    return VectorRowReader(source.schema, spec, text=source.text, indices=source.indices, keep=keep)


def whole(rows: VectorRowReader | ImageRowReader, chunk: Chunk) -> Sifted:
    """A chunk that must have valid rows only.

    Raises:
        InputError: a row is invalid.
    """
    return Sifted(*rows.take(chunk), _numbers(chunk), None)


def _numbers(chunk: Chunk) -> NDArray[np.int64]:
    return np.arange(chunk.start, chunk.start + chunk.table.num_rows)


def _apart(
    chunk: Chunk,
    passed: pa.RecordBatch,
    x: NDArray[Any],
    bad: NDArray[np.bool_],
    columns: Sequence[str | None],
    reasons: Sequence[str],
) -> Sifted:
    if not bad.any():
        return Sifted(passed, x, _numbers(chunk), None)
    numbers, mask = _numbers(chunk), pa.array(bad)
    refused = BadRows(numbers[bad], columns, reasons, chunk.table.filter(mask))
    return Sifted(passed.filter(pa.array(~bad)), x[~bad], numbers[~bad], refused)
