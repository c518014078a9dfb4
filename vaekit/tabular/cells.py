"""What one cell means to a column: a number, a level, missing, or refused.

Cells are read to float64: a missing one is NaN, a category is the index of its level. `read_cell` decides; everything
else that reads cells either calls it, or takes only cells of which the answer is beyond doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from numbers import Real
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column
from vaekit.tabular.levels import level_index, level_indices, not_a_level, number_in

Floats = NDArray[np.float64]
Fault = tuple[int, str]  # a cell's row, and what is wrong with it

MISSING, NOT_A_NUMBER, NOT_FINITE = "missing", "not a number", "not finite"
TRUE, FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
MISSING_TEXTS = frozenset(  # of pandas and of pyarrow
    {
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
        "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null",
    }
)  # fmt: skip
_NUMBERS = frozenset({int, float})
_NAMES = frozenset({str, int, float, NoneType})  # of levels; a boolean would be taken for 0 or 1


def read_cell(cell: Any, column: Column, *, written: bool = False) -> float | str:
    """The cell's number, NaN where it is missing, the index of its level; or, as text, what is wrong with it.

    None and NaN are missing; text of nothing but blanks is where numbers are written, and in a category. Booleans are
    cells of binary columns and of categories alone. A category takes what `level_index` finds; text like 'NA' that is
    none of its levels is missing.

    Args:
        cell: as a caller has it.
        column: it is of.
        written: whether numbers and booleans are written as text, as in a CSV file; else text is no number.
    """
    if column.kind == "category":
        return _level(plain(cell), column)
    number = read_number(cell, column, written=written)
    if isinstance(number, str):
        return number
    fault = first_fault(np.array([number]), column)
    return number if fault is None else fault[1]


def read_number(cell: Any, column: Column, *, written: bool = False) -> float | str:
    """As read_cell, of a column that is no category; whether its kind has such a number is not looked at."""
    cell = plain(cell)
    if isinstance(cell, str) and written:
        return _number_written(cell.strip(), column)
    if cell is None:
        return np.nan if column.may_be_missing else MISSING
    if isinstance(cell, bool):
        return float(cell) if column.kind == "binary" else NOT_A_NUMBER
    if not isinstance(cell, int | float):
        return NOT_A_NUMBER
    try:
        return float(cell)
    except OverflowError:
        return NOT_FINITE


def read_column(cells: list[Any], column: Column, *, written: bool = False) -> tuple[Floats, Fault | None]:
    """(numbers (n,) as read_cell has them, the first cell that is refused).

    Numbers are not checked against the column's kind, see `faults_of`. After a fault the numbers mean nothing.
    """
    with suppress(KeyError, OverflowError):
        if (values := _beyond_doubt(cells, column)) is not None:
            return values, None
    found = np.empty(len(cells), dtype=np.float64)
    for row, cell in enumerate(cells):
        one = _level(plain(cell), column) if column.kind == "category" else read_number(cell, column, written=written)
        if isinstance(one, str):
            return found, (row, one)
        found[row] = one
    return found, None


def plain(cell: Any) -> Any:
    """The cell without the wrapper of numpy or pandas; any real number as a float, what has no value as None."""
    if type(cell) in _NAMES:
        return cell
    if type(cell).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(cell, np.datetime64 | np.timedelta64):  # numpy takes a duration for an integer
        return None if np.isnat(cell) else cell
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, bool | int | float) or not isinstance(cell, Real | Decimal):
        return cell
    try:
        return float(cell)
    except ValueError:  # a signalling NaN
        return np.nan
    except OverflowError:
        return np.inf


def is_missing(cell: Any) -> bool:
    """Whether there is nothing in a cell, whatever its column is."""
    cell = plain(cell)
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and cell != cell)


def spells_missing(text: str) -> bool:
    """Whether a text says that there is nothing: NA, nan, null and their like, perhaps between blanks."""
    return text.strip() in MISSING_TEXTS or text.strip().lower() in ("nan", "+nan", "-nan")


def is_known(cell: Any) -> bool:
    """Whether a cell is of a type that some column takes: a number, a boolean, text, or missing."""
    return isinstance(plain(cell), str | bool | int | float | NoneType)


def show(value: Any) -> str:
    """A short repr: the value itself, never pages of it."""
    try:
        text = repr(value)
    except ValueError:
        text = f"an integer of {value.bit_length()} bits"
    return text if len(text) <= 40 else text[:37] + "..."


def _level(cell: Any, column: Column) -> float | str:
    index = level_index(cell, column)
    if index is not None:
        return float(index)
    if is_missing(cell):
        return np.nan if column.may_be_missing else MISSING
    if column.may_be_missing and isinstance(cell, str) and spells_missing(cell):
        return np.nan
    return not_a_level(column)


def _number_written(text: str, column: Column) -> float | str:
    if not text or (column.may_be_missing and spells_missing(text)):
        return np.nan if column.may_be_missing else MISSING
    if column.kind == "binary" and text in TRUE | FALSE:
        return float(text in TRUE)
    number = number_in(text)
    return NOT_A_NUMBER if number is None else number


def _beyond_doubt(cells: list[Any], column: Column) -> Floats | None:
    """All cells at once, where their types leave no doubt; None, KeyError or OverflowError: where there is one."""
    types = set(map(type, cells))
    if column.kind == "category":
        gaps = {None: np.nan, "": np.nan} if column.may_be_missing and "" not in (column.levels or ()) else {}
        known: dict[Any, float] = {**level_indices(column), **gaps}
        return np.array([known[cell] for cell in cells], dtype=np.float64) if types <= _NAMES else None
    doubtful = {t for t in types if t not in _NUMBERS and not _is_number_type(t)}
    doubtful -= {NoneType} if column.may_be_missing else set()
    doubtful -= {bool, np.bool_} if column.kind == "binary" else set()
    return None if doubtful else np.array(cells, dtype=np.float64)  # None becomes NaN


def _is_number_type(t: type) -> bool:
    return issubclass(t, np.integer | np.floating) and not issubclass(t, np.timedelta64)


def _of_a_level(v: Floats, column: Column) -> NDArray[np.bool_]:
    good: NDArray[np.bool_] = (v >= 0) & (v < len(column.levels or ())) & (v == np.trunc(v))
    return good


# What a value of the kind is, and what is said of one that is not. NaN is none of them; it is looked at apart.
_RULES: dict[str, tuple[Callable[[Floats, Column], NDArray[np.bool_]], str]] = {
    "positive": (lambda v, _: v > 0, "not above 0"),
    "count": (lambda v, _: (v >= 0) & (v == np.trunc(v)), "not a whole number of at least 0"),
    "fraction": (lambda v, _: (v >= 0) & (v <= 1), "not between 0 and 1"),
    "binary": (lambda v, _: (v == 0) | (v == 1), "not 0 or 1"),
    "category": (_of_a_level, "not the index of a level"),
}


def faults_of(values: Floats, column: Column) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Which values the column does not take, (N,) each, and what is wrong with those.

    Args:
        values: (N,); NaN where a cell is missing.
        column: what they are values of.
    """
    finite = np.isfinite(values)
    fine = finite | (np.isnan(values) & column.may_be_missing)
    if not fine.all():
        yield ~fine, NOT_FINITE
    if column.kind == "real":
        return
    rule, said = _RULES[column.kind]
    with np.errstate(invalid="ignore"):
        good = rule(values, column) | ~finite
    if not good.all():
        yield ~good, said


def first_fault(values: Floats, column: Column) -> Fault | None:
    """Where the first value is that the column does not take, and what is wrong with it; None where there is none."""
    return next(((int(bad.argmax()), what) for bad, what in faults_of(values, column)), None)
