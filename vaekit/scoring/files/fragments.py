"""What every input has in common: fragments of record batches with row numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.scoring.files.paths import Place


@dataclass(frozen=True)
class InputFile:
    """A file of an input, as it was when the input was opened."""

    name: str  # relative to the input's folder; of an input that is a file, its own
    size: int  # bytes
    changed: int  # nanoseconds since 1970; 0 where the file system does not say


@dataclass(frozen=True)
class Fragment:
    """Rows of one file that are read, scored and written together."""

    file: InputFile
    start: int = 0  # number of the first row over the whole input
    rows: int | None = None  # None: nobody knows before they are read
    first: int = 0  # the first row group, record batch or row of the file that belongs to it
    count: int | None = None  # how many of those; None: all
    keys: dict[str, Any] = field(default_factory=dict)  # of folders named key=value


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of an input."""

    start: int  # number of the first one over the whole input, from 0
    table: pa.RecordBatch  # what the input says of them
    pixels: NDArray[np.uint8] | None = None  # (n, H, W, C), where the input is pictures


class RowSource(Protocol):
    """An input, open; what is open of it travels to another process."""

    @property
    def place(self) -> Place: ...

    @property
    def schema(self) -> pa.Schema:
        """Of every chunk's table."""

    @property
    def text(self) -> bool:
        """Whether numbers are written as text."""

    @property
    def indices(self) -> bool:
        """Whether categories are written as indices of their levels."""

    @property
    def keys(self) -> Sequence[str]:
        """Columns that folders named key=value give."""

    @property
    def size(self) -> int:
        """The whole input, in `unit`."""

    @property
    def unit(self) -> Literal["rows", "bytes"]: ...

    def done(self) -> int:
        """How much of `size` has been read."""

    def fragments(self, part_rows: int | None = None) -> list[Fragment]:
        """The rows in order, cut at files and, where a format knows its rows, after about so many rows."""

    def read(self, fragment: Fragment) -> Iterator[Chunk]:
        """The rows of a fragment in order.

        Raises:
            InputError: the input cannot be read on.
        """

    def chunks(self) -> Iterator[Chunk]:
        """All rows in order; raises as read."""


def runs(rows: Sequence[int], part_rows: int | None) -> Iterator[tuple[int, int]]:
    """(first, count) of row groups that together have part_rows rows or just more; the last may have fewer."""
    first, held = 0, 0
    for i, n in enumerate(rows):
        held += n
        if part_rows is not None and held >= part_rows:
            yield first, i + 1 - first
            first, held = i + 1, 0
    if first < len(rows) or not rows:
        yield first, len(rows) - first


def file_of(place: Place, name: str | None = None) -> InputFile:
    """A file of an input, as it is now."""
    info = place.info
    return InputFile(name or info.base_name, int(info.size or 0), int(info.mtime_ns or 0))


@contextmanager
def translated(where: object) -> Iterator[None]:
    """The border: what pyarrow and the system say of a file that cannot be read leaves as an InputError."""
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"{where}: {exc}") from exc
