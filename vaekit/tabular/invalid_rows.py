"""Handles the invalid rows of an Arrow table: raises an error for the first one, or collects all of them."""

from __future__ import annotations

from typing import NoReturn, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.tabular.cells import MISSING

Bools = NDArray[np.bool_]
EMPTY_ROW = "every cell is missing"


class Faults(Protocol):
    """Receives reports of invalid cells and rows, column by column."""

    def cells(self, bad: Bools, cells: pa.Array, column: Column, what: str) -> None:
        """Report invalid cells of a column.

        Args:
            bad: (n,), which cells are invalid; at least one is.
            cells: the input column, (n,).
            column: the model's column.
            what: what is wrong with the cells.
        """

    def rows(self, bad: Bools, what: str) -> None:
        """Report rows (n,) that are invalid as a whole; arguments as in `cells`."""


class RaiseFirstFault:
    """Raises an InputError for the first invalid cell or row."""

    def __init__(self, start: int) -> None:
        """start: the number of the table's first row, for error messages."""
        self._start = start

    def cells(self, bad: Bools, cells: pa.Array, column: Column, what: str) -> NoReturn:
        """Raises InputError with the same message as for rows of a request."""
        at = int(bad.argmax())
        where = f"row {self._start + at}, feature {column.name!r}"
        try:
            value = cells[at].as_py()
        except (ArithmeticError, ValueError):  # a time after the year 9999 or in an unknown zone, or too long a decimal
            raise InputError(f"{where}: {what}: a {cells.type} that Python cannot represent") from None
        if value is None or (isinstance(value, str) and not value.strip()):
            raise InputError(f"{where}: {MISSING}")
        shown = repr(value[:40]) if isinstance(value, str) else str(value)
        raise InputError(f"{where}: {what}: {shown}")

    def rows(self, bad: Bools, what: str) -> NoReturn:
        raise InputError(f"row {self._start + int(bad.argmax())}: {what}")


class CollectFaults:
    """Collects the first fault of each invalid row, in the order of the model's columns."""

    def __init__(self, n: int) -> None:
        """n: the number of rows of the table."""
        self._which = np.full(n, -1, dtype=np.int32)  # (n,), index in `_reasons`; -1: the row is valid
        self._reasons: list[tuple[str | None, str]] = []  # column (None: the whole row), what is wrong

    @property
    def bad(self) -> Bools:
        """Which rows are invalid, (n,)."""
        return self._which >= 0

    def cells(self, bad: Bools, cells: pa.Array, column: Column, what: str) -> None:
        blank = bad & _blank(cells)
        self._collect(blank, column.name, MISSING)
        self._collect(bad & ~blank, column.name, what)

    def rows(self, bad: Bools, what: str) -> None:
        self._collect(bad, None, what)

    def reasons(self) -> tuple[list[str | None], list[str]]:
        """(column, what is wrong) of each invalid row, as two lists. The column is None if the whole row is invalid."""
        found = [self._reasons[i] for i in self._which[self.bad]]
        return [column for column, _ in found], [what for _, what in found]

    def _collect(self, bad: Bools, column: str | None, what: str) -> None:
        new = bad & ~self.bad
        if new.any():
            self._which[new] = len(self._reasons)
            self._reasons.append((column, what))


def _blank(cells: pa.Array) -> Bools:
    """Which cells are null or blank text, (n,)."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    blank = pc.is_null(cells)
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        blank = pc.or_(blank, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(cells), ""), False))
    found: Bools = blank.to_numpy(zero_copy_only=False)
    return found
