"""Checks CSV files, and infers the type of a column of text: numbers, booleans, dates, or levels.

The format is UTF-8 with one header line, commas, and doubled quotes. Empty lines are skipped, except in a file of one
column, where they are missing cells. pyarrow reads an unclosed quote as one long value and silently loses the rows in
it, so the quotes of the whole file are checked before it is read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from vaekit.errors import InputError
from vaekit.tabular.cells import FALSE, MISSING_TEXTS, TRUE

BLOCK = 2**20  # bytes; the maximum size of a row
Open = Callable[[], BinaryIO]

_FIELD = r'(?:"[^"]*+(?:""[^"]*+)*+"|[^",\r\n][^,\r\n]*+)?+'  # quoted, plain or empty
_FIELDS = re.compile(rf"(?:{_FIELD},)*+{_FIELD}[\r\n]*+")
_INTEGER = r"^[-+]?[0-9]+$"
_DATE = r"^\d{4}-\d\d-\d\d$"
_TIME = r"^\d{4}-\d\d-\d\d(?:[ T]\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?(?:Z|[-+]\d\d(?::?\d\d)?)?)?$"


def parse_options(names: list[str]) -> pyarrow.csv.ParseOptions:
    """pyarrow's options to parse a file with these columns."""
    return pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(names) > 1)


def infer_type(cells: pa.Array) -> pa.Array:
    """Convert a column of text to the type that fits all its cells: integers, floats, booleans, dates, times, or text.

    Cells that are empty or mean a missing value (NA, nan, null, ...) become null, except in a column of text.
    """
    trimmed = pc.utf8_trim_whitespace(cells)
    missing = pc.is_in(trimmed, value_set=pa.array(["", *sorted(MISSING_TEXTS)], cells.type))
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
    return cells if times is None else times


def check_quotes(opened: Open, where: object) -> None:
    """Check the quotes of a CSV file, line by line.

    Raises:
        InputError: an unclosed quote, text after a closing quote, or a row of more than 1 MiB.
    """
    open_line, length = 0, 0  # line where an open quote begins, 0 if none is open; bytes of the row so far
    with io.TextIOWrapper(opened(), encoding="latin-1", newline="") as file:  # latin-1: one character per byte
        for number, line in enumerate(iter(lambda: file.readline(BLOCK + 1), ""), start=1):
            length += len(line)
            if length > BLOCK:
                what = "a quoted value" if open_line else "a row"
                raise InputError(f"{where}: line {open_line or number}: {what} is longer than {BLOCK:,} bytes")
            if open_line or '"' in line:
                open_line = _line_of_open_quote(where, number, line, open_line)
            if not open_line:
                length = 0
    if open_line:
        raise InputError(f"{where}: line {open_line}: a quote is not closed")


def header(opened: Open, where: object, *, errors: str = "strict") -> tuple[list[str], bool]:
    """(column names, whether the file has no rows).

    Args:
        opened: opens the file.
        where: the path, for messages.
        errors: how to handle invalid UTF-8, as for `open`; it also applies to rows near the header.

    Raises:
        InputError: the header is missing, invalid, or not UTF-8.
    """
    try:
        with io.TextIOWrapper(opened(), encoding="utf-8-sig", errors=errors, newline="") as file:
            names = next(csv.reader(file, strict=True), [])
            empty = next(file, None) is None
    except (UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"{where}: {exc}") from exc
    if not names:
        raise InputError(f"{where}: no header line")
    return names, empty


def _line_of_open_quote(where: object, number: int, line: str, opened: int) -> int:
    """The number of the line where the quote that is still open after this line begins; 0 if no quote is open.

    Args:
        where: the path, for messages.
        number: the number of this line.
        line: this line.
        opened: the result for the line before.
    """
    fields = '"' + line if opened else line.removeprefix("\xef\xbb\xbf")  # the byte order mark
    found = _FIELDS.match(fields)
    assert found is not None  # it matches the empty text
    at = found.end()
    if at == len(fields):
        return 0
    if fields[at] != '"':
        raise InputError(f"{where}: line {number}: text after a closing quote; double the quotes in a quoted value")
    return opened if opened and at == 0 else number


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
