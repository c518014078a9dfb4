"""Lists the Parquet files of a folder in a fixed order, and reads their row groups.

Files and folders whose name starts with a dot or an underscore are skipped, as in other readers. A folder named
`key=value` adds a column to the rows below it. Files are read in the order of their paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from vaekit.tabular.folders import is_hidden


def is_data_file(file: PurePath) -> bool:
    """Whether a file is read, by its path relative to the folder of the dataset."""
    return file.suffix.lower() == ".parquet" and not is_hidden(file)


def dataset(paths: Iterable[str], base: str | None, filesystem: fs.FileSystem | None = None) -> ds.Dataset:
    """The files as one dataset; folders named `key=value` below `base` add columns."""
    keyed = ds.partitioning(flavor="hive")
    return ds.dataset(list(paths), filesystem=filesystem, format="parquet", partitioning=keyed, partition_base_dir=base)


def fragments(found: ds.Dataset) -> list[ds.Fragment]:
    """The files of a dataset, in the order of their paths."""
    return sorted(found.get_fragments(), key=lambda file: str(file.path))


def keys_of(fragment: ds.Fragment) -> dict[str, Any]:
    """The columns that the file's `key=value` folders add, and their values."""
    return dict(ds.get_partition_keys(fragment.partition_expression))


def group_rows(metadata: pq.FileMetaData) -> tuple[int, ...]:
    """The number of rows in each row group."""
    return tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))


def first_difference(first: pa.Schema, schema: pa.Schema) -> tuple[str, str, str] | None:
    """(name, type in the first file, type in this file) of the first column that differs; None if no column differs."""
    known, here = ({field.name: field.type for field in fields} for fields in (first, schema))
    name = next((name for name in (*known, *here) if known.get(name) != here.get(name)), None)
    return None if name is None else (name, str(known.get(name, "missing")), str(here.get(name, "missing")))


def read_groups(
    path: str,
    groups: Sequence[int],
    columns: Sequence[str],
    batch_rows: int,
    *,
    buffer: int,
    filesystem: fs.FileSystem | None = None,
    threads: bool = True,
) -> Iterator[pa.RecordBatch]:
    """Columns of some row groups, in batches of at most batch_rows rows.

    Args:
        path: the path of the file.
        groups: indices of the row groups in the file.
        columns: names of the columns.
        batch_rows: the maximum number of rows in a batch.
        buffer: number of bytes to read ahead per column; without a buffer, a whole row group is held in memory.
        filesystem: None: the local filesystem.
        threads: whether columns are decoded in parallel.
    """
    with pq.ParquetFile(path, filesystem=filesystem, buffer_size=buffer, pre_buffer=False) as file:
        yield from file.iter_batches(
            batch_size=batch_rows, row_groups=list(groups), columns=list(columns), use_threads=threads
        )
