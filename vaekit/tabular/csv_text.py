"""Checks CSV files, and infers the type of a column of text: numbers, booleans, dates, or levels.

The format is UTF-8 with one header line, commas or another delimiter, and doubled quotes. Empty lines are skipped,
except in a file of one column, where they are missing cells. pyarrow reads an unclosed quote as one long value and
silently loses the rows in it, so the quotes of the whole file are checked before it is read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from vaekit.errors import InputError
from vaekit.tabular.cells import FALSE, MISSING_TEXTS, TRUE
from vaekit.tabular.csv_lines import (
    BLOCK,
    SHOWN_ROWS,
    column_names,
    fields_of_line,
    line_of_open_quote,
    other_delimiter,
    reading,
)

Open = Callable[[], BinaryIO]

_NUMBER = r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
WORKBOOK = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .xls files begin
IS_WORKBOOK = "an Excel workbook: save it as CSV (UTF-8)"
_INTEGER = r"^[-+]?[0-9]+$"
_DATE = r"^\d{4}-\d\d-\d\d$"
MOST_ROWS = 2_000_000  # that are counted to find a line, in about a second
_BLANKS = ("\u00a0", "\u202f")  # that do not break a line, as French spreadsheets write them between thousands
_TIME = r"^\d{4}-\d\d-\d\d(?:[ T]\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?(?:Z|[-+]\d\d(?::?\d\d)?)?)?$"


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file separates cells and writes numbers."""

    delimiter: str = ","
    decimal: str = "."
    thousands: str = ""  # between groups of three digits; '': none

    def __post_init__(self) -> None:
        """Raises InputError if the delimiter is not one character, or both separators are the same."""
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n':
            raise InputError(f"delimiter: {self.delimiter!r}, expected one character, such as ; or a tab")
        if self.decimal not in (".", ",") or self.thousands not in ("", ",", ".", " ", "'"):
            raise InputError(
                f"decimal {self.decimal!r}, thousands {self.thousands!r}: expected . or , and one of , . ' or a blank"
            )
        if self.decimal == self.thousands:
            raise InputError(f"decimal and thousands are both {self.decimal!r}")

    @property
    def is_plain(self) -> bool:
        """Whether numbers are written as everywhere else."""
        return self.decimal == "." and not self.thousands

    def other(self, names: list[str]) -> str | None:
        """The delimiter that a header of one column shows; None if it shows none."""
        return other_delimiter(names, self.delimiter)

    def plain(self, cells: pa.Array) -> pa.Array:
        """A column of text with its numbers in plain notation; other cells are unchanged."""
        if self.is_plain:
            return cells
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        digits = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)" if self.thousands else r"\d+"
        number = rf"^\s*[-+]?(?:{digits}(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?\s*$"
        found = cells
        for blank in _BLANKS if self.thousands == " " else ():
            found = cells = pc.replace_substring(found, blank, " ")
        found = pc.replace_substring(found, self.thousands, "") if self.thousands else found
        found = pc.replace_substring(found, self.decimal, ".")
        written = pc.fill_null(pc.match_substring_regex(cells, number), False)
        # what is plain elsewhere is another number, or none, in this dialect
        foreign = pc.fill_null(pc.match_substring_regex(cells, r"^\s*[-+]?[\d.]+\s*$"), False)
        mark = pa.scalar(f" (decimal separator {self.decimal!r})", cells.type)
        said = pc.binary_join_element_wise(cells, mark, pa.scalar("", cells.type))
        return pc.if_else(written, found, pc.if_else(foreign, said, cells))


PLAIN = CsvDialect()


def parse_options(names: list[str], dialect: CsvDialect = PLAIN) -> pyarrow.csv.ParseOptions:
    """pyarrow's options to parse a file with these columns."""
    return pyarrow.csv.ParseOptions(
        delimiter=dialect.delimiter, newlines_in_values=True, ignore_empty_lines=len(names) > 1
    )


def infer_type(cells: pa.Array, dialect: CsvDialect = PLAIN, missing_texts: Set[str] = frozenset()) -> pa.Array:
    """Convert a column of text to the type that fits all its cells: integers, floats, booleans, dates, times, or text.

    Cells that are empty or mean a missing value (NA, nan, null, ..., and missing_texts) become null, except in a column
    of text.
    """
    trimmed = pc.utf8_trim_whitespace(dialect.plain(cells))
    missing = pc.is_in(trimmed, value_set=pa.array(["", *sorted(MISSING_TEXTS | missing_texts)], cells.type))
    there = pc.if_else(missing, pa.scalar(None, cells.type), trimmed)
    if there.null_count == len(there):
        return pa.nulls(len(there))
    numbers = _numbers(there)
    if numbers is not None:
        return numbers
    cells_there = pc.if_else(missing, pa.scalar(None, cells.type), cells)
    truth = pc.is_in(cells_there, value_set=pa.array(sorted(TRUE), cells.type))
    words = pc.is_in(cells_there, value_set=pa.array(sorted(TRUE | FALSE), cells.type))
    if pc.all(pc.or_(words, missing)).as_py():
        return pc.if_else(missing, pa.scalar(None, pa.bool_()), truth)
    times = _times(cells_there)
    if times is not None:
        return times
    return cells if dialect.is_plain or not _mostly_numbers(there) else trimmed  # whose odd cells are then named


