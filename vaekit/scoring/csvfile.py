"""Reads CSV as text, a block at a time. Knows no numbers: what a cell means is for rows.py to say.

Every column is read as text, so that an odd value late in a column that is only passed through cannot fail a run, and
so that `007` and `1e3` leave as they came. UTF-8, one header line, comma, quotes doubled; lines that are empty are
skipped, as pyarrow does, but where the only column would be read from them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv

from vaekit.errors import InputError
from vaekit.scoring.pieces import Piece, translated

BLOCK = 2**20  # bytes; pyarrow reads some of them ahead; also the longest line that can be read


class CsvSource:
    """One CSV file."""

    text = True
    unit: Literal["rows", "bytes"] = "bytes"

    def __init__(self, path: Path, batch_rows: int) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._batch_rows = batch_rows
        self._file: pa.NativeFile | None = None
        self._read = 0
        names, self._empty = _header(path)
        self.schema = pa.schema([(name, pa.string()) for name in names])

    def done(self) -> int:
        return self._read if self._file is None else int(self._file.tell())

    def pieces(self) -> Iterator[Piece]:
        start = 0
        with translated(self.path):
            for block in self._blocks():
                for first in range(0, block.num_rows, self._batch_rows):
                    piece = block.slice(first, self._batch_rows)
                    yield Piece(start, piece)
                    start += piece.num_rows

    def _blocks(self) -> Iterator[pa.RecordBatch]:
        if self._empty:
            return
        with pa.OSFile(str(self.path)) as self._file:
            yield from pyarrow.csv.open_csv(
                self._file,
                read_options=pyarrow.csv.ReadOptions(block_size=BLOCK),
                parse_options=pyarrow.csv.ParseOptions(
                    newlines_in_values=True, ignore_empty_lines=len(self.schema) > 1
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types={name: pa.string() for name in self.schema.names}, strings_can_be_null=False
                ),
            )
        self._file, self._read = None, self.size


def _header(path: Path) -> tuple[list[str], bool]:
    """Column names, and whether no row follows them."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names = next(csv.reader(file), [])
            empty = next(file, None) is None
    except (UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"{path}: {exc}") from exc
    if not names:
        raise InputError(f"{path}: no header line")
    return names, empty
