"""Record batches -> the array that a model takes. Knows the input spec and row numbers, not files and not models."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Column
from vaekit.errors import InputError
from vaekit.scoring.cells import Floats, check_type, checked, levels, numbers, parsed
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

    def __init__(self, schema: pa.Schema, spec: VectorSpec, *, text: bool, indices: bool) -> None:
        """
        Args:
            schema: of the input.
            spec: what the model takes.
            text: whether numbers are written as text.
            indices: whether categories are written as indices of their levels.

        Raises:
            InputError: columns that are missing (all of them are named), two of one name, or a column whose type
                cannot hold what the model takes.
        """
        twice = [name for name, count in Counter(schema.names).items() if count > 1]
        if twice:
            raise InputError(f"two columns of one name: {', '.join(map(repr, twice))}")
        missing = [name for name in spec.names if name not in set(schema.names)]
        if missing:
            raise InputError(f"the input lacks {len(missing)} of the model's columns: {', '.join(map(repr, missing))}")
        self._columns = spec.columns
        self._at = [schema.get_field_index(name) for name in spec.names]
        self._text, self._indices = text, indices
        self.schema = schema
        for d, at in zip(spec.columns, self._at, strict=True):
            if not text:
                check_type(d, schema.field(at).type, indices=indices)
            elif d.kind != "category":
                self.schema = self.schema.set(at, pa.field(d.name, pa.float64()))

    def take(self, piece: Piece) -> Taken:
        """(what is passed through, x (n, D) float64: NaN where a cell is missing, the level's index of a category).

        Raises:
            InputError: a cell that its column does not take, or a row that misses every cell; row, feature and value
                are named.
        """
        arrays = list(piece.table.columns)
        x = np.empty((piece.table.num_rows, len(self._columns)), dtype=np.float64)  # (n, D)
        for d, (column, at) in enumerate(zip(self._columns, self._at, strict=True)):
            arrays[at], x[:, d] = self._taken(arrays[at], column, piece.start)
        if (empty := np.isnan(x).all(axis=1)).any():
            raise InputError(f"row {piece.start + int(empty.argmax())}: every cell is missing")
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema), x

    def _taken(self, cells: pa.Array, column: Column, start: int) -> tuple[pa.Array, Floats]:
        """(what is passed through, values (n,)) of one column."""
        if column.kind == "category" and not self._indices:
            return cells, levels(cells, column, start)
        found = parsed(cells, column, start) if self._text else numbers(cells)
        return (found if self._text else cells), checked(found, cells, column, start)
