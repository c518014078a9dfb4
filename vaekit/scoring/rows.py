"""Record batches -> the array that a model takes. Knows the input spec and row numbers, not files and not models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.arrow.columns import Columns
from vaekit.bundle import ImageSpec, VectorSpec
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

    def __init__(self, schema: pa.Schema, spec: VectorSpec, *, text: bool, indices: bool) -> None:
        """Raises InputError where the columns do not fit the model; its arguments are those of Columns."""
        self._columns = Columns(schema, spec, text=text, indices=indices)
        self.schema = schema
        for at, column in self._columns.at.items():
            if text and column.kind != "category":
                self.schema = self.schema.set(at, pa.field(column.name, pa.float64()))

    def take(self, piece: Piece) -> Taken:
        """(what is passed through, x (n, D) float64), as Columns.take has them."""
        arrays, x = self._columns.take(piece.table, piece.start)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema), x
