"""The two forms of rows on a pipe: CSV and NDJSON. A form reads lines and writes the rows with their scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
from pydantic_core import to_json

from vaekit.bundle import VectorSpec
from vaekit.bundle.window import SeriesWindow
from vaekit.errors import InputError
from vaekit.scoring.pipe.steps import Beside
from vaekit.tabular.appended import free_names
from vaekit.tabular.checked_rows import CheckedRows, InvalidRow, RowChecker
from vaekit.tabular.columns import Ignored, model_order, refuse_duplicate_names
from vaekit.tabular.csv_text import CsvDialect, one_column
from vaekit.tabular.text_lines import CsvSplitter, LineSplitter
from vaekit.tabular.text_rows import CsvRows, JsonRows, UnreadableLine, in_one_form
from vaekit.tabular.windows import check_beside, is_of_steps

ERROR = "error"  # the column or key that says why a row is not scored
_BOOLEANS = {True: "true", False: "false", None: ""}

Scored = Mapping[int, Sequence[Any]]  # the values of the appended columns, by the row's place in its batch


class Form(Protocol):
    """How rows on a pipe are written."""

    @property
    def splitter(self) -> LineSplitter:
        """Cuts what arrives into lines."""

    window: SeriesWindow | None  # if the rows are time steps; known after the first are read

    def beside(self) -> list[Beside | None]:
        """Of each row of the last batch, the cells beside the model's: its series and time; None: unreadable."""

    def read(self, lines: Sequence[bytes]) -> CheckedRows:
        """The rows of a batch of lines, numbered from 0.

        Raises:
            InputError: the columns do not fit the model.
        """

    def write(self, scored: Scored, invalid: Mapping[int, InvalidRow]) -> bytes:
        """The rows of the last batch, with their scores or the reason why there are none.

        Args:
            scored: of the valid rows.
            invalid: the others, by their place in the batch. Rows in neither are left out.
        """

    def refused(self, invalid: Mapping[int, InvalidRow]) -> bytes:
        """Invalid rows of the last batch for the quarantine file, as they came."""


