"""Writes a file under a temporary name and renames it when it is complete."""

from __future__ import annotations

import io
import os
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vaekit.bundle.disk import temporary_folder, writing
from vaekit.bundle.write import sync
from vaekit.errors import InputError, StorageError
from vaekit.storage.paths import StoragePath, storage_path

ROW_GROUP = 32 * 2**20  # bytes in memory after which a row group is written
INCOMPLETE = ".writing-"  # in the name of a file that is not complete yet


class TableWriter(Protocol):
    """Writes record batches of one schema."""

    def write_batch(self, batch: pa.RecordBatch) -> None: ...


@contextmanager
def replacing(where: Path | str | StoragePath) -> Iterator[Path]:
    """A new file to write. It replaces `where` when the block ends, and is deleted if the block raises.

    On a local disk the new file has a hidden name in the same folder and is synced before it is renamed. For any other
    file system it is written to a temporary folder and uploaded when it is complete. `where` is always the complete old
    file or the complete new one.

    Raises:
        StorageError: the file cannot be written.
    """
    target = storage_path(where)
    try:
        with writing(target), _local_file(target) if target.is_local else _uploaded_file(target) as temp:
            yield temp
    except pa.ArrowException as exc:
        raise StorageError(f"{target}: cannot be written: {exc}") from exc


@contextmanager
def _local_file(target: StoragePath) -> Iterator[Path]:
    real = Path(os.path.realpath(target.fs_path))
    temp = real.with_name(f".{real.name}{INCOMPLETE}{secrets.token_hex(4)}")
    try:
        yield temp
        sync(temp)
        temp.replace(real)
        sync(real.parent)
    finally:
        temp.unlink(missing_ok=True)


@contextmanager
def _uploaded_file(target: StoragePath) -> Iterator[Path]:
    with temporary_folder() as folder:
        temp = folder / "complete"
        yield temp
        target.upload(temp)


def make_folder(folder: StoragePath) -> None:
    """Make a folder and its parents. An object store needs no folders, but its bucket must exist.

    Raises:
        InputError: the bucket does not exist.
        StorageError: the folder cannot be created.
    """
    if folder.is_in_store:
        folder.check_bucket()  # create_dir would add an empty object for the folder and for each parent
        return
    try:
        folder.filesystem.create_dir(folder.fs_path, recursive=True)
    except (pa.ArrowException, OSError) as exc:
        raise StorageError(f"{folder}: the folder cannot be created: {exc}") from exc


@contextmanager
def output_file(target: StoragePath) -> Iterator[Path | BinaryIO]:
    """The file to write for an output: a new one that replaces it, or standard output as it is.

    Raises:
        InputError: standard output takes no bytes, as in a notebook.
        StorageError: the file cannot be written.
    """
    if not target.is_stdout:
        with replacing(target) as temp:
            yield temp
        return
    stream: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    if stream is None:
        raise InputError(f"{target}: standard output takes no bytes here, expected a .parquet or .csv file")
    with writing("standard output"):
        sys.stdout.flush()
        yield stream
        stream.flush()


@contextmanager
def table_writer(file: Path | BinaryIO, ending: str, schema: pa.Schema) -> Iterator[TableWriter]:
    """A writer for .parquet or .csv; a file given by its path is closed at the end of the block."""
    if ending == ".csv":
        with pyarrow.csv.CSVWriter(str(file) if isinstance(file, Path) else file, schema) as lines:
            yield lines
        return
    # No dictionaries for floats, which rarely repeat: with them, writing takes six times as long and more disk space.
    repeats = [field.name for field in schema if not pa.types.is_floating(field.type)]
    with pq.ParquetWriter(file, schema, use_dictionary=repeats) as parquet, ThreadPoolExecutor(1) as thread:
        groups = _RowGroups(parquet, thread)
        yield groups
        groups.finish()


@contextmanager
def replacing_table(where: StoragePath, schema: pa.Schema) -> Iterator[TableWriter]:
    """A table writer whose file replaces `where` as in `replacing`."""
    with replacing(where) as temp, table_writer(temp, where.suffix, schema) as writer:
        yield writer


class _RowGroups:
    """Collects batches into row groups; a thread writes one group while the next is collected."""

    def __init__(self, writer: pq.ParquetWriter, thread: Executor) -> None:
        self._writer, self._thread = writer, thread
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0
        self._written: Future[None] | None = None  # the previous group

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= ROW_GROUP:
            self._write()

    def finish(self) -> None:
        """Write the last group and wait for it."""
        if self._waiting:
            self._write()
        self._wait()

    def _write(self) -> None:
        self._wait()
        self._written = self._thread.submit(self._writer.write_table, pa.Table.from_batches(self._waiting))
        self._waiting, self._bytes = [], 0

    def _wait(self) -> None:
        """Wait for the previous group; raises its error."""
        if self._written is not None:
            self._written.result()


def check_output(output: StoragePath, source: StoragePath) -> str:
    """Check an output file and return its ending, .csv for standard output.

    Raises:
        InputError: the ending is not .parquet or .csv, the path is a folder, its folder or bucket does not exist, or
            the output is the input or lies in it.
    """
    if output.is_stdout:
        return ".csv"
    if output.suffix not in (".parquet", ".csv"):
        raise InputError(f"{output}: expected an output that ends in .parquet or .csv, or a folder")
    if output.is_folder:
        raise InputError(f"{output}: an existing folder, expected a file")
    if output.is_local and not (folder := Path(output.fs_path).parent).is_dir():
        raise InputError(f"{output}: folder {folder} does not exist")
    output.check_bucket()
    check_apart(output, source)
    return output.suffix


def check_apart(output: StoragePath, source: StoragePath) -> None:
    """Refuse an output that is the input or lies in it.

    Raises:
        InputError: the output is the input or lies in it.
    """
    if output.same_as(source):
        raise InputError(f"{output}: input and output are the same file")
    if output.lies_in(source):
        raise InputError(
            f"{output}: lies in the input {source}, so that the next run would read it; choose another folder"
        )


def check_quarantine(quarantine: StoragePath, source: StoragePath, output: StoragePath, schema: pa.Schema) -> None:
    """Check the file for invalid rows.

    Raises:
        InputError: as from check_output and check_schema, or the file is the output or lies in it.
    """
    if quarantine.is_stdout:
        raise InputError(f"{quarantine}: standard output is for scored rows, expected a .parquet or .csv file")
    check_schema(check_output(quarantine, source), schema)
    if quarantine.same_as(output) or quarantine.lies_in(output):
        raise InputError(f"{quarantine}: the quarantine file is the output or lies in it; choose another path")


def check_schema(ending: str, schema: pa.Schema) -> None:
    """Refuse a column that the format cannot store, before anything is written.

    Raises:
        InputError: the format cannot store a column; the message names it.
    """
    for field in schema if ending == ".csv" else ():
        if not _fits_csv(field.type):
            raise InputError(f"column {field.name!r} of {field.type} cannot be written as CSV; use .parquet")


def _fits_csv(kind: pa.DataType) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_binary(values) or pa.types.is_large_binary(values) or pa.types.is_fixed_size_binary(values):
        return False  # pyarrow fails at the first bytes that are not valid UTF-8
    try:
        pyarrow.csv.write_csv(pa.table([pa.nulls(1, kind)], names=["x"]), io.BytesIO())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
