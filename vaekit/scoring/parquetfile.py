"""Reads a Parquet file, or a folder of them, in bounded batches. Knows files and schemas, not what rows mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, LocalFileSystem

from vaekit.errors import InputError
from vaekit.scoring.pieces import Piece, translated

BUFFER = 2**20  # bytes read ahead of each column: without it, a whole row group is held


class ParquetSource:
    """One file, or the .parquet files of a folder in the order of their paths, all of one schema.

    Files and folders whose name starts with a dot or an underscore are left out, as other readers do.
    Folders named `key=value` give a column to the rows under them.
    """

    text, indices = False, False
    unit: Literal["rows", "bytes"] = "rows"

    def __init__(self, path: Path, batch_rows: int) -> None:
        """Raises InputError where there is no file, or where the columns of one differ from those of the first."""
        self.path = path
        self._batch_rows = batch_rows
        self._done = 0
        dataset = _folder(path) if path.is_dir() else ds.dataset(str(path), format="parquet", partitioning="hive")
        self._files = sorted(dataset.get_fragments(), key=lambda file: str(file.path))
        first = self._files[0].physical_schema
        for file in self._files:
            _check_same(path, first, file)
        self._keys = [field for field in dataset.schema if field.name not in first.names]
        self.schema = pa.schema([*first, *self._keys], metadata=first.metadata)
        self.size = sum(file.metadata.num_rows for file in self._files)

    def done(self) -> int:
        return self._done

    def pieces(self) -> Iterator[Piece]:
        for file in self._files:
            keys = ds.get_partition_keys(file.partition_expression)
            with (
                translated(Path(file.path)),
                pq.ParquetFile(file.path, filesystem=file.filesystem, buffer_size=BUFFER, pre_buffer=False) as rows,
            ):
                for batch in rows.iter_batches(batch_size=self._batch_rows):
                    start = self._done
                    self._done += batch.num_rows
                    yield Piece(start, self._with_keys(batch, keys))

    def _with_keys(self, batch: pa.RecordBatch, keys: dict[str, Any]) -> pa.RecordBatch:
        constants = [pa.repeat(pa.scalar(keys.get(key.name), key.type), batch.num_rows) for key in self._keys]
        return pa.RecordBatch.from_arrays([*batch.columns, *constants], schema=self.schema)


def _folder(path: Path) -> ds.Dataset:
    everything = LocalFileSystem().get_file_info(FileSelector(str(path), recursive=True))
    files = [file.path for file in everything if file.is_file and _is_part(Path(file.path).relative_to(path))]
    if not files:
        raise InputError(f"{path}: holds no .parquet files")
    return ds.dataset(files, format="parquet", partitioning="hive", partition_base_dir=str(path))


def _is_part(file: Path) -> bool:
    return file.suffix.lower() == ".parquet" and not any(part.startswith((".", "_")) for part in file.parts)


def _check_same(folder: Path, first: pa.Schema, file: Any) -> None:
    schema = file.physical_schema
    if schema.equals(first, check_metadata=False):
        return
    known = {field.name: field.type for field in first}
    here = {field.name: field.type for field in schema}
    odd = next((name for name in [*known, *here] if known.get(name) != here.get(name)), None)
    what = "the order of its columns" if odd is None else f"column {odd!r}: {here.get(odd, 'missing')}"
    raise InputError(f"{folder}: {file.path} differs from the first file in {what}")