class CsvForm:
    """CSV with a header line, or without one in the model's order.

    Args:
        spec: the model's input.
        appended: the names of the columns that scoring appends.
        keep: input columns of the output; None: all; empty: the row number alone.
        dialect: how cells are separated and numbers written.
        header: whether the first line names the columns.
        reports: whether the output has a column for the reasons of invalid rows.
        strict, most_missing: see RowChecker.
    """

    def __init__(
        self,
        spec: VectorSpec,
        appended: Sequence[str],
        *,
        keep: Sequence[str] | None,
        dialect: CsvDialect,
        header: bool,
        reports: bool,
        strict: bool,
        most_missing: int,
    ) -> None:
        self.splitter: LineSplitter = CsvSplitter(dialect.delimiter)
        self._lines = CsvRows(dialect.delimiter, None if header else spec.dim)
        self._spec, self._dialect, self._strict = spec, dialect, strict
        self._checker = RowChecker(spec, strict=strict, most_missing=most_missing, written=True)
        self.window: SeriesWindow | None = None
        self._beside_at: dict[str, int] = {}  # of the columns of series and times
        self._appended, self._keep, self._header, self._reports = list(appended), keep, header, reports
        self._at: list[int | None] | None = None  # the index in a row of each column of the model
        self._kept: list[int] = []
        self._ignored = Ignored()
        self._rows: Sequence[Any] = ()
        self._first = b""  # the header of the output, until it is written
        self._done = 0  # rows before the last batch

    def read(self, lines: Sequence[bytes]) -> CheckedRows:
        self._done += len(self._rows)
        self._rows = self._lines.read(lines)
        if self._at is None:
            self._at = self._columns(self._lines.names)
        return self._checker.columns(self._plain(self._rows), self._at, self._ignored)

    def write(self, scored: Scored, invalid: Mapping[int, InvalidRow]) -> bytes:
        file = io.StringIO()
        lines = csv.writer(file, delimiter=self._dialect.delimiter, lineterminator="\n")
        nothing = [""] * len(self._appended)
        for row, cells in enumerate(self._rows):
            if row in scored:
                lines.writerow([*self._own(row, cells), *map(_cell, scored[row]), *[""] * self._reports])
            elif row in invalid:
                lines.writerow([*self._own(row, cells), *nothing, str(invalid[row])])
        first, self._first = self._first, b""
        return first + file.getvalue().encode()

    def refused(self, invalid: Mapping[int, InvalidRow]) -> bytes:
        file = io.StringIO()
        lines = csv.writer(file, lineterminator="\n")
        for row, one in invalid.items():
            cells = self._rows[row]
            own = [cells.text] if isinstance(cells, UnreadableLine) else cells
            lines.writerow([one.row, one.column or "", one.reason, *own])
        return file.getvalue().encode()

    def beside(self) -> list[Beside | None]:
        return [
            None if isinstance(row, UnreadableLine) else {name: row[at] for name, at in self._beside_at.items()}
            for row in self._rows
        ]

    def _own(self, row: int, cells: Any) -> list[Any]:
        """The input cells of the output; empty for a line that is no row."""
        if self._keep is not None and not self._keep:
            return [self._done + row]
        return [""] * len(self._kept) if isinstance(cells, UnreadableLine) else [cells[i] for i in self._kept]

    def _columns(self, names: list[str] | None) -> list[int | None]:
        """Where the model's columns are; also makes the header of the output."""
        if not self._header:
            names = list(self._spec.names)
        assert names is not None
        refuse_duplicate_names(names)
        if self._spec.dim > 1 and (other := self._dialect.other(names)):
            raise InputError(f"line 1: {one_column(names[0], other)}")
        if unknown := [name for name in self._keep or () if name not in names]:
            raise InputError(f"columns: the input has no column {', '.join(map(repr, unknown))}")
        if self._header and self._spec.window is not None and is_of_steps(names, self._spec.window):
            check_beside(names, self._spec.window)
            self.window, self._spec = self._spec.window, self._spec.step
            self._beside_at = {name: names.index(name) for name in self.window.beside}
            self._checker = RowChecker(self._spec, strict=self._strict, written=True)
        others = [i for i in range(len(names)) if i not in self._beside_at.values()]
        found, self._ignored = model_order([names[i] for i in others], self._spec, strict=self._strict, most=None)
        at = [None if i is None else others[i] for i in found]
        self._kept = [i for i, name in enumerate(names) if self._keep is None or name in self._keep]
        kept = ["row"] if self._keep is not None and not self._keep else [names[i] for i in self._kept]
        appended = [*self._appended, *[ERROR] * self._reports]
        renamed = free_names(appended, set(kept))
        if self._header:
            file = io.StringIO()
            lines = csv.writer(file, delimiter=self._dialect.delimiter, lineterminator="\n")
            lines.writerow([*kept, *(renamed.get(name, name) for name in appended)])
            self._first = file.getvalue().encode()
        return at

    def _plain(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Rows whose numbers are in plain notation."""
        if self._dialect.is_plain or self._at is None:
            return rows
        good = [i for i, row in enumerate(rows) if not isinstance(row, UnreadableLine)]
        found = [list(row) if isinstance(row, list) else row for row in rows]
        for at, column in zip(self._at, self._spec.columns, strict=True):
            if at is not None:
                cells = pa.array([rows[i][at] for i in good], pa.string())
                plain = self._dialect.plain(cells)
                if column.levels is not None:
                    known = set(column.levels)
                    plain = [a if a in known else b for a, b in zip(cells.to_pylist(), plain.to_pylist(), strict=True)]
                for i, cell in zip(good, plain if isinstance(plain, list) else plain.to_pylist(), strict=True):
                    found[i][at] = cell
        return found


class NdjsonForm:
    """One JSON value per line: an object by column name, or a list in column order.

    A scored object is the line as it came with the scores added; a scored list is an object with its number.

    Args:
        spec: the model's input.
        appended: the names of what scoring adds.
        keep: keys of the output; None: all; empty: the row number alone.
        strict, most_missing: see RowChecker.
    """

    def __init__(
        self,
        spec: VectorSpec,
        appended: Sequence[str],
        *,
        keep: Sequence[str] | None,
        strict: bool,
        most_missing: int,
    ) -> None:
        self.splitter = LineSplitter()
        self._lines, self._appended, self._keep = JsonRows(), list(appended), keep
        self._spec, self._strict = spec, strict
        self._checker = RowChecker(spec, strict=strict, most_missing=most_missing)
        self.window: SeriesWindow | None = None
        self._is_known = spec.window is None  # whether rows are windows or time steps
        self._named: bool | None = None  # whether time steps are objects; None: objects and lists mean the same
        self._text: Sequence[bytes] = ()
        self._rows: Sequence[Any] = ()
        self._done = 0

    def read(self, lines: Sequence[bytes]) -> CheckedRows:
        self._done += len(self._rows)
        self._text = [line for line in lines if line and not line.isspace()]
        self._rows = self._lines.read(self._text)
        for row in () if self._is_known else self._rows:
            self._find(row)
        if self._named is not None:
            self._rows = in_one_form(self._rows, named=self._named)
        beside = () if self.window is None else self.window.beside
        rows = [_without(row, beside) for row in self._rows] if beside else self._rows
        return self._checker.rows(rows)

    def beside(self) -> list[Beside | None]:
        names = () if self.window is None else self.window.beside
        return [
            {name: row.get(name) for name in names} if isinstance(row, Mapping) else None if names else {}
            for row in self._rows
        ]

    def write(self, scored: Scored, invalid: Mapping[int, InvalidRow]) -> bytes:
        found = []
        for row in range(len(self._rows)):
            if row in scored:
                found.append(self._joined(row, dict(zip(self._appended, scored[row], strict=True))))
            elif row in invalid:
                found.append(self._joined(row, {ERROR: _reason(invalid[row])}))
        return b"".join(found)

    def refused(self, invalid: Mapping[int, InvalidRow]) -> bytes:
        lines = [{**_reason(one), "line": self._text[row].decode(errors="replace")} for row, one in invalid.items()]
        return b"".join(to_json(line, inf_nan_mode="null") + b"\n" for line in lines)

    def _find(self, row: Any) -> None:
        """Decide by the first readable row whether rows are time steps or windows."""
        window = self._spec.window
        if self._is_known or window is None or isinstance(row, UnreadableLine):
            return
        self._is_known = True
        if is_of_steps(list(row), window) if isinstance(row, Mapping) else _width(row) == window.dim:
            self.window = window if isinstance(row, Mapping) else window.in_order
            self._named = isinstance(row, Mapping) if window.beside else None
            self._checker = RowChecker(self._spec.step, strict=self._strict)

    def _joined(self, row: int, more: dict[str, Any]) -> bytes:
        """A line of the output: the object of the row with more keys."""
        given = self._rows[row]
        if not isinstance(given, Mapping) or (self._keep is not None and not self._keep):
            return to_json({"row": self._done + row, **more}, inf_nan_mode="null") + b"\n"
        renamed = free_names(list(more), given.keys())
        added = {renamed.get(name, name): value for name, value in more.items()}
        if self._keep is not None:
            kept = {name: given[name] for name in self._keep if name in given}
            return to_json({**kept, **added}, inf_nan_mode="null") + b"\n"
        text, comma = self._text[row].strip(), b"," if given else b""
        return text[:-1].rstrip() + comma + to_json(added, inf_nan_mode="null")[1:] + b"\n"


def _without(row: Any, names: Sequence[str]) -> Any:
    """A row without these keys."""
    return {name: cell for name, cell in row.items() if name not in names} if isinstance(row, Mapping) else row


def _width(row: Any) -> int | None:
    return len(row) if isinstance(row, list) else None


def _reason(invalid: InvalidRow) -> dict[str, Any]:
    return {
        "row": invalid.row, "column": invalid.column, "reason": invalid.reason, "value": invalid.plain_value,
    }  # fmt: skip


def _cell(value: Any) -> Any:
    return _BOOLEANS[value] if value is None or isinstance(value, bool) else value
