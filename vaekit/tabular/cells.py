"""The rule for what one cell of a column means: a number, a level, missing, or invalid.

Cells are read as float64: NaN for a missing cell, the index of the level for a category. `read_cell` is the rule. All
other code that reads cells calls it, except where the type of the cells allows only one meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import time, timedelta
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column
from vaekit.tabular.levels import level_index, level_indices, not_a_level, number_in

Floats = NDArray[np.float64]
Fault = tuple[int, str]  # the row of an invalid cell, and what is wrong with it

MISSING, NOT_A_NUMBER, NOT_FINITE = "missing", "not a number", "not finite"
TRUE, FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
MISSING_TEXTS = frozenset(  # all texts that pandas or pyarrow reads as missing
    {
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
        "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null",
    }
)  # fmt: skip
_NUMBERS = frozenset({int, float})
_DIGITS_ALONE = re.compile(r"[-+0-9.eE,]*", re.ASCII)
_LEVEL_TYPES = frozenset({str, int, float, NoneType})  # cells that name levels; not bool: True would match the level 1


def read_cell(cell: Any, column: Column, *, written: bool = False) -> float | str:
    """The value of a cell: its number, NaN if it is missing, or the index of its level. If invalid, the reason as text.

    None and NaN are missing. Blank text is missing in a category, and in a column of numbers written as text. In a
    column of numbers, True is 1, False is 0, and a duration is its seconds. In a category, `level_index` finds the
    level; text like 'NA' that is not a level is missing. So are the column's `missing_values`. If the column takes
    novel cells, any other level has the index after the last, and numbers need not be of the column's kind.

    Args:
        cell: any object.
        column: the cell's column.
        written: whether numbers and booleans may be text, as in a CSV file. If False, text is not a number.
    """
    if column.kind == "category":
        return _level(plain(cell), column)
    number = read_number(cell, column, written=written)
    if isinstance(number, str):
        return number
    fault = first_fault(np.array([number]), column)
    return number if fault is None else fault[1]


def read_number(cell: Any, column: Column, *, written: bool = False) -> float | str:
    """Like read_cell, for a column that is not a category. Does not check that the column's kind allows the number."""
    cell = plain(cell)
    if cell is None or (column.missing_values and stands_for_missing(cell, column.missing_values)):
        return np.nan if column.takes_missing else MISSING
    if isinstance(cell, str) and written:
        return _number_in_text(cell.strip(), column)
    if not isinstance(cell, int | float):  # a boolean is an int
        return NOT_A_NUMBER
    try:
        return float(cell)
    except OverflowError:
        return NOT_FINITE


def read_column(cells: list[Any], column: Column, *, written: bool = False) -> tuple[Floats, Fault | None]:
    """(values (n,), the first invalid cell or None), like read_cell for each cell.

    Whether the column's kind allows the numbers is not checked; see `faults_of`. If a cell is invalid, the values are
    undefined.
    """
    with suppress(KeyError, OverflowError):
        if (values := _read_unambiguous(cells, column)) is not None:
            return values, None
    if written and (values := _read_plain_text(cells, column)) is not None:
        return values, None
    found = np.empty(len(cells), dtype=np.float64)
    for row, cell in enumerate(cells):
        one = _level(plain(cell), column) if column.kind == "category" else read_number(cell, column, written=written)
        if isinstance(one, str):
            return found, (row, one)
        found[row] = one
    return found, None


def plain(cell: Any) -> Any:
    """The cell without its numpy or pandas wrapper.

    NA and NaT are None, a duration is its seconds, an interval of `pandas.cut` and a time of day are text, other real
    numbers are floats.
    """
    if type(cell) in _LEVEL_TYPES:
        return cell
    if type(cell).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(cell, np.datetime64 | np.timedelta64):  # numpy counts a duration as an integer
        return None if np.isnat(cell) else seconds(cell) if isinstance(cell, np.timedelta64) else cell
    if isinstance(cell, timedelta):
        return seconds(cell)
    if isinstance(cell, time) or type(cell).__name__ == "Interval":
        return str(cell)
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


