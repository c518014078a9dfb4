"""Opens a folder of Parquet files as row groups that can be read in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.frames import index_columns_in
from vaekit_training.data.arrow import categories_in, from_arrow
from vaekit_training.data.sources import parquet_files, refuse_unlike

BUFFER = 2**17  # bytes read ahead per column; without a limit a whole row group would be held in memory


@dataclass(frozen=True)
class Group:
    """One row group of a Parquet file."""

    file: int  # index in Folder.files
    group: int  # index in the file
    start: int  # row number, in the file, of the group's first row
    rows: int


@dataclass(frozen=True)
class Folder:
    """One Parquet file, or all .parquet files below a folder sorted by path. All files have the same columns."""

    source: str
    files: tuple[Path, ...]
    names: tuple[str, ...]  # paths of the files relative to the folder
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    digest: str  # sha256 over names and sizes of the files, schema, and row groups with their statistics
    nulls: dict[str, int | None] = field(default_factory=dict)  # missing cells by column; None: footers lack it
    index: tuple[str, ...] = ()  # columns that hold the index of a pandas frame
    categories: frozenset[str] = frozenset()  # columns that were categories of a pandas frame

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.groups)

    def where(self, group: Group) -> str:
        """The source and the file, for error messages."""
        return f"data {self.source!r}, {self.names[group.file]}"

    def read(self, group: Group, columns: Sequence[str], rows: int) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Columns of a row group in chunks of at most `rows` rows.

        Yields the row number, in the file, of the chunk's first row, and the cells of each column.

        Raises:
            InputError: the file has become unreadable.
        """
        from vaekit.tabular.parquet_files import read_groups

        start, path = group.start, str(self.files[group.file])
        try:
            for batch in read_groups(path, [group.group], columns, rows, buffer=BUFFER, threads=False):
                yield (
                    start,
                    {
                        name: from_arrow(
                            batch.column(name), batch.schema.field(name), is_category=name in self.categories
                        )
                        for name in columns
                    },
                )
                start += batch.num_rows
        except (OSError, ValueError, KeyError) as exc:  # pyarrow raises subclasses of these
            raise InputError(f"{self.where(group)}: {exc}") from exc


def folder(source: str) -> Folder:
    """The row groups of a file or folder; reads footers only.

    Raises:
        InputError: there is no Parquet file, a file is unreadable, or files have different columns.
    """
    import pyarrow.parquet as pq

    top = Path(source)
    files = _files(top)
    if not files:
        what = "" if top.exists() else "no such file or folder; "
        raise InputError(f"data {source!r}: {what}data.read = 'stream' takes a .parquet file or a folder of them")
    names = tuple(str(file.relative_to(top)) if file != top else file.name for file in files)
    sha, groups, first = hashlib.sha256(), [], None
    index: tuple[str, ...] = ()
    categories: frozenset[str] = frozenset()
    nulls: dict[str, int | None] = {}
    for number, file in enumerate(files):
        try:
            with pq.ParquetFile(file) as opened:
                whole, metadata = opened.schema_arrow, opened.metadata
        except (OSError, ValueError) as exc:
            raise InputError(f"data {source!r}, {names[number]}: {exc}") from exc
        schema = whole.remove_metadata()
        if first is None:
            index, categories = index_columns_in(whole), categories_in(whole, metadata.metadata)
        first = schema if first is None else first
        refuse_unlike(f"data {source!r}, {names[number]}", first, schema)
        groups += _groups(number, metadata)
        _count_nulls(nulls, metadata)
        sha.update(repr((names[number], file.stat().st_size, str(schema), _facts(metadata))).encode())
    assert first is not None
    return Folder(source, files, names, tuple(first.names), tuple(groups), sha.hexdigest(), nulls, index, categories)


def release() -> None:
    """Return unused memory that Arrow has cached to the operating system."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _files(top: Path) -> tuple[Path, ...]:
    files = parquet_files(top) if top.exists() else ()
    below = (file.relative_to(top) for file in files if file != top)
    keyed = next((file for file in below if any("=" in part for part in file.parts[:-1])), None)
    if keyed is not None:
        raise InputError(f"data {str(top)!r}: folders named key=value ({keyed.parent}) need data.read = 'memory'")
    return files


def _groups(file: int, metadata: Any) -> list[Group]:
    from vaekit.tabular.parquet_files import group_rows

    sizes = group_rows(metadata)
    starts = np.cumsum([0, *sizes])
    return [Group(file, g, int(starts[g]), rows) for g, rows in enumerate(sizes) if rows]


def _count_nulls(nulls: dict[str, int | None], metadata: Any) -> None:
    """Add each column's number of missing cells, as stated in a file's footer."""
    for g in range(metadata.num_row_groups):
        group = metadata.row_group(g)
        for chunk in (group.column(c) for c in range(group.num_columns)):
            name, statistics = chunk.path_in_schema, chunk.statistics
            more = statistics.null_count if statistics and statistics.has_null_count else None
            so_far = nulls.get(name, 0)
            nulls[name] = None if more is None or so_far is None else so_far + more


def _facts(metadata: Any) -> list[Any]:
    """Rows, bytes and column statistics of each row group."""
    found: list[Any] = []
    for g in range(metadata.num_row_groups):
        group = metadata.row_group(g)
        chunks = [group.column(c) for c in range(group.num_columns)]
        ranges = [(s.min, s.max, s.null_count) if (s := c.statistics) and s.has_min_max else None for c in chunks]
        found.append((group.num_rows, [c.total_compressed_size for c in chunks], ranges))
    return found