def check_quotes(opened: Open, where: object, dialect: CsvDialect = PLAIN) -> None:
    """Check the quotes of a CSV file, line by line.

    Raises:
        InputError: an unclosed quote, text after a closing quote, or a row of more than 1 MiB; with the delimiter that
            the header shows, if it is another one.
    """
    try:
        _check_quotes(opened, where, dialect)
    except InputError as exc:
        with io.TextIOWrapper(opened(), encoding="utf-8-sig", errors="replace", newline="") as file:
            names = next(csv.reader([file.readline(BLOCK)], delimiter=dialect.delimiter), [])
        if (other := dialect.other(names)) is None:
            raise
        raise InputError(f"{where}: {one_column(names[0], other, opened)}") from exc


def one_column(name: str, other: str, opened: Open | None = None) -> str:
    """What is wrong with a header of one column that shows another delimiter, and the options that read the file.

    Args:
        name: the header.
        other: the delimiter that it shows.
        opened: opens the file, whose first rows show how it writes numbers; None: they are unknown.
    """
    lines: list[str] = []
    if opened is not None:
        with io.TextIOWrapper(opened(), encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = [file.readline(BLOCK) for _ in range(1 + SHOWN_ROWS)][1:]
    return f"one column, {name!r}; its {reading(other, lines)}"


def _check_quotes(opened: Open, where: object, dialect: CsvDialect) -> None:
    fields = fields_of_line(dialect.delimiter)
    open_line, length = 0, 0  # line where an open quote begins, 0 if none is open; bytes of the row so far
    with io.TextIOWrapper(opened(), encoding="latin-1", newline="") as file:  # latin-1: one character per byte
        for number, line in enumerate(iter(lambda: file.readline(BLOCK + 1), ""), start=1):
            length += len(line)
            if length > BLOCK:
                what = "a quoted value" if open_line else "a row"
                raise InputError(f"{where}: line {open_line or number}: {what} is longer than {BLOCK:,} bytes")
            if open_line or '"' in line:
                open_line = line_of_open_quote(where, number, line, open_line, fields)
            if not open_line:
                length = 0
    if open_line:
        raise InputError(f"{where}: line {open_line}: a quote is not closed")


def line_of_row(opened: Open, row: int, dialect: CsvDialect = PLAIN) -> int | None:
    """The number of the line where a row begins, counted from 1; None if there is no such row, or it is far behind.

    Rows are counted from 0, below the header.
    """
    if row >= MOST_ROWS:
        return None
    with io.TextIOWrapper(opened(), encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file, delimiter=dialect.delimiter)
        width, left, before = len(next(rows, [])), row, rows.line_num
        for cells in rows:
            if cells or width == 1:  # empty lines are skipped
                if not left:
                    return before + 1
                left -= 1
            before = rows.line_num
    return None


def header(
    opened: Open, where: object, dialect: CsvDialect = PLAIN, *, errors: str = "strict"
) -> tuple[list[str], bool]:
    """(column names, whether the file has no rows).

    The second column without a name, and later ones, are called as pandas does: 'Unnamed: 1'.

    Args:
        opened: opens the file.
        where: the path, for messages.
        dialect: its delimiter.
        errors: how to handle invalid UTF-8, as for `open`; it also applies to rows near the header.

    Raises:
        InputError: the header is missing, invalid, or not UTF-8.
    """
    try:
        with io.TextIOWrapper(opened(), encoding="utf-8-sig", errors=errors, newline="") as file:
            names = next(csv.reader(file, delimiter=dialect.delimiter, strict=True), [])
            empty = next(file, None) is None
    except UnicodeDecodeError as exc:
        raise InputError(f"{where}: {_not_utf8(exc)}") from exc
    except csv.Error as exc:
        raise InputError(f"{where}: {exc}") from exc
    return column_names(names, where), empty


def _not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong with the first bytes of a file."""
    if error.object.startswith(WORKBOOK):
        return IS_WORKBOOK
    line = error.object[: error.start].count(b"\n") + 1
    where = "the header" if line == 1 else f"line {line}"
    return f"{where} is not UTF-8 text, which a .csv file must be: {error}"


def _numbers(text: pa.Array) -> pa.Array | None:
    """Integers or floats; None if a cell is not a number."""
    if pc.all(pc.match_substring_regex(text, _INTEGER)).as_py():
        try:
            return pc.cast(text, pa.int64())
        except pa.ArrowInvalid:  # a plus sign, or too large
            pass
    try:
        return pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        return None


def _mostly_numbers(text: pa.Array) -> bool:
    """Whether most cells are plain numbers."""
    numbers = pc.sum(pc.match_substring_regex(text, _NUMBER)).as_py() or 0
    return bool(2 * numbers > len(text) - text.null_count)


def _times(text: pa.Array) -> pa.Array | None:
    """Dates, or times (in UTC if they have a zone); None if a cell is neither."""
    if not pc.all(pc.match_substring_regex(text, _TIME)).as_py():
        return None
    dates = pc.all(pc.match_substring_regex(text, _DATE)).as_py()
    for kind in (pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("s", "UTC"), pa.timestamp("ns", "UTC")):
        try:
            times = pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
        return pc.cast(times, pa.date32()) if dates else times
    return None