def seconds(duration: timedelta | np.timedelta64) -> float:
    """The number that a duration is in every form of input, whatever its unit."""
    if isinstance(duration, np.timedelta64):
        return float(duration / np.timedelta64(1, "s"))
    return duration.total_seconds()


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty in any column: None, NaN or blank text."""
    cell = plain(cell)
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and cell != cell)


def spells_missing(text: str) -> bool:
    """Whether a text means a missing value: NA, nan, null and so on, with or without blanks around it."""
    return text.strip() in MISSING_TEXTS or spells_nan(text)


def spells_nan(text: str) -> bool:
    """Whether a text is the number NaN."""
    return text.strip().lower() in ("nan", "+nan", "-nan")


def stands_for_missing(cell: Any, values: tuple[float | str, ...]) -> bool:
    """Whether a cell is one of the numbers or texts that mean a missing value; text is compared without outer blanks.

    Text that is a number is compared as a number too: -999 is meant by -999, -999.0 and '-999.0'.
    """
    if isinstance(cell, str):
        return cell.strip() in values or number_in(cell) in missing_numbers(values)
    return isinstance(cell, int | float) and not isinstance(cell, bool) and cell in missing_numbers(values)


@lru_cache
def missing_numbers(values: tuple[float | str, ...]) -> tuple[float, ...]:
    """The numbers among these values, also as float32 rounds them: a column of float32 holds -999.9 as -999.9000244."""
    numbers = [value for value in values if not isinstance(value, str)]
    with np.errstate(over="ignore"):
        return (*numbers, *(float(np.float32(number)) for number in numbers if np.isfinite(np.float32(number))))


def stand_ins(column: Column) -> tuple[float, ...]:
    """The numbers that stand for a missing cell of a column; of a category those that are no index of a level."""
    indices = () if column.levels is None else range(len(column.levels) + 1)  # the last is that of an unseen level
    return tuple(number for number in missing_numbers(column.missing_values) if number not in indices)


def without_missing_values(x: Floats, columns: Sequence[Column]) -> Floats:
    """x (N, D), with categories as indices, with NaN for the numbers that stand for a missing cell, in a copy."""
    found = x
    for d, column in enumerate(columns):
        if column.missing_values and (at := np.isin(x[:, d], stand_ins(column))).any():
            found = x.copy() if found is x else found
            found[at, d] = np.nan
    return found


def is_known(cell: Any) -> bool:
    """Whether a cell has a type that columns can take: a number, a boolean, text, or missing."""
    return isinstance(plain(cell), str | bool | int | float | NoneType)


def show(value: Any) -> str:
    """The repr of a value, cut to 40 characters."""
    try:
        text = repr(value)
    except ValueError:
        text = f"an integer of {value.bit_length()} bits"
    return text if len(text) <= 40 else text[:37] + "..."


def _level(cell: Any, column: Column) -> float | str:
    index = level_index(cell, column)
    if index is not None:
        return float(index)
    if is_missing(cell) or (column.missing_values and stands_for_missing(cell, column.missing_values)):
        return np.nan if column.takes_missing else MISSING
    if column.may_be_missing and isinstance(cell, str) and spells_missing(cell):
        return np.nan
    if column.takes_novel and isinstance(cell, str | bool | int | float):
        return float(len(column.levels or ()))
    return not_a_level(column)


def _number_in_text(text: str, column: Column) -> float | str:
    if not text or (column.may_be_missing and spells_missing(text)):
        return np.nan if column.takes_missing else MISSING
    if text in TRUE | FALSE:
        return float(text in TRUE)
    number = number_in(text)
    return NOT_A_NUMBER if number is None else number


def _read_unambiguous(cells: list[Any], column: Column) -> Floats | None:
    """The values of all cells if their types are unambiguous.

    Otherwise returns None, or raises KeyError or OverflowError.
    """
    types = set(map(type, cells))
    if column.kind == "category":
        gaps = {None: np.nan, "": np.nan} if column.takes_missing and "" not in (column.levels or ()) else {}
        known: dict[Any, float] = {**level_indices(column), **gaps}
        return np.array([known[cell] for cell in cells], dtype=np.float64) if types <= _LEVEL_TYPES else None
    doubtful = {t for t in types if t not in _NUMBERS and not _is_number_type(t)}
    doubtful -= {NoneType} if column.takes_missing else set()
    doubtful -= {bool, np.bool_}
    return None if doubtful else np.array(cells, dtype=np.float64)  # None becomes NaN


def _read_plain_text(cells: list[Any], column: Column) -> Floats | None:
    """The numbers of cells that are text of digits, signs, points and exponents alone; None if any cell is not."""
    if column.kind == "category" or any(isinstance(value, str) for value in column.missing_values):
        return None
    if set(map(type, cells)) != {str} or not _DIGITS_ALONE.fullmatch(",".join(cells)):
        return None
    try:
        return np.array(list(map(float, cells)), dtype=np.float64)
    except ValueError:  # empty, or a comma, or no number
        return None


def _is_number_type(t: type) -> bool:
    return issubclass(t, np.integer | np.floating) and not issubclass(t, np.timedelta64)


def _is_level(v: Floats, column: Column) -> NDArray[np.bool_]:
    return _is_index(v, column) & (v < len(column.levels or ()))


def _is_index(v: Floats, _: Column) -> NDArray[np.bool_]:
    good: NDArray[np.bool_] = (v >= 0) & (v == np.trunc(v))
    return good


# For each kind, the test of its values, and the message for a value that fails. NaN is handled separately.
_RULES: dict[str, tuple[Callable[[Floats, Column], NDArray[np.bool_]], str]] = {
    "positive": (lambda v, _: v > 0, "not above 0"),
    "count": (_is_index, "not a whole number of at least 0"),
    "fraction": (lambda v, _: (v >= 0) & (v <= 1), "not between 0 and 1"),
    "binary": (lambda v, _: (v == 0) | (v == 1), "not 0 or 1"),
    "category": (_is_level, "not the index of a level"),
}
_UNSEEN_LEVEL = (_is_index, _RULES["category"][1])  # the rule of a category that takes levels unseen in training


def outside(values: Floats, column: Column) -> NDArray[np.bool_]:
    """Which values are outside the column's support: not of its kind, or no level of it, (N,). NaN never is."""
    if column.kind == "real":
        return np.zeros(values.shape, dtype=bool)
    with np.errstate(invalid="ignore"):
        return ~(_RULES[column.kind][0](values, column) | np.isnan(values))


def faults_of(values: Floats, column: Column) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """For each kind of fault in the column: (which values have it (N,), what is wrong with them).

    Args:
        values: (N,); NaN where a cell is missing.
        column: the column of the values.
    """
    finite = np.isfinite(values)
    fine = finite | (np.isnan(values) & column.takes_missing)
    if not fine.all():
        yield ~fine, NOT_FINITE
    if column.kind == "real" or (column.takes_novel and column.kind != "category"):
        return
    rule, said = _UNSEEN_LEVEL if column.takes_novel else _RULES[column.kind]
    with np.errstate(invalid="ignore"):
        good = rule(values, column) | ~finite
    if not good.all():
        yield ~good, said


def first_fault(values: Floats, column: Column) -> Fault | None:
    """The row of the first invalid value, and what is wrong with it; None if all are valid."""
    return next(((int(bad.argmax()), what) for bad, what in faults_of(values, column)), None)
