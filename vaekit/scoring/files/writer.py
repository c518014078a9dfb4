"""Writes a file beside its target and renames it when it is whole."""

from __future__ import annotations

import io
import os
import secrets
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vaekit.bundle.write import sync
from vaekit.errors import InputError, VaeError
from vaekit.scoring.files.paths import Place, place

ROW_GROUP = 32 * 2**20  # bytes of a row group before it is encoded, but for its last batch
MARK = ".writing-"  # in the name of a file that is not whole yet


class TableWriter(Protocol):
    """Takes record batches of one schema."""

    def write_batch(self, batch: pa.RecordBatch) -> None: ...


@contextmanager
def replacing(where: Path | str | Place) -> Iterator[Path]:
    """A new file to write, which becomes `where` when the block ends well and is deleted when it does not.

    On a local disk it lies in the same folder under a hidden name, and is synced before it is renamed. On any other
    file system it is written here and sent when it is whole. `where` is the old file or the whole new one at any time.

    Raises:
        VaeError: it cannot be written.
    """
    target = place(where)
    try:
        with _beside(target) if target.is_local else _sent(target) as temp:
            yield temp
    except OSError as exc:
        raise VaeError(f"{target}: cannot be written: {exc.strerror or exc}") from exc
    except pa.ArrowException as exc:
        raise VaeError(f"{target}: cannot be written: {exc}") from exc


@contextmanager
def _beside(target: Place) -> Iterator[Path]:
    real = Path(os.path.realpath(target.path))
    temp = real.with_name(f".{real.name}{MARK}{secrets.token_hex(4)}")
    try:
        yield temp
        sync(temp)
        temp.replace(real)
        sync(real.parent)
    finally:
        temp.unlink(missing_ok=True)


@contextmanager
def _sent(target: Place) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vaekit-") as folder:
        temp = Path(folder) / "whole"
        yield temp
        target.receive(temp)


def make_folder(folder: Place) -> None:
    """Make it, and those above it, where they are not there yet; a store needs none, but its bucket must be there.

    Raises:
        InputError: it is not.
        VaeError: the folder cannot be made.
    """
    if folder.is_in_store:
        folder.check_bucket()  # to make a folder there is to write empty objects, for each folder above it as well
        return
    try:
        folder.filesystem.create_dir(folder.path, recursive=True)
    except (pa.ArrowException, OSError) as exc:
        raise VaeError(f"{folder}: cannot be made: {exc}") from exc


@contextmanager
def table_writer(file: Path, ending: str, schema: pa.Schema) -> Iterator[TableWriter]:
    """A writer of the format that the ending names, .parquet or .csv; the file is closed at the end of the block."""
    if ending == ".csv":
        with pyarrow.csv.CSVWriter(str(file), schema) as lines:
            yield lines
        return
    # Floats hardly ever repeat: to look for repetitions takes six times as long as to write them, and more of the disk.
    repeats = [field.name for field in schema if not pa.types.is_floating(field.type)]
    with pq.ParquetWriter(file, schema, use_dictionary=repeats) as parquet, ThreadPoolExecutor(1) as thread:
        groups = _RowGroups(parquet, thread)
        yield groups
        groups.finish()


@contextmanager
def replacing_table(where: Place, schema: pa.Schema) -> Iterator[TableWriter]:
    """A writer of a table that becomes `where` when the block ends well, as `replacing` has it."""
    with replacing(where) as temp, table_writer(temp, where.suffix, schema) as writer:
        yield writer


class _RowGroups:
    """Gathers batches into row groups of a size that readers like, each written while the next one is gathered."""

    def __init__(self, writer: pq.ParquetWriter, thread: Executor) -> None:
        self._writer, self._thread = writer, thread
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0
        self._written: Future[None] | None = None  # of the group before

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= ROW_GROUP:
            self._write()

    def finish(self) -> None:
        """All is written when this returns."""
        if self._waiting:
            self._write()
        self._wait()

    def _write(self) -> None:
        self._wait()
        self._written = self._thread.submit(self._writer.write_table, pa.Table.from_batches(self._waiting))
        self._waiting, self._bytes = [], 0

    def _wait(self) -> None:
        """Raises what the writing of the group before has raised."""
        if self._written is not None:
            self._written.result()


def check_output(output: Place, source: Place) -> str:
    """The output file's ending, once it is known that writing there can do no harm.

    Raises:
        InputError: another ending than .parquet or .csv, a folder, nothing to write in, or the input itself.
    """
    if output.suffix not in (".parquet", ".csv"):
        raise InputError(f"{output}: the output ends in .parquet or .csv, or is a folder")
    if output.is_folder:
        raise InputError(f"{output}: a folder; the output is one file")
    if output.is_local and not (folder := Path(output.path).parent).is_dir():
        raise InputError(f"{output}: no folder {folder}")
    output.check_bucket()
    check_apart(output, source)
    return output.suffix


def check_apart(output: Place, source: Place) -> None:
    """Refuse an output that is the input, or lies in it.

    Raises:
        InputError: it does.
    """
    if output.same_as(source):
        raise InputError(f"{output}: input and output are the same file")
    if output.lies_in(source):
        raise InputError(f"{output}: lies in the input, {source}, and would be read as a part of it next time")


def check_quarantine(quarantine: Place, source: Place, output: Place, schema: pa.Schema) -> None:
    """Refuse a file for bad rows that cannot be one, or would be taken for input or output.

    Raises:
        InputError: as check_output and check_schema, and where it is the output or lies in it.
    """
    check_schema(check_output(quarantine, source), schema)
    if quarantine.same_as(output) or quarantine.lies_in(output):
        raise InputError(f"{quarantine}: the quarantine is the output, or lies in it")


def check_schema(ending: str, schema: pa.Schema) -> None:
    """Refuse, before anything is written, a column that the format cannot hold.

    Raises:
        InputError: the column is named.
    """
    for field in schema if ending == ".csv" else ():
        if not _fits_csv(field.type):
            raise InputError(f"column {field.name!r} of {field.type} cannot be written as CSV; use .parquet")


def _fits_csv(kind: pa.DataType) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_binary(values) or pa.types.is_large_binary(values) or pa.types.is_fixed_size_binary(values):
        return False  # pyarrow writes those bytes that happen to be UTF-8, and fails on the first others
    try:
        pyarrow.csv.write_csv(pa.table([pa.nulls(1, kind)], names=["x"]), io.BytesIO())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
