"""One column's cells, as Arrow has them -> float64 as the model takes it. Knows kinds and levels, not tables or files.

A missing cell is NaN, a category the index of its level.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from vaekit.bundle.columns import first_fault, level_index, level_indices, not_a_level
from vaekit.bundle.manifest import Column
from vaekit.errors import InputError

Floats = NDArray[np.float64]
_READING = pyarrow.csv.ConvertOptions()  # how a training run reads CSV, so that a file means the same to both
MISSING = pa.array(_READING.null_values)
TRUE, FALSE = pa.array(_READING.true_values), pa.array(_READING.false_values)


def check_type(column: Column, kind: pa.DataType, *, indices: bool) -> None:
    """Refuse a column of the input whose type cannot hold what the model's column is.

    Args:
        column: the model's.
        kind: the input's.
        indices: whether categories are written as indices of levels.

    Raises:
        InputError: the column is named.
    """
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return
    if column.kind in ("binary", "category") and pa.types.is_boolean(kind):
        return
    if column.kind == "category" and not indices:
        values = kind.value_type if pa.types.is_dictionary(kind) else kind
        if _is_text(values) or pa.types.is_temporal(values) or (values is not kind and pa.types.is_primitive(values)):
            return
    expected = "text or numbers" if column.kind == "category" else "numbers"
    raise InputError(f"feature {column.name!r}: a column of {kind}, expected {expected}")


def numbers(cells: pa.Array) -> pa.Array:
    """A column of numbers or booleans as float64; integers past 2**53 are rounded, as everywhere."""
    return pc.cast(cells, pa.float64(), safe=False)


def parsed(cells: pa.Array, column: Column, start: int) -> pa.Array:
    """A column of text as float64, null where a cell is empty and may be.

    Raises:
        InputError: a cell that is not a number; row, feature and value are named.
    """
    text = pc.utf8_trim_whitespace(cells)
    try:
        return pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        text = _respelled(text, column)
    try:
        return pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        refuse(_first_unparsable(text), cells, column, start, "not a number")


def _respelled(text: pa.Array, column: Column) -> pa.Array:
    """What is not written as a number and still means one: nothing, and truth."""
    if column.may_be_missing:
        text = pc.if_else(pc.is_in(text, value_set=MISSING), pa.scalar(None, pa.string()), text)
    if column.kind == "binary":
        text = pc.if_else(pc.is_in(text, value_set=TRUE), "1", text)
        text = pc.if_else(pc.is_in(text, value_set=FALSE), "0", text)
    return text


def _first_unparsable(text: pa.Array) -> int:
    first, beyond = 0, len(text)  # a fault lies in [first, beyond), none before it
    while beyond - first > 1:
        middle = (first + beyond) // 2
        try:
            pc.cast(text[first:middle], pa.float64())
            first = middle
        except pa.ArrowInvalid:
            beyond = middle
    return first


def checked(found: pa.Array, cells: pa.Array, column: Column, start: int) -> Floats:
    """Numbers as an array (n,), NaN where a cell is missing.

    Raises:
        InputError: a cell that the column does not take; row, feature and value are named.
    """
    if found.null_count and not column.may_be_missing:
        refuse(int(pc.index(pc.is_null(found), value=True).as_py()), cells, column, start, "missing")
    values: Floats = found.to_numpy(zero_copy_only=False)
    fault = first_fault(values, column)
    if fault is not None:
        at, what = fault
        refuse(at, cells, column, start, what)
    return values


def levels(cells: pa.Array, column: Column, start: int) -> Floats:
    """Indices of the levels that the cells name, (n,), NaN where a cell is missing.

    Raises:
        InputError: a cell that names no level; row, feature and value are named.
    """
    text = _as_text(cells)
    names = [name for name in level_indices(column) if isinstance(name, str)]
    known = np.array([level_indices(column)[name] for name in names], dtype=np.float64)
    place = pc.index_in(text, value_set=pa.array(names, pa.string()))  # null where it is none of them
    values: Floats = np.full(len(cells), np.nan)
    there = place.is_valid().to_numpy(zero_copy_only=False)
    values[there] = known[place.drop_null().to_numpy()]
    for odd in text.filter(place.is_null()).unique():
        same = text.is_null() if odd.as_py() is None else pc.fill_null(pc.equal(text, odd), False)
        here = same.to_numpy(zero_copy_only=False)  # (n,)
        if (index := _unusual(odd.as_py(), column)) is None:
            refuse(int(here.argmax()), cells, column, start, not_a_level(column))
        values[here] = index
    return values


def _unusual(text: str | None, column: Column) -> float | None:
    """The index of a level that is written in another way; NaN for a missing cell; None for neither."""
    if text is None or text.strip() in MISSING.to_pylist():
        return np.nan if column.may_be_missing else None
    return level_index(text, column)


def _as_text(cells: pa.Array) -> pa.Array:
    """Cells as a training run names their levels: dates as numpy writes them, anything else as Arrow does."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.timestamp(cells.type.unit))  # as in UTC: a zone that nobody knows does not matter
        written = cells.to_numpy(zero_copy_only=False).astype(str)
        cells = pa.array(np.where(written == "NaT", None, written), pa.string())
    return pc.cast(cells, pa.string())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def refuse(at: int, cells: pa.Array, column: Column, start: int, what: str) -> NoReturn:
    """Say what is wrong with one cell, in the words that a request's rows are refused in."""
    where = f"row {start + at}, feature {column.name!r}"
    try:
        value = cells[at].as_py()
    except (ArithmeticError, ValueError):  # a time after the year 9999 or of no zone, a decimal of too many digits
        raise InputError(f"{where}: {what}: a {cells.type} that Python has no value for") from None
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{where}: missing")
    shown = repr(value[:40]) if isinstance(value, str) else str(value)
    raise InputError(f"{where}: {what}: {shown}")
