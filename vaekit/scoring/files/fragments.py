"""The interface of every input: fragments and chunks of rows with their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.storage.paths import StoragePath
from vaekit.tabular.csv_text import CsvDialect


@dataclass(frozen=True)
class InputFile:
    """A file of an input: its state when the input was opened."""

    name: str  # relative to the input's folder; its own name if the input is a file
    size: int  # bytes
    changed: int  # nanoseconds since 1970; 0 if the file system does not report it


@dataclass(frozen=True)
class Fragment:
    """Rows of one file that are read, scored and written together."""

    file: InputFile
    start: int = 0  # number of the first row in the whole input
    rows: int | None = None  # None: unknown until they are read
    first: int = 0  # first row group, record batch or row of the file in this fragment
    count: int | None = None  # number of them; None: all
    keys: dict[str, Any] = field(default_factory=dict)  # values of folders named key=value


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of an input."""

    start: int  # number of the first row in the whole input, from 0
    table: pa.RecordBatch  # their columns
    pixels: NDArray[np.uint8] | None = None  # (n, H, W, C), if the input is images
    faults: tuple[str | None, ...] = ()  # (n,), why an image cannot be read, None if it can; (): all can


class RowSource(Protocol):
    """An open input. It can be pickled and sent to another process."""

    @property
    def path(self) -> StoragePath: ...

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table of every chunk."""

    @property
    def text(self) -> bool:
        """Whether numbers are read as text."""

    @property
    def dialect(self) -> CsvDialect:
        """How numbers are written as text."""

    @property
    def indices(self) -> bool:
        """Whether categories are read as indices of levels."""

    @property
    def remarks(self) -> Sequence[str]:
        """Which files of a folder were skipped, as sentences."""

    @property
    def keys(self) -> Sequence[str]:
        """Columns that come from folders named key=value."""

    @property
    def size(self) -> int:
        """Size of the whole input, in `unit`."""

    @property
    def unit(self) -> Literal["rows", "bytes"]: ...

    def done(self) -> int:
        """How much of `size` has been read."""

    def fragments(self, part_rows: int | None = None) -> list[Fragment]:
        """Fragments in order: one per file or, if the format has row counts, about `part_rows` rows each."""

    def read(self, fragment: Fragment) -> Iterator[Chunk]:
        """The rows of a fragment in order.

        Raises:
            InputError: the input cannot be read.
        """

    def chunks(self) -> Iterator[Chunk]:
        """All rows in order. Raises the same errors as `read`."""


def row_group_ranges(rows: Sequence[int], part_rows: int | None) -> Iterator[tuple[int, int]]:
    """Ranges (first, count) of consecutive row groups with at least part_rows rows each; the last may have fewer."""
    first, total = 0, 0
    for i, n in enumerate(rows):
        total += n
        if part_rows is not None and total >= part_rows:
            yield first, i + 1 - first
            first, total = i + 1, 0
    if first < len(rows) or not rows:
        yield first, len(rows) - first


def file_of(path: StoragePath) -> InputFile:
    """Describe a file of an input as it is now."""
    info = path.info
    return InputFile(info.base_name, int(info.size or 0), int(info.mtime_ns or 0))


@contextmanager
def translated(where: object) -> Iterator[None]:
    """Turn errors of pyarrow and of the system while reading `where` into InputError."""
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"{where}: {exc}") from exc
