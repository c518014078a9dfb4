"""Reads .npy files, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.scoring.files.fragments import Chunk, Fragment, file_of, translated
from vaekit.storage.paths import StoragePath
from vaekit.tabular.csv_text import PLAIN
from vaekit.tabular.windows import accepted

_ARROW_TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


class _ArraySource:
    text, indices, dialect = False, True, PLAIN
    unit: Literal["rows", "bytes"] = "rows"
    keys: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def __init__(self, path: StoragePath, batch_rows: int) -> None:
        self.path = path
        array = _opened(path)
        self._shape, self._dtype = array.shape, array.dtype
        self.size = array.shape[0] if array.shape else 0
        self._batch_rows = batch_rows
        self._done = 0

    def done(self) -> int:
        return self._done

    def fragments(self, part_rows: int | None = None) -> list[Fragment]:
        most = part_rows or max(1, self.size)
        sizes = [min(most, self.size - at) for at in range(0, self.size, most)]
        file = file_of(self.path)
        return [Fragment(file, i * most, n, i * most, n) for i, n in enumerate(sizes)] or [Fragment(file, 0, 0, 0, 0)]

    def chunks(self) -> Iterator[Chunk]:
        for fragment in self.fragments():
            yield from self.read(fragment)

    def read(self, fragment: Fragment) -> Iterator[Chunk]:
        with translated(self.path):
            array = _opened(self.path)
        for start in range(fragment.start, end := fragment.start + (fragment.rows or 0), self._batch_rows):
            with translated(self.path):
                part = np.array(array[start : min(end, start + self._batch_rows)])
            self._done += len(part)
            yield self._chunk(start, part)

    def _chunk(self, start: int, part: NDArray[Any]) -> Chunk:
        raise NotImplementedError  # subclasses convert rows of numbers or images


class NpySource(_ArraySource):
    """Rows (N, D). Their columns get the names of the model's columns.

    With a model of windows, they are windows (N, W D) or (N, W, D), or time steps (T, D).
    """

    def __init__(self, path: StoragePath, specs: tuple[VectorSpec, VectorSpec], batch_rows: int) -> None:
        """Raises InputError if the array is not numeric, or has the shape of none of the specs (of rows, of steps)."""
        super().__init__(path, batch_rows)
        spec, step = specs
        shapes: dict[tuple[int, ...], VectorSpec] = {(spec.dim,): spec, (step.dim,): step}
        shapes |= {} if spec.window is None else {(spec.window.steps, step.dim): spec}
        if self._shape[1:] not in shapes:
            expected = f"expected (N, {spec.dim})" if spec.window is None else accepted(spec.window)
            raise InputError(f"{path}: shape {self._shape}, {expected}")
        spec = shapes[self._shape[1:]]
        if self._dtype.kind not in "iuf":
            raise InputError(f"{path}: dtype {self._dtype} is not numeric; expected integers or floats")
        kept = self._dtype if self._dtype.name in _ARROW_TYPES else np.dtype(np.float64)
        self._kept = kept.newbyteorder("=")
        self.schema = pa.schema([(name, pa.from_numpy_dtype(self._kept)) for name in spec.names])

    def _chunk(self, start: int, part: NDArray[Any]) -> Chunk:
        columns = np.asarray(part.reshape(len(part), -1), dtype=self._kept, order="F")
        arrays = [pa.array(columns[:, d], from_pandas=False) for d in range(columns.shape[1])]
        return Chunk(start, pa.RecordBatch.from_arrays(arrays, schema=self.schema))


class ImageSource(_ArraySource):
    """Images (N, H, W, C) uint8, or (N, H, W) for one channel. The table of a chunk has the row numbers."""

    def __init__(self, path: StoragePath, spec: ImageSpec, batch_rows: int) -> None:
        """Raises InputError if the array does not have the shape or dtype of the model's images."""
        super().__init__(path, batch_rows)
        shapes = {spec.row_shape} | ({spec.row_shape[:2]} if spec.channels == 1 else set())
        if self._shape[1:] not in shapes or len(self._shape) < 3:
            raise InputError(f"{path}: shape {self._shape}, expected (N, {', '.join(map(str, spec.row_shape))})")
        if self._dtype != np.uint8:
            raise InputError(f"{path}: dtype {self._dtype}, expected uint8")
        self.schema = pa.schema([("row", pa.int64())])
        self._row_shape = spec.row_shape

    def _chunk(self, start: int, part: NDArray[Any]) -> Chunk:
        numbers = pa.array(np.arange(start, start + len(part)))
        table = pa.RecordBatch.from_arrays([numbers], schema=self.schema)
        return Chunk(start, table, part.reshape(-1, *self._row_shape))


class _RemoteArray:
    """An array in a file that is not local and cannot be memory-mapped. Slicing reads only the rows of the slice."""

    def __init__(self, path: StoragePath) -> None:
        """Raises ValueError if the file is not an array of numbers, InputError if the array is in Fortran order."""
        self._path = path
        with path.open() as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, fortran, self.dtype = read(file)
            self._offset = file.tell()
        if self.dtype.hasobject:
            raise ValueError("an array of objects")
        if fortran and len(self.shape) > 1:
            raise InputError(
                f"{path}: the array is in Fortran order, which is supported for local files only; save it in C order"
            )

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        with self._path.open() as file:
            data = file.read_at((stop - start) * row_bytes, self._offset + start * row_bytes)
        return np.frombuffer(data, self.dtype).reshape(-1, *self.shape[1:])


def mapped(path: Path) -> NDArray[Any]:
    """Memory-map one array of numbers or text.

    Raises:
        InputError: the file is not such an array.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as exc:
        raise InputError(f"{path}: not a .npy file of numbers: {exc}") from exc
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"{path}: the file is an archive of arrays, expected one array as written by numpy.save")
    return array


def _opened(path: StoragePath) -> NDArray[Any] | _RemoteArray:
    if path.is_local:
        return mapped(Path(path.fs_path))
    try:
        return _RemoteArray(path)
    except InputError:
        raise
    except (ValueError, EOFError) as exc:
        raise InputError(f"{path}: not a .npy file of numbers: {exc}") from exc
