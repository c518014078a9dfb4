"""Cuts text that arrives in pieces into complete rows: of NDJSON, and of CSV, whose quotes may hold line ends."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from vaekit.errors import InputError
from vaekit.tabular.csv_lines import BLOCK, fields_of_line, line_of_open_quote

_UTF16_AND_32 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


class LineSplitter:
    """The rows of NDJSON, one per line; lines may end with CR LF, and the last one may lack its end.

    Args:
        longest: bytes that a row may have.
    """

    def __init__(self, longest: int = BLOCK) -> None:
        self._longest = longest
        self._rest: list[bytes] = []  # pieces of a line that has not ended
        self._held = 0  # their size
        self._count = 0  # complete lines so far, for messages
        self._is_first = True  # whether nothing was read yet

    @property
    def held(self) -> int:
        """Bytes of the row that is not complete yet."""
        return self._held

    def feed(self, data: bytes) -> list[bytes]:
        """The rows that are complete after this piece, without line ends.

        Raises:
            InputError: a row that is too long, or text in UTF-16 or UTF-32.
        """
        data = self._without_mark(data)
        if self._is_first:
            return []
        *lines, rest = data.split(b"\n")
        if lines and self._rest:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest, self._held = [], 0
        if rest:
            self._rest.append(rest)
            self._held += len(rest)
        rows = self._complete(lines)
        if self._held > self._longest:
            raise InputError(f"line {self._count + 1}: a row is longer than {self._longest:,} bytes")
        return rows

    def end(self) -> list[bytes]:
        """The rows that are complete because the text has ended."""
        self._is_first = False
        last, self._rest, self._held = b"".join(self._rest), [], 0
        return self._complete([last]) if last else []

    def _complete(self, lines: list[bytes]) -> list[bytes]:
        self._count += len(lines)
        return [line.removesuffix(b"\r") for line in lines]

    def _without_mark(self, data: bytes) -> bytes:
        """The piece without the byte order mark; waits until the first bytes show whether there is one."""
        if not self._is_first:
            return data
        start = b"".join([*self._rest, data])
        if any(mark != start and mark.startswith(start) for mark in (codecs.BOM_UTF8, *_UTF16_AND_32)):
            self._rest = [start]
            return b""
        if start.startswith(_UTF16_AND_32):
            raise InputError("line 1: begins with the byte order mark (BOM) of UTF-16 or UTF-32; send UTF-8")
        self._is_first, self._rest = False, []
        return start.removeprefix(codecs.BOM_UTF8)


class CsvSplitter(LineSplitter):
    """The rows of CSV. A row whose quote is never closed is given out alone, as its first line, to be refused.

    Args:
        delimiter: of the cells.
        longest: bytes that a row may have.
    """

    def __init__(self, delimiter: str = ",", longest: int = BLOCK) -> None:
        super().__init__(longest)
        self._fields = fields_of_line(delimiter)
        self._quoted: deque[bytes] = deque()  # lines of a row whose quote is open
        self._quoted_bytes = 0

    @property
    def held(self) -> int:
        return self._held + self._quoted_bytes

    def end(self) -> list[bytes]:
        rows = super().end()
        while self._quoted:
            rows += self._give_up()
        return rows

    def _complete(self, lines: list[bytes]) -> list[bytes]:
        if not self._quoted and not any(b'"' in line for line in lines):
            return super()._complete(lines)
        self._count += len(lines)
        rows: list[bytes] = []
        for line in lines:
            rows += self._row(line)
            while self._quoted_bytes > self._longest:
                rows += self._give_up()
        return rows

    def _row(self, line: bytes) -> Iterable[bytes]:
        """The row that this line completes, if it does."""
        if self._leaves_open(line, was_open=bool(self._quoted)):
            self._quoted.append(line)
            self._quoted_bytes += len(line) + 1
            return ()
        row = b"\n".join([*self._quoted, line]).removesuffix(b"\r")
        self._quoted.clear()
        self._quoted_bytes = 0
        return (row,)

    def _leaves_open(self, line: bytes, *, was_open: bool) -> bool:
        """Whether a quote is open after a line."""
        if not was_open and b'"' not in line:
            return False
        with suppress(InputError):  # text after a closing quote: the row is complete, and is refused later
            return line_of_open_quote("", 1, line.decode("latin-1"), int(was_open), self._fields) > 0
        return False

    def _give_up(self) -> list[bytes]:
        """The first line of a row whose quote is not closed, and the rows that are complete without it.

        No line closes an open quote. So all lines from the next one that opens a quote are one row again, and no line
        is looked at twice.
        """
        rows = [self._taken()]
        while self._quoted and not self._leaves_open(self._quoted[0], was_open=False):
            rows.append(self._taken())
        return rows

    def _taken(self) -> bytes:
        """The first line of a row whose quote is open, which is taken away from it."""
        line = self._quoted.popleft()
        self._quoted_bytes -= len(line) + 1
        return line.removesuffix(b"\r")
