"""Checks rows of lists, mappings or text, and separates the invalid ones with the reason of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import (
    MISSING,
    NOT_FINITE,
    Floats,
    faults_of,
    read_cell,
    read_column,
    show,
    spells_nan,
    without_missing_values,
)
from vaekit.tabular.columns import MOST_IGNORED, NOTHING_IGNORED, Ignored, ignored
from vaekit.tabular.novelty import has_more_missing, more_missing
from vaekit.tabular.text_rows import UnreadableLine

EMPTY_ROW = "every cell is missing"
_LONGEST_VALUE = 100  # characters
_ABSENT = object()  # the cell of a mapping that has no key for a column


@dataclass(frozen=True)
class InvalidRow:
    """A row that cannot be read, and why."""

    row: int  # its number, from 0
    reason: str
    column: str | None = None  # None: the row as a whole
    value: Any = None  # of the cell, or the beginning of the line
    id: str | int | None = None  # the caller's id of the row

    def __str__(self) -> str:
        where = f"row {self.row}" if self.id is None else f"row {self.row} ({self.id})"
        where += "" if self.column is None else f", feature {self.column!r}"
        return f"{where}: {self.reason}" + ("" if self.value is None else f": {show(self.value)}")

    @property
    def plain_value(self) -> str | int | float | bool | None:
        """The value as JSON can hold it: long text is cut, other objects are shown."""
        value = self.value
        if isinstance(value, str):
            return value[:_LONGEST_VALUE]
        if value is None or (isinstance(value, int | float) and abs(value) < 2**63):
            return value
        return show(value)


@dataclass(frozen=True)
class CheckedRows:
    """Rows as the array of the graphs, without the invalid ones. N rows, n of them valid."""

    x: Floats  # (n, D); NaN where a cell is missing
    valid: NDArray[np.int64]  # (n,), the numbers of the valid rows among the N
    invalid: Sequence[InvalidRow] = ()  # in order
    ignored: Ignored = NOTHING_IGNORED

    def require_all(self) -> CheckedRows:
        """Itself, if all rows are valid.

        Raises:
            InputError: the first invalid row.
        """
        if self.invalid:
            raise InputError(str(self.invalid[0]))
        return self

    def numbered_from(self, start: int) -> CheckedRows:
        """The same with the first row called `start` in reports of invalid rows."""
        return replace(self, invalid=[replace(one, row=one.row + start) for one in self.invalid])


class RowChecker:
    """Checks rows for a model, by the rule of cells.

    Args:
        spec: the model's input.
        strict: whether to refuse novel rows, and columns that the model does not have.
        takes_novel: whether to take novel rows if not strict.
        most_missing: with strict, how many cells of a row may be missing; None: any number.
        written: whether numbers and booleans are text, as in CSV.
    """

    def __init__(
        self,
        spec: VectorSpec,
        *,
        strict: bool = False,
        takes_novel: bool = True,
        most_missing: int | None = None,
        written: bool = False,
    ) -> None:
        self._spec, self._strict, self._written = spec, strict, written
        self._columns = (spec.lenient if takes_novel and not strict else spec).columns
        self._most_missing = most_missing if strict else None
        self._known = frozenset(spec.names)

    def rows(self, rows: Sequence[Any]) -> CheckedRows:
        """Check lists in column order, mappings by column name, and unreadable lines.

        Raises:
            InputError: too many columns that the model does not have, or one of them if strict.
        """
        faults: dict[int, InvalidRow] = {}
        extra: dict[str, None] = {}
        absent: dict[str, None] = {}
        cells: list[Sequence[Any]] = []
        for row, given in enumerate(rows):
            if isinstance(given, Mapping):
                cells.append(self._by_name(row, given, extra, absent))
            elif isinstance(given, Sequence) and not isinstance(given, str | bytes) and len(given) == self._spec.dim:
                cells.append(given)
            else:
                faults[row] = _no_row(row, given, self._spec.dim)
                cells.append((None,) * self._spec.dim)
        other = ignored(extra, absent, strict=self._strict)
        return self._checked(list(zip(*cells, strict=True)), len(rows), faults, other)

    def columns(
        self, rows: Sequence[Sequence[Any] | UnreadableLine], at: Sequence[int | None], other: Ignored = NOTHING_IGNORED
    ) -> CheckedRows:
        """Check rows whose columns were found by `model_order`.

        Args:
            rows: lists of one width, and unreadable lines.
            at: the index in the rows of each column of the model, (D,); None: it is absent.
            other: the columns that are ignored.
        """
        faults = {row: _no_row(row, one, 0) for row, one in enumerate(rows) if isinstance(one, UnreadableLine)}
        blank: Sequence[Any] = (None,) * (1 + max((i for i in at if i is not None), default=0))
        each = list(zip(*(blank if isinstance(one, UnreadableLine) else one for one in rows), strict=True))
        return self._checked([None if i is None else each[i] for i in at] if each else [], len(rows), faults, other)

    def _by_name(
        self, row: int, given: Mapping[Any, Any], extra: dict[str, None], absent: dict[str, None]
    ) -> Sequence[Any]:
        known = self._spec.names
        cells = [given.get(name, _ABSENT) for name in known]
        lacking = [name for name, cell in zip(known, cells, strict=True) if cell is _ABSENT]
        if len(given) > len(known) - len(lacking):
            extra |= dict.fromkeys(str(name) for name in given if name not in self._known)
            absent |= dict.fromkeys(lacking)
            if len(extra) > MOST_IGNORED or (self._strict and extra):
                ignored(extra, absent, strict=self._strict, where=f"row {row}: ")
        return cells

    def _checked(
        self, columns: Sequence[Sequence[Any] | None], n: int, faults: dict[int, InvalidRow], other: Ignored
    ) -> CheckedRows:
        x = np.full((n, self._spec.dim), np.nan)  # (N, D)
        broken = np.zeros(n, dtype=bool)
        broken[list(faults)] = True
        for d, (cells, column) in enumerate(zip(columns, self._columns, strict=False)):
            if cells is not None:
                values = self._read(list(cells), column, broken, faults)
                x[:, d] = without_missing_values(values[:, None], (column,))[:, 0]
            self._check_kind(x[:, d], cells, column, faults)
        self._check_missing(x, faults)
        valid = np.array([row for row in range(n) if row not in faults], dtype=np.int64) if faults else np.arange(n)
        invalid = [faults[row] for row in sorted(faults)]
        return CheckedRows(x[valid] if faults else x, valid, invalid, other)

    def _read(
        self, cells: list[Any], column: Column, broken: NDArray[np.bool_], faults: dict[int, InvalidRow]
    ) -> Floats:
        """The values of a column, (N,); NaN in the cells that are faults, and in rows that are broken."""
        required = not column.may_be_missing
        for row, cell in enumerate(cells) if _ABSENT in cells else ():
            if cell is _ABSENT:
                cells[row] = None
                if required:
                    faults.setdefault(row, InvalidRow(row, MISSING, column.name))
        if not broken.any():
            values, fault = read_column(cells, column, written=self._written)
            if fault is None:
                return values
        found = np.full(len(cells), np.nan)
        for row, cell in enumerate(cells):
            if not broken[row]:
                value = read_cell(cell, column, written=self._written)
                if isinstance(value, str):
                    shown = None if value == MISSING else cell
                    faults.setdefault(row, InvalidRow(row, value, column.name, shown))
                else:
                    found[row] = value
        return found

    def _check_kind(
        self, values: Floats, cells: Sequence[Any] | None, column: Column, faults: dict[int, InvalidRow]
    ) -> None:
        for bad, what in faults_of(values, column):
            for row in map(int, np.flatnonzero(bad)):
                cell = None if cells is None else cells[row]
                is_missing = what == NOT_FINITE and bool(np.isnan(values[row])) and not _is_nan(cell)
                value = None if is_missing else cell
                faults.setdefault(row, InvalidRow(row, MISSING if is_missing else what, column.name, value))

    def _check_missing(self, x: Floats, faults: dict[int, InvalidRow]) -> None:
        if not self._strict:
            return
        for row in map(int, np.flatnonzero(np.isnan(x).all(axis=1))):
            faults.setdefault(row, InvalidRow(row, EMPTY_ROW))
        if self._most_missing is not None:
            for row in map(int, np.flatnonzero(has_more_missing(x, self._most_missing))):
                faults.setdefault(row, InvalidRow(row, more_missing(self._most_missing)))


def _is_nan(cell: Any) -> bool:
    """Whether a cell is written as NaN, where a missing one would be empty."""
    return cell != cell or (isinstance(cell, str) and spells_nan(cell))


def _no_row(row: int, given: Any, dim: int) -> InvalidRow:
    """The fault of what is neither a list of the right length nor a mapping."""
    if isinstance(given, UnreadableLine):
        return InvalidRow(row, given.reason, value=given.text)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return InvalidRow(row, f"{len(given)} values, expected {dim}")
    return InvalidRow(row, f"expected an object by column name or a list of {dim} values", value=given)
