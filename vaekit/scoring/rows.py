"""Record batches -> the array that a model takes. Knows the input spec and row numbers, not files and not models."""

from __future__ import annotations

from collections import Counter
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Column
from vaekit.errors import InputError
from vaekit.scoring.pieces import Piece

Taken = tuple[pa.RecordBatch, NDArray[Any]]


class ImageRows:
    """Pictures as they are; their table is passed through."""

    def __init__(self, schema: pa.Schema, spec: ImageSpec) -> None:
        self.schema = schema
        self._two_valued = spec.two_valued

    def take(self, piece: Piece) -> Taken:
        """(what is passed through, pixels (n, H, W, C) uint8).

        Raises:
            InputError: a grey pixel where the model takes 0 and 255 alone.
        """
        assert piece.pixels is not None
        if self._two_valued:
            grey = (piece.pixels != 0) & (piece.pixels != 255)
            if grey.any():
                n, h, w, c = np.argwhere(grey)[0]
                raise InputError(
                    f"row {piece.start + n}, pixel ({h}, {w}, {c}): not 0 or 255: {piece.pixels[n, h, w, c]}"
                )
        return piece.table, piece.pixels


class VectorRows:
    """The model's columns, found by name; all columns are passed through in their order.

    A column of numbers written as text leaves as float64, any other as it came.
    """

    def __init__(self, schema: pa.Schema, spec: VectorSpec, *, text: bool) -> None:
        """
        Raises:
            InputError: columns that are missing (all of them are named), two of one name, or a column of the model
                that is not one of numbers.
        """
        twice = [name for name, count in Counter(schema.names).items() if count > 1]
        if twice:
            raise InputError(f"two columns of one name: {', '.join(map(repr, twice))}")
        missing = [name for name in spec.names if name not in set(schema.names)]
        if missing:
            raise InputError(f"the input lacks {len(missing)} of the model's columns: {', '.join(map(repr, missing))}")
        self._columns = spec.columns
        self._at = [schema.get_field_index(name) for name in spec.names]
        self._text = text
        self.schema = schema
        for d, at in zip(spec.columns, self._at, strict=True):
            if text:
                self.schema = self.schema.set(at, pa.field(d.name, pa.float64()))
            else:
                _check_type(d.name, schema.field(at).type)

    def take(self, piece: Piece) -> Taken:
        """(what is passed through, x (n, D) float64).

        Raises:
            InputError: a cell that is not a finite number; row, feature and value are named.
        """
        arrays = list(piece.table.columns)
        x = np.empty((piece.table.num_rows, len(self._columns)), dtype=np.float64)  # (n, D)
        for d, (column, at) in enumerate(zip(self._columns, self._at, strict=True)):
            cells = arrays[at]
            numbers = _parsed(cells, column, piece.start) if self._text else _floats(cells)
            x[:, d] = _checked(numbers, cells, column, piece.start)
            if self._text:
                arrays[at] = numbers
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema), x


def _check_type(name: str, kind: pa.DataType) -> None:
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not is_number and not pa.types.is_null(kind):
        raise InputError(f"feature {name!r}: a column of {kind}, expected numbers")


def _floats(cells: pa.Array) -> pa.Array:
    return pc.cast(cells, pa.float64(), safe=False)  # integers past 2**53 are rounded, as everywhere


def _parsed(cells: pa.Array, column: Column, start: int) -> pa.Array:
    text = pc.utf8_trim_whitespace(cells)
    try:
        return pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        _refuse(_first_unparsable(text), cells, column, start, "not a number")


def _first_unparsable(text: pa.Array) -> int:
    first, beyond = 0, len(text)  # a fault lies in [first, beyond), none before it
    while beyond - first > 1:
        middle = (first + beyond) // 2
        try:
            pc.cast(text[first:middle], pa.float64())
            first = middle
        except pa.ArrowInvalid:
            beyond = middle
    return first


def _checked(numbers: pa.Array, cells: pa.Array, column: Column, start: int) -> NDArray[np.float64]:
    if numbers.null_count:
        _refuse(int(pc.index(pc.is_null(numbers), value=True).as_py()), cells, column, start, "missing")
    values: NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    if not finite.all():
        _refuse(int(finite.argmin()), cells, column, start, "not finite")
    if column.kind == "binary" and (odd := (values != 0) & (values != 1)).any():
        _refuse(int(odd.argmax()), cells, column, start, "not 0 or 1")
    return values


def _refuse(at: int, cells: pa.Array, column: Column, start: int, what: str) -> NoReturn:
    """Say what is wrong with one cell, in the words that a request's rows are refused in."""
    value = cells[at].as_py()
    where = f"row {start + at}, feature {column.name!r}"
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{where}: missing")
    shown = repr(value[:40]) if isinstance(value, str) else str(value)
    raise InputError(f"{where}: {what}: {shown}")
