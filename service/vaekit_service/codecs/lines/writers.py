"""Writes text/csv and application/x-ndjson: one line per row, valid or not, in the order of the request."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import orjson

from vaekit.errors import InputError
from vaekit.tabular.checked_rows import InvalidRow
from vaekit_service.codecs.lines.fields import flat_columns, row_values
from vaekit_service.codecs.reported import refused_row
from vaekit_service.messages import Answer

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
_BOOLEANS = {True: "true", False: "false"}
MOST_WAITING = 10_000  # invalid rows that CSV holds back until a valid row shows the columns


class LineWriter(Protocol):
    """Writes the answers of one request, one after another."""

    def write(self, answer: Answer) -> bytes:
        """The lines of an answer."""

    def end(self) -> bytes:
        """What is left to write after the last answer."""

    def problem(self, document: bytes) -> bytes:
        """The last line of a reply that fails after it has begun, from the problem document in JSON."""


class NdjsonWriter:
    """One JSON object per row, with the fields of the JSON reply that belong to a row."""

    def write(self, answer: Answer) -> bytes:
        values = row_values(answer)
        if answer.ids is not None:
            values = {"id": answer.ids, **values}
        names = list(values)
        rows = (dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True))
        return b"".join(orjson.dumps(row, option=_OPTIONS) for row in _in_order(answer, rows, _reason))

    def end(self) -> bytes:
        return b""

    def problem(self, document: bytes) -> bytes:
        return b'{"problem":' + document + b"}\n"


class CsvWriter:
    """A header and one record per row. With errors=report the last column is `error`, empty for valid rows.

    `write` raises InputError if the first MOST_WAITING rows are all invalid.
    """

    def __init__(self) -> None:
        self._names: list[str] | None = None  # the header, once it was written
        self._waiting: list[InvalidRow] = []  # rows before the first valid one

    def write(self, answer: Answer) -> bytes:
        if not answer.n and self._names is None:
            self._waiting += answer.invalid
            if len(self._waiting) >= MOST_WAITING:
                raise InputError(f"the first {len(self._waiting):,} rows are invalid; the first: {self._waiting[0]}")
            return b""
        file = io.StringIO()
        lines = csv.writer(file, lineterminator="\n")
        columns = flat_columns(answer) if answer.n else {}
        if self._names is None:
            self._begin(lines, ["id"] * (answer.ids is not None) + list(columns), reports=answer.reports)
        ids = [] if answer.ids is None else [answer.ids]
        error = [[""] * answer.n] if answer.reports else []
        cells = [*ids, *map(_written, columns.values()), *error]
        rows = zip(*cells, strict=True) if cells else iter(())
        lines.writerows(_in_order(answer, rows, self._refused))
        return file.getvalue().encode()

    def end(self) -> bytes:
        """The header and the invalid rows, if no row was valid."""
        if not self._waiting:
            return b""
        file = io.StringIO()
        named = ["id"] if any(one.id is not None for one in self._waiting) else []
        self._begin(csv.writer(file, lineterminator="\n"), named, reports=True)
        return file.getvalue().encode()

    def problem(self, document: bytes) -> bytes:
        file = io.StringIO()
        found = orjson.loads(document)
        csv.writer(file, lineterminator="\n").writerow(["#problem", found["status"], found["detail"]])
        return file.getvalue().encode()

    def _begin(self, lines: Any, names: list[str], *, reports: bool) -> None:
        """Write the header, and the invalid rows that waited for it."""
        self._names = names + ["error"] * reports
        lines.writerow(self._names)
        lines.writerows(map(self._refused, self._waiting))
        self._waiting = []

    def _refused(self, invalid: InvalidRow) -> Sequence[Any]:
        assert self._names is not None
        own = {"id": invalid.id, "error": str(invalid)}
        return [own.get(name, "") for name in self._names]


def write_csv(answer: Answer) -> bytes:
    """A whole reply as CSV."""
    writer = CsvWriter()
    return writer.write(answer) + writer.end()


def write_ndjson(answer: Answer) -> bytes:
    """A whole reply as NDJSON."""
    return NdjsonWriter().write(answer)


def _in_order(answer: Answer, rows: Iterator[Any], refused: Any) -> Iterator[Any]:
    """The valid rows, and what stands for the invalid ones, in the order of the request."""
    row = answer.start
    for invalid in answer.invalid:
        while row < invalid.row:
            yield next(rows)
            row += 1
        yield refused(invalid)
        row += 1
    yield from rows


def _reason(invalid: InvalidRow) -> dict[str, Any]:
    """The object that stands for an invalid row."""
    fields = refused_row(invalid)
    named = {"id": fields.pop("id")} if "id" in fields else {}
    return {**named, "error": fields}


def _written(cells: Sequence[Any]) -> Sequence[Any]:
    """Cells with booleans as in the files of `vae score`."""
    return (
        [_BOOLEANS[cell] if isinstance(cell, bool) else cell for cell in cells] if bool in map(type, cells) else cells
    )
