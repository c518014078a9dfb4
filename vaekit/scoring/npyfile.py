"""Reads .npy files through a memory map, some rows at a time. Knows shapes and types, not values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.scoring.pieces import Piece, translated

_KEPT = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


class _Array:
    text, indices = False, True
    unit: Literal["rows", "bytes"] = "rows"

    def __init__(self, path: Path, batch_rows: int) -> None:
        self.path = path
        self._array = mapped(path)
        self.size = len(self._array) if self._array.ndim else 0
        self._batch_rows = batch_rows
        self._done = 0

    def done(self) -> int:
        return self._done

    def _slices(self) -> Iterator[tuple[int, NDArray[Any]]]:
        for start in range(0, self.size, self._batch_rows):
            with translated(self.path):
                part = np.array(self._array[start : start + self._batch_rows])
            self._done = start + len(part)
            yield start, part


class NpySource(_Array):
    """Rows (N, D); the columns get the names that the model has for them."""

    def __init__(self, path: Path, spec: VectorSpec, batch_rows: int) -> None:
        """Raises InputError where the array is not (N, D) of numbers."""
        super().__init__(path, batch_rows)
        array = self._array
        if array.ndim != 2 or array.shape[1] != spec.dim:
            raise InputError(f"{path}: shape {array.shape}, expected (N, {spec.dim})")
        if array.dtype.kind not in "iuf":
            raise InputError(f"{path}: dtype {array.dtype} is not one of numbers")
        self._dtype = array.dtype if array.dtype.name in _KEPT else np.dtype(np.float64)
        self._dtype = self._dtype.newbyteorder("=")
        self.schema = pa.schema([(name, pa.from_numpy_dtype(self._dtype)) for name in spec.names])

    def pieces(self) -> Iterator[Piece]:
        for start, part in self._slices():
            columns = np.asarray(part, dtype=self._dtype, order="F")
            arrays = [pa.array(columns[:, d], from_pandas=False) for d in range(columns.shape[1])]
            yield Piece(start, pa.RecordBatch.from_arrays(arrays, schema=self.schema))


class ImageSource(_Array):
    """Pictures (N, H, W, C) of uint8, or (N, H, W) where there is one channel; the table holds their numbers."""

    def __init__(self, path: Path, spec: ImageSpec, batch_rows: int) -> None:
        """Raises InputError where the array is not such pictures of the model's size."""
        super().__init__(path, batch_rows)
        array = self._array
        shapes = {spec.row_shape} | ({spec.row_shape[:2]} if spec.channels == 1 else set())
        if array.shape[1:] not in shapes or array.ndim < 3:
            raise InputError(f"{path}: shape {array.shape}, expected (N, {', '.join(map(str, spec.row_shape))})")
        if array.dtype != np.uint8:
            raise InputError(f"{path}: dtype {array.dtype}, expected uint8")
        self.schema = pa.schema([("row", pa.int64())])
        self._shape = spec.row_shape

    def pieces(self) -> Iterator[Piece]:
        for start, part in self._slices():
            numbers = pa.array(np.arange(start, start + len(part)))
            table = pa.RecordBatch.from_arrays([numbers], schema=self.schema)
            yield Piece(start, table, part.reshape(-1, *self._shape))


def mapped(path: Path) -> NDArray[Any]:
    """One array of numbers or texts, memory-mapped.

    Raises:
        InputError: a file that is no such array.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as exc:
        raise InputError(f"{path}: not a .npy file of numbers: {exc}") from exc
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"{path}: an archive of arrays, expected one array")
    return array
