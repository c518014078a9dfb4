"""A condition on one column of an input, such as `machine == M-0082` or `load > 3`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.columns import no_column
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit.tabular.levels import number_in

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_CONDITION = re.compile(r"(.+?)\s*(==|!=|<=|>=|<|>|=)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """COLUMN OPERATOR VALUE. Two numbers are compared as numbers, anything else as text.

    A missing cell fulfils only `COLUMN == ''`.
    """

    column: str
    comparison: str
    value: str

    @classmethod
    def of(cls, text: str) -> Condition:
        """The condition that a text states; names and values may be in quotes.

        Raises:
            InputError: no operator, or no column before it.
        """
        found = _CONDITION.fullmatch(text.strip())
        if found is None:
            raise InputError(f"{text!r}: expected COLUMN == VALUE, with one of {' '.join(COMPARISONS)}")
        return cls(_unquoted(found[1]), found[2], _unquoted(found[3]))

    def check(self, names: list[str]) -> None:
        """Check that the input has the column.

        Raises:
            InputError: it does not.
        """
        if self.column not in names:
            raise InputError(no_column(self.column, names))

    def mask(self, table: pa.RecordBatch, dialect: CsvDialect = PLAIN) -> NDArray[np.bool_]:
        """Which of the rows (n,) fulfil it; dialect: how numbers are written as text."""
        cells = table.column(self.column)
        if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
            cells = dialect.plain(cells)
        return np.array([self._holds(cell) for cell in cells.to_pylist()], dtype=bool)

    def _holds(self, cell: Any) -> bool:
        if cell is None or cell != cell or not str(cell).strip():
            return not self.value and self.comparison in ("==", "=")
        compare, number, other = COMPARISONS[self.comparison], _number(cell), number_in(self.value)
        if number is not None and other is not None:
            return compare(number, other)
        return compare(str(cell).strip(), self.value)


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool):
        return float(cell)
    return float(cell) if isinstance(cell, int | float) else number_in(str(cell))


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
