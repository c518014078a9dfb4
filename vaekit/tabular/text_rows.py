"""Reads rows of CSV and NDJSON, given as complete lines. A line that cannot be read is its own fault alone."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic_core import from_json, to_json

from vaekit.errors import InputError
from vaekit.tabular.csv_lines import column_names

_SHOWN = 40  # characters of a line that cannot be read
_CSV_ERRORS = {  # of the csv module, which names causes in its own words
    "unexpected end of data": "a quote is not closed",
    "expected after": "text after a closing quote; double the quotes in a quoted value",
    "new-line character": "a line end that is not in quotes",
    "field larger than": f"a value of more than {csv.field_size_limit():,} characters",
}


@dataclass(frozen=True)
class UnreadableLine:
    """A line that is no row, and why."""

    reason: str
    text: str

    @classmethod
    def of(cls, line: bytes, reason: str) -> UnreadableLine:
        return cls(reason, line[: 4 * _SHOWN].decode(errors="replace")[:_SHOWN])


class CsvRows:
    """Rows of CSV text as lists of text.

    Args:
        delimiter: of the cells.
        width: the number of columns of text without a header; None: the first line names the columns.
    """

    written: ClassVar[bool] = True  # numbers and booleans are text

    def __init__(self, delimiter: str = ",", width: int | None = None) -> None:
        self._delimiter, self._width = delimiter, width
        self.names: list[str] | None = None

    def read(self, lines: Sequence[bytes]) -> list[list[str] | UnreadableLine]:
        """One row per line, without the header, and without the empty lines of text of several columns.

        Raises:
            InputError: the first line is no header.
        """
        if self._width is None and lines:
            self.names, lines = self._header(lines[0]), lines[1:]
            self._width = len(self.names)
        if self._width is not None and self._width > 1 and b"" in lines:
            lines = [line for line in lines if line]
        return [self._checked(line, row) for line, row in zip(lines, self._split(lines), strict=True)]

    def _header(self, line: bytes) -> list[str]:
        [cells] = self._split([line])
        if isinstance(cells, UnreadableLine):
            raise InputError(f"line 1: {cells.reason}: {cells.text!r}")
        return column_names(cells, "line 1")

    def _split(self, lines: Sequence[bytes]) -> Iterable[list[str] | UnreadableLine]:
        try:
            found = list(self._reader([line.decode() for line in lines]))
            if len(found) == len(lines):
                return found
        except (UnicodeDecodeError, csv.Error):
            pass
        return [self._alone(line) for line in lines]

    def _alone(self, line: bytes) -> list[str] | UnreadableLine:
        try:
            return next(self._reader([line.decode()]), [])
        except UnicodeDecodeError:
            return UnreadableLine.of(line, "not UTF-8")
        except csv.Error as exc:
            said = next((why for part, why in _CSV_ERRORS.items() if part in str(exc)), str(exc))
            return UnreadableLine.of(line, said)

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _checked(self, line: bytes, row: list[str] | UnreadableLine) -> list[str] | UnreadableLine:
        if isinstance(row, UnreadableLine) or len(row) == self._width:
            return row
        if not row and self._width == 1:
            return [""]  # an empty line is a missing cell
        return UnreadableLine.of(line, f"{len(row)} values, expected {self._width}")


class JsonRows:
    """Rows of NDJSON: what is on each line, mostly an object by column name or a list in column order."""

    written: ClassVar[bool] = False
    names: ClassVar[None] = None

    def read(self, lines: Sequence[bytes]) -> list[Any]:
        """One row per line that is not blank; an UnreadableLine for one that is not JSON."""
        return [self._row(line) for line in lines if line and not line.isspace()]

    def _row(self, line: bytes) -> Any:
        try:
            return from_json(line, allow_inf_nan=False, cache_strings="keys")
        except ValueError as exc:
            return UnreadableLine.of(line, f"not JSON: {str(exc)[:100]}")


def in_one_form(rows: Sequence[Any], *, named: bool) -> list[Any]:
    """Rows of NDJSON that are all objects by column name (named), or none is; rows of the other form are unreadable."""
    reason = f"not {'an object by column name' if named else 'a list'} like the rows before"
    return [
        row
        if isinstance(row, UnreadableLine) or isinstance(row, Mapping) == named
        else UnreadableLine.of(to_json(row), reason)
        for row in rows
    ]
