"""One column's cells, as Arrow has them -> float64 as the model takes it. Knows kinds and levels, not tables or files.

A missing cell is NaN, a category the index of its level.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from vaekit.arrow.faults import MISSING_CELL, Faults
from vaekit.bundle.columns import faults_of, level_index, level_indices, not_a_level
from vaekit.bundle.manifest import Column
from vaekit.errors import InputError

Floats = NDArray[np.float64]
_READING = pyarrow.csv.ConvertOptions()  # how a training run reads CSV, so that a file means the same to both
MISSING = pa.array(_READING.null_values)
PLAIN = r"^[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"  # numbers beyond doubt
BEGINNING = r"(?i)^[-+]?(?:[0-9.]|inf|nan)"  # without which there is no number
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


def parsed(cells: pa.Array, column: Column, faults: Faults) -> pa.Array:
    """A column of text as float64, null where a cell is empty and may be; cells that are no numbers are faults."""
    text = pc.utf8_trim_whitespace(cells)
    try:
        return pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        text = _respelled(text, column)
    bad = _unparsable(text)
    if pc.any(bad).as_py():
        faults.cells(bad.to_numpy(zero_copy_only=False), cells, column, "not a number")
        text = pc.if_else(bad, pa.scalar(None, pa.string()), text)
    return pc.cast(text, pa.float64())


def _respelled(text: pa.Array, column: Column) -> pa.Array:
    """What is not written as a number and still means one: nothing, and truth."""
    if column.may_be_missing:
        text = pc.if_else(pc.is_in(text, value_set=MISSING), pa.scalar(None, pa.string()), text)
    if column.kind == "binary":
        text = pc.if_else(pc.is_in(text, value_set=TRUE), "1", text)
        text = pc.if_else(pc.is_in(text, value_set=FALSE), "0", text)
    return text


def _unparsable(text: pa.Array) -> pa.Array:
    """Which texts are no numbers, (n,) booleans; what might be one is tried, one of each text."""
    hopeless = pc.fill_null(pc.invert(pc.match_substring_regex(text, BEGINNING)), False)
    plain = pc.fill_null(pc.match_substring_regex(text, PLAIN), True)
    tried = text.filter(pc.invert(pc.or_(hopeless, plain))).unique()
    odd = pa.array([one.as_py() for one in tried if not _is_number(one)], pa.string())
    return pc.or_(hopeless, pc.is_in(text, value_set=odd))


def _is_number(text: pa.Scalar) -> bool:
    try:
        pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def checked(found: pa.Array, cells: pa.Array, column: Column, faults: Faults) -> Floats:
    """Numbers as an array (n,), NaN where a cell is missing; cells that the column does not take are faults."""
    if found.null_count and not column.may_be_missing:
        faults.cells(pc.is_null(found).to_numpy(zero_copy_only=False), cells, column, MISSING_CELL)
    values: Floats = found.to_numpy(zero_copy_only=False)
    for bad, what in faults_of(values, column):
        faults.cells(bad, cells, column, what)
    return values


def levels(cells: pa.Array, column: Column, faults: Faults) -> Floats:
    """Indices of the levels that the cells name, (n,), NaN where a cell is missing; one that names none is a fault."""
    text = _as_text(cells)
    names = [name for name in level_indices(column) if isinstance(name, str)]
    known = np.array([level_indices(column)[name] for name in names], dtype=np.float64)
    place = pc.index_in(text, value_set=pa.array(names, pa.string()))  # null where it is none of them
    values: Floats = np.full(len(cells), np.nan)
    there = place.is_valid().to_numpy(zero_copy_only=False)
    values[there] = known[place.drop_null().to_numpy()]
    if there.all():
        return values
    odd = text.filter(place.is_null()).unique()
    meant = [_unusual(one.as_py(), column) for one in odd]
    at = pc.index_in(text.filter(place.is_null()), value_set=odd).to_numpy()
    values[~there] = np.array([np.nan if index is None else index for index in meant])[at]
    bad = np.zeros(len(cells), dtype=bool)
    bad[~there] = np.array([index is None for index in meant])[at]
    if bad.any():
        faults.cells(bad, cells, column, not_a_level(column))
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
