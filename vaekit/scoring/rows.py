"""Makes of record batches the array that a model takes; invalid rows are refused or set apart."""

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
from vaekit.tabular.invalid_rows import Noted

Taken = tuple[pa.RecordBatch, NDArray[Any]]
ROW = pa.field("row", pa.int64())  # a row's number over the whole input, where no column of the input is kept


@dataclass(frozen=True)
class BadRows:
    """Rows that the model does not take."""

    numbers: NDArray[np.int64]  # (n,), over the whole input
    columns: Sequence[str | None]  # (n,), where the first fault is; None: in the whole row
    reasons: Sequence[str]  # (n,)
    table: pa.RecordBatch  # as they came


@dataclass(frozen=True)
class Sifted:
    """A chunk, its bad rows apart."""

    passed: pa.RecordBatch  # what goes into the output of the good rows
    x: NDArray[Any]  # the good rows as the model takes them
    numbers: NDArray[np.int64]  # of the good rows over the whole input
    bad: BadRows | None


class ImageRowReader:
    """Pictures as they are; their table is passed through."""

    def __init__(self, schema: pa.Schema, spec: ImageSpec) -> None:
        self.schema = schema
        self._two_valued = spec.two_valued

    def take(self, chunk: Chunk) -> Taken:
        """(what is passed through, pixels (n, H, W, C) uint8).

        Raises:
            InputError: a grey pixel where the model takes 0 and 255 alone.
        """
        assert chunk.pixels is not None
        grey = self._grey(chunk)
        if grey.any():
            n, h, w, c = np.argwhere(grey)[0]
            raise InputError(f"row {chunk.start + n}, pixel ({h}, {w}, {c}): not 0 or 255: {chunk.pixels[n, h, w, c]}")
        return chunk.table, chunk.pixels

    def sift(self, chunk: Chunk) -> Sifted:
        """The pictures that the model takes, and the others."""
        assert chunk.pixels is not None
        grey = self._grey(chunk)
        bad = np.asarray(grey.any(axis=(1, 2, 3)))
        firsts = [np.unravel_index(one.argmax(), one.shape) for one in grey[bad]]
        where = [f"pixel ({h}, {w}, {c})" for h, w, c in firsts]
        return _apart(chunk, chunk.table, chunk.pixels, bad, where, ["not 0 or 255"] * len(where))

    def _grey(self, chunk: Chunk) -> NDArray[np.bool_]:
        """Pixels that the model does not take, (n, H, W, C)."""
        assert chunk.pixels is not None
        if not self._two_valued:
            return np.zeros((len(chunk.pixels), 1, 1, 1), dtype=bool)
        grey: NDArray[np.bool_] = (chunk.pixels != 0) & (chunk.pixels != 255)
        return grey


class VectorRowReader:
    """The model's columns, found by name; the columns that are kept are passed through in their order.

    A column of numbers written as text leaves as float64, any other as it came.
    """

    def __init__(
        self, schema: pa.Schema, spec: VectorSpec, *, text: bool, indices: bool, keep: Sequence[str] | None = None
    ) -> None:
        """Raises InputError where the columns do not fit the model.

        Args:
            schema: of the input.
            spec: what the model takes.
            text: whether numbers are written as text.
            indices: whether categories are written as indices of their levels.
            keep: columns that are passed through, None: all; where it names none, the rows' numbers are.
        """
        self._columns = Columns(schema, spec, text=text, indices=indices)
        for at, column in self._columns.at.items():
            if text and column.kind != "category":
                schema = schema.set(at, pa.field(column.name, pa.float64()))
        self._kept = [i for i, name in enumerate(schema.names) if keep is None or name in set(keep)]
        kept = [schema.field(i) for i in self._kept] if self._kept else [ROW]
        self.schema = pa.schema(kept, metadata=schema.metadata)

    def take(self, chunk: Chunk) -> Taken:
        """(what is passed through, x (n, D) float64), as Columns.take has them."""
        arrays, x = self._columns.take(chunk.table, chunk.start)
        return self._passed(arrays, chunk), x

    def sift(self, chunk: Chunk) -> Sifted:
        """The rows that the model takes, and the others."""
        noted = Noted(chunk.table.num_rows)
        arrays, x = self._columns.read(chunk.table, noted)
        return _apart(chunk, self._passed(arrays, chunk), x, noted.bad, *noted.said())

    def _passed(self, arrays: Sequence[pa.Array], chunk: Chunk) -> pa.RecordBatch:
        kept = [arrays[i] for i in self._kept] or [pa.array(_numbers(chunk))]
        return pa.RecordBatch.from_arrays(kept, schema=self.schema)


def rows_of(
    source: RowSource, spec: VectorSpec | ImageSpec, keep: Sequence[str] | None = None
) -> VectorRowReader | ImageRowReader:
    """What makes the model's array of the source's chunks.

    Args:
        source: the input.
        spec: what the model takes.
        keep: columns of a table that are passed through, None: all.

    Raises:
        InputError: columns that do not fit the model, or one to keep that is not there.
    """
    if isinstance(spec, ImageSpec):
        if keep:
            raise InputError(f"columns: {', '.join(map(repr, keep))}: pictures have none")
        return ImageRowReader(source.schema, spec)
    unknown = [name for name in keep or () if name not in source.schema.names]
    if unknown:
        raise InputError(f"columns: the input has no {', '.join(map(repr, unknown))}")
    return VectorRowReader(source.schema, spec, text=source.text, indices=source.indices, keep=keep)


def whole(rows: VectorRowReader | ImageRowReader, chunk: Chunk) -> Sifted:
    """A chunk whose rows the model takes, all of them.

    Raises:
        InputError: one that it does not take.
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
