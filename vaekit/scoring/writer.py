"""Writes a table beside its target and puts it there whole, or leaves nothing. Knows files, not what rows mean."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vaekit.bundle.store import sync
from vaekit.errors import InputError, VaeError

ROW_GROUP = 32 * 2**20  # bytes of a row group before it is encoded, but for its last batch


class TableWriter(Protocol):
    """Takes record batches of one schema."""

    def write_batch(self, batch: pa.RecordBatch) -> None: ...


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file to write, which becomes `path` when the block ends well and is deleted when it does not.

    It lies in the same folder under a hidden name, and is synced to disk before it is renamed: `path` is the old file
    or the whole new one at any time.
    """
    target = Path(os.path.realpath(path))
    temp = target.with_name(f".{target.name}.writing-{secrets.token_hex(4)}")
    try:
        yield temp
        sync(temp)
        temp.replace(target)
        sync(target.parent)
    except OSError as exc:
        raise VaeError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    except pa.ArrowException as exc:
        raise VaeError(f"{path}: cannot be written: {exc}") from exc
    finally:
        temp.unlink(missing_ok=True)


@contextmanager
def table_writer(file: Path, ending: str, schema: pa.Schema) -> Iterator[TableWriter]:
    """A writer of the format that the ending names, .parquet or .csv; the file is closed at the end of the block."""
    if ending == ".csv":
        with pyarrow.csv.CSVWriter(str(file), schema) as lines:
            yield lines
        return
    with pq.ParquetWriter(file, schema) as parquet:
        groups = _RowGroups(parquet)
        yield groups
        groups.flush()


class _RowGroups:
    """Gathers batches into row groups of a size that readers like."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
        self._waiting, self._bytes = [], 0


def check_output(output: Path, source: Path) -> str:
    """The output's ending, once it is known that writing there can do no harm.

    Raises:
        InputError: another ending than .parquet or .csv, a folder, no folder to write in, or the input itself.
    """
    ending = output.suffix.lower()
    if ending not in (".parquet", ".csv"):
        raise InputError(f"{output}: the output ends in .parquet or .csv")
    if output.is_dir():
        raise InputError(f"{output}: a folder; the output is one file")
    if not output.parent.is_dir():
        raise InputError(f"{output}: no folder {output.parent}")
    written, read = Path(os.path.realpath(output)), Path(os.path.realpath(source))
    if written == read or (written.exists() and read.exists() and written.samefile(read)):
        raise InputError(f"{output}: input and output are the same file")
    if read in written.parents:
        raise InputError(f"{output}: lies in the input, {source}, and would be read as a part of it next time")
    return ending


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
