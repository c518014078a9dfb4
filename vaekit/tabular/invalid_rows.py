"""Handles the invalid rows of an Arrow table: refuses the first one, or notes each of them."""

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
    """Receives the invalid cells of whole columns."""

    def cells(self, bad: Bools, cells: pa.Array, column: Column, what: str) -> None:
        """Report invalid cells of a column.

        Args:
            bad: (n,), True for at least one cell.
            cells: the input column, (n,).
            column: the model's column.
            what: what is wrong with the cells.
        """

    def rows(self, bad: Bools, what: str) -> None:
        """Report rows that are invalid as a whole; arguments as in cells."""


class Refusing:
    """Refuses the first invalid cell; `start` is the number of the first row."""

    def __init__(self, start: int) -> None:
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


class Noted:
    """Notes the first fault of each invalid row, in the order of the model's columns."""

    def __init__(self, n: int) -> None:
        self._which = np.full(n, -1, dtype=np.int32)  # (n,), index in `_said`; -1: the row is valid
        self._said: list[tuple[str | None, str]] = []  # column (None: the whole row), what is wrong

    @property
    def bad(self) -> Bools:
        """Which rows are invalid, (n,)."""
        return self._which >= 0

    def cells(self, bad: Bools, cells: pa.Array, column: Column, what: str) -> None:
        blank = bad & _blank(cells)
        self._note(blank, column.name, MISSING)
        self._note(bad & ~blank, column.name, what)

    def rows(self, bad: Bools, what: str) -> None:
        self._note(bad, None, what)

    def said(self) -> tuple[list[str | None], list[str]]:
        """(columns, what is wrong) of the invalid rows, in their order."""
        said = [self._said[i] for i in self._which[self.bad]]
        return [column for column, _ in said], [what for _, what in said]

    def _note(self, bad: Bools, column: str | None, what: str) -> None:
        new = bad & ~self.bad
        if new.any():
            self._which[new] = len(self._said)
            self._said.append((column, what))


def _blank(cells: pa.Array) -> Bools:
    """Which cells are null or blank text, (n,)."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    blank = pc.is_null(cells)
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        blank = pc.or_(blank, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(cells), ""), False))
    found: Bools = blank.to_numpy(zero_copy_only=False)
    return found
