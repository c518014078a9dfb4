"""Reads CSV as text, a block at a time. Knows no numbers: what a cell means is for rows.py to say.

Every column is read as text, so that an odd value late in a column that is only passed through cannot fail a run, and
so that `007` and `1e3` leave as they came. UTF-8, one header line, comma, quotes doubled; lines that are empty are
skipped, as pyarrow does, but where the only column would be read from them.

pyarrow takes a quote that is never closed for one long value and says nothing of the rows in it, so the quotes of the
whole file are checked before it is read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.csv

from vaekit.errors import InputError
from vaekit.scoring.files.fragments import Chunk, Fragment, file_of, translated
from vaekit.scoring.files.paths import Place

BLOCK = 2**20  # bytes; pyarrow reads some of them ahead; also the longest row, which must fit in two of them anywhere

_FIELD = r'(?:"[^"]*+(?:""[^"]*+)*+"|[^",\r\n][^,\r\n]*+)?+'  # quoted, plain or empty
_FIELDS = re.compile(rf"(?:{_FIELD},)*+{_FIELD}[\r\n]*+")


class CsvSource:
    """One CSV file, which is one fragment; `columns` names those that are read, None: all."""

    text, indices = True, False
    unit: Literal["rows", "bytes"] = "bytes"
    keys: Sequence[str] = ()

    def __init__(self, place: Place, batch_rows: int, columns: Sequence[str] | None = None) -> None:
        self.place = place
        self.size = int(place.info.size)
        self._batch_rows = batch_rows
        self._read = 0
        _check_quotes(place)
        names, self._empty = _header(place)
        self._ignore_empty_lines = len(names) > 1
        self._known = names
        self.schema = pa.schema([(name, pa.string()) for name in names if columns is None or name in set(columns)])

    def done(self) -> int:
        return self._read

    def fragments(self, part_rows: int | None = None) -> list[Fragment]:  # noqa: ARG002  its rows are not known
        return [Fragment(file_of(self.place))]

    def pieces(self) -> Iterator[Chunk]:
        return self.read(self.fragments()[0])

    def read(self, fragment: Fragment) -> Iterator[Chunk]:
        start = fragment.start
        with translated(self.place):
            for block in self._blocks():
                for first in range(0, block.num_rows, self._batch_rows):
                    piece = block.slice(first, self._batch_rows)
                    yield Chunk(start, piece)
                    start += piece.num_rows

    def _blocks(self) -> Iterator[pa.RecordBatch]:
        if self._empty:
            return
        options = pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in self._known},
            strings_can_be_null=False,
            include_columns=self.schema.names,
        )
        parsing = pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=self._ignore_empty_lines)
        reading = pyarrow.csv.ReadOptions(block_size=BLOCK)
        with self.place.open() as file:
            for block in pyarrow.csv.open_csv(file, reading, parsing, options):
                self._read = int(file.tell())
                yield block
        self._read = self.size


def _check_quotes(place: Place) -> None:
    """Read the file once, a line at a time.

    Raises:
        InputError: a quote that is never closed, text after a closing quote, or a row longer than a block.
    """
    opened, length = 0, 0  # line where the row's open quote is, 0: none is open; bytes of the row so far
    with _text(place, "latin-1") as file:  # a character is a byte
        for number, line in enumerate(iter(lambda: file.readline(BLOCK + 1), ""), start=1):
            length += len(line)
            if length > BLOCK:
                what = "a quoted value" if opened else "a row"
                raise InputError(f"{place}: line {opened or number}: {what} goes on for more than {BLOCK:,} bytes")
            if opened or '"' in line:
                opened = _open_after(place, number, line, opened)
            if not opened:
                length = 0
    if opened:
        raise InputError(f"{place}: line {opened}: a quote is opened and never closed")


def _open_after(place: Place, number: int, line: str, opened: int) -> int:
    """Where the quote is that is open at the end of this line, as `opened` was before it."""
    fields = '"' + line if opened else line.removeprefix("\xef\xbb\xbf")  # the byte order mark
    found = _FIELDS.match(fields)
    assert found is not None  # it matches the empty text
    at = found.end()
    if at == len(fields):
        return 0
    if fields[at] != '"':
        raise InputError(f"{place}: line {number}: text after a closing quote; a quote in a quoted value is doubled")
    return opened if opened and at == 0 else number


def _header(place: Place) -> tuple[list[str], bool]:
    """Column names, and whether no row follows them."""
    try:
        with _text(place, "utf-8-sig") as file:
            names = next(csv.reader(file, strict=True), [])
            empty = next(file, None) is None
    except (UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"{place}: {exc}") from exc
    if not names:
        raise InputError(f"{place}: no header line")
    return names, empty


def _text(place: Place, encoding: str) -> io.TextIOWrapper:
    """The file as text, line breaks as they are."""
    return io.TextIOWrapper(place.open(), encoding=encoding, newline="")
