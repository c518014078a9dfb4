"""Reads Parquet files, folders of Parquet files and Arrow files in bounded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa

from vaekit.errors import InputError
from vaekit.scoring.files.fragments import Chunk, Fragment, InputFile, file_of, row_group_ranges, translated
from vaekit.storage.paths import StoragePath
from vaekit.tabular import parquet_files
from vaekit.tabular.csv_text import PLAIN

BUFFER = 2**20  # bytes read ahead per column; without it a whole row group is in memory


@dataclass(frozen=True)
class _TableFile:
    """One file: the rows of each row group or record batch, and the values of its key=value folders."""

    file: InputFile
    rows: tuple[int, ...]
    keys: dict[str, Any]


class TableSource:
    """One or more files with the same schema and rows in groups. `columns` are the columns to read; None: all."""

    text, indices, dialect = False, False, PLAIN
    unit: Literal["rows", "bytes"] = "rows"
    remarks: Sequence[str] = ()

    def __init__(self, path: StoragePath, batch_rows: int, columns: Sequence[str] | None = None) -> None:
        self.path = path
        self._is_folder = path.is_folder
        self._batch_rows = batch_rows
        self._done = 0
        self._tables, whole, keys = self._open()
        self.keys = [key.name for key in keys]
        known = pa.schema([*whole, *keys], metadata=whole.metadata)
        read = [field for field in known if columns is None or field.name in set(columns)]
        self.schema = pa.schema(read, metadata=whole.metadata)
        self._names = [field.name for field in read if field.name not in self.keys]
        self.size = sum(sum(table.rows) for table in self._tables)

    def done(self) -> int:
        return self._done

    def fragments(self, part_rows: int | None = None) -> list[Fragment]:
        found, start = [], 0
        for table in self._tables:
            for first, count in row_group_ranges(table.rows, part_rows):
                rows = sum(table.rows[first : first + count])
                found.append(Fragment(table.file, start, rows, first, count, table.keys))
                start += rows
        return found

    def chunks(self) -> Iterator[Chunk]:
        for fragment in self.fragments():
            yield from self.read(fragment)

    def read(self, fragment: Fragment) -> Iterator[Chunk]:
        start = fragment.start
        file = self.path.below(fragment.file.name) if self._is_folder else self.path
        with translated(file):
            for batch in self._batches(file, fragment):
                self._done += batch.num_rows
                yield Chunk(start, self._with_keys(batch, fragment.keys))
                start += batch.num_rows

    def _open(self) -> tuple[list[_TableFile], pa.Schema, list[pa.Field]]:
        raise NotImplementedError  # differs by format

    def _batches(self, file: StoragePath, fragment: Fragment) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError  # differs by format

    def _with_keys(self, batch: pa.RecordBatch, keys: dict[str, Any]) -> pa.RecordBatch:
        arrays = []
        for field in self.schema:
            if field.name in self.keys:
                arrays.append(pa.repeat(pa.scalar(keys.get(field.name), field.type), batch.num_rows))
            else:
                arrays.append(batch.column(field.name))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


class ParquetSource(TableSource):
    """One file, or the .parquet files of a folder in path order, which must have the same schema.

    `vaekit.tabular.parquet_files` selects the files.
    """

    def _open(self) -> tuple[list[_TableFile], pa.Schema, list[pa.Field]]:
        """Raises InputError if there is no file, or if the columns of a file differ from those of the first."""
        names = _input_files(self.path) if self._is_folder else {self.path.fs_path: file_of(self.path)}
        base = self.path.fs_path if self._is_folder else None
        dataset = parquet_files.dataset(names, base, self.path.filesystem)
        fragments = parquet_files.fragments(dataset)
        first = fragments[0].physical_schema
        for fragment in fragments:
            _check_same(self.path, first, fragment)
        tables = [
            _TableFile(names[file.path], parquet_files.group_rows(file.metadata), parquet_files.keys_of(file))
            for file in fragments
        ]
        return tables, first, [field for field in dataset.schema if field.name not in first.names]

    def _batches(self, file: StoragePath, fragment: Fragment) -> Iterator[pa.RecordBatch]:
        groups = range(fragment.first, fragment.first + (fragment.count or 0))
        yield from parquet_files.read_groups(
            file.fs_path, groups, self._names, self._batch_rows, buffer=BUFFER, filesystem=file.filesystem
        )


class ArrowSource(TableSource):
    """One Arrow IPC file (.arrow, .feather of version 2)."""

    def _open(self) -> tuple[list[_TableFile], pa.Schema, list[pa.Field]]:
        with self.path.open() as file:
            schema = pa.ipc.open_file(file).schema
            one_column = pa.ipc.IpcReadOptions(included_fields=[0] if len(schema) else None)  # enough to count the rows
            batches = pa.ipc.open_file(file, options=one_column)
            rows = tuple(batches.get_batch(i).num_rows for i in range(batches.num_record_batches))
        return [_TableFile(file_of(self.path), rows, {})], schema, []

    def _batches(self, file: StoragePath, fragment: Fragment) -> Iterator[pa.RecordBatch]:
        with file.open() as opened:
            schema = pa.ipc.open_file(opened).schema
            wanted = [schema.get_field_index(name) for name in self._names]
            batches = pa.ipc.open_file(opened, options=pa.ipc.IpcReadOptions(included_fields=wanted))
            for i in range(fragment.first, fragment.first + (fragment.count or 0)):
                batch = batches.get_batch(i)
                for at in range(0, batch.num_rows, self._batch_rows):
                    yield batch.slice(at, self._batch_rows)


def _input_files(folder: StoragePath) -> dict[str, InputFile]:
    """The Parquet files of a folder by path."""
    found = {}
    for info in folder.files():
        name = folder.name_of(info)
        if parquet_files.is_data_file(PurePosixPath(name)):
            found[info.path] = InputFile(name, int(info.size or 0), int(info.mtime_ns or 0))
    if not found:
        raise InputError(f"{folder}: no .parquet files in this folder")
    return found


def _check_same(folder: StoragePath, first: pa.Schema, file: Any) -> None:
    schema = file.physical_schema
    if schema.equals(first, check_metadata=False):
        return
    found = parquet_files.first_difference(first, schema)
    what = "the order of its columns" if found is None else f"column {found[0]!r}: {found[2]}"
    raise InputError(f"{folder}: {file.path} differs from the first file in {what}")
