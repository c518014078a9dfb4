"""Converts one Arrow column to float64: NaN for a missing cell, the index of the level for a category.

Unambiguous cells of a column are read together. The others are read by `cells.read_cell`, once per distinct value.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.tabular.cells import MISSING, faults_of, read_cell, read_number, stand_ins
from vaekit.tabular.intervals import closed_end, texts
from vaekit.tabular.invalid_rows import Faults
from vaekit.tabular.levels import level_indices, not_a_level
from vaekit.tabular.periods import dates, frequency

Floats = NDArray[np.float64]
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # of a duration in a second
PLAIN_NUMBER = r"^[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"  # unambiguous numbers


def check_type(column: Column, field: pa.Field, *, indices: bool) -> None:
    """Check that the type of an input column can hold the values of the model's column.

    Args:
        column: the model's column.
        field: the input column.
        indices: whether categories are given as indices of levels.

    Raises:
        InputError: the type does not fit; the message names the column.
    """
    kind = pa.string() if closed_end(field) or frequency(field) else field.type
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return
    if pa.types.is_duration(kind) or pa.types.is_boolean(kind):
        return
    if column.kind == "category" and not indices:
        values = kind.value_type if pa.types.is_dictionary(kind) else kind
        if _is_text(values) or pa.types.is_temporal(values) or (values is not kind and pa.types.is_primitive(values)):
            return
    expected = "text or numbers" if column.kind == "category" else "numbers"
    raise InputError(f"feature {column.name!r}: the column has type {kind}, expected {expected}")


def numbers(cells: pa.Array) -> pa.Array:
    """A column of numbers, booleans or durations as float64; integers beyond 2**53 are rounded.

    A duration is its seconds, whatever the unit of its type.
    """
    cells = stored(cells)
    if pa.types.is_duration(cells.type):
        return pc.divide(pc.cast(pc.cast(cells, pa.int64()), pa.float64(), safe=False), UNITS[cells.type.unit])
    if pa.types.is_decimal(cells.type):
        cells = pc.cast(cells, pa.string())  # Arrow's cast of a decimal may not give the nearest float64
    return pc.cast(cells, pa.float64(), safe=False)


def stored(cells: Any) -> Any:
    """An array without its extension type (arrow.json is text, for example)."""
    return cells.storage if isinstance(cells.type, pa.BaseExtensionType) else cells


def with_text(cells: pa.Array, field: pa.Field) -> pa.Array:
    """A column with pandas' intervals and periods as text, such as '(0.5, 1.0]' and '2026-01'; another unchanged."""
    if frequency(field):
        written = period_dates(cells, field).astype(str)
        return pa.array(written, pa.string(), mask=cells.is_null().to_numpy(zero_copy_only=False))
    closed = closed_end(field)
    return cells if closed is None else pa.array(texts(cells.to_pylist(), closed), pa.string())


def period_dates(cells: pa.Array, field: pa.Field) -> NDArray[Any]:
    """A column of pandas' periods as dates, see vaekit.tabular.periods."""
    found = stored(cells).fill_null(0).to_numpy(zero_copy_only=False)
    return dates(found, cells.is_null().to_numpy(zero_copy_only=False), frequency(field) or "")


def parse_numbers(cells: pa.Array, column: Column, faults: Faults) -> pa.Array:
    """A column of text as float64, null for a missing cell. Reports text that is not a number and not missing."""
    text = pc.utf8_trim_whitespace(cells)
    with suppress(pa.ArrowInvalid):
        values = pc.cast(text, pa.float64())
        if not pc.any(pc.is_nan(values)).as_py():  # Arrow reads nan(1) too; its other numbers are numbers for `cells`
            return values
    clear = pc.fill_null(pc.match_substring_regex(text, PLAIN_NUMBER), True)
    others = text.filter(pc.invert(clear)).unique()
    meant = [read_number(one.as_py(), column, written=True) for one in others]
    read = [None if isinstance(one, str) or (one != one and column.takes_missing) else one for one in meant]
    values = pc.if_else(
        clear,
        pc.cast(pc.if_else(clear, text, pa.scalar(None, text.type)), pa.float64()),
        pa.array(read, pa.float64()).take(pc.index_in(text, value_set=others)),
    )
    for what in dict.fromkeys(one for one in meant if isinstance(one, str)):
        which = others.filter(pa.array([one == what for one in meant]))
        faults.cells(pc.is_in(text, value_set=which).to_numpy(zero_copy_only=False), cells, column, what)
    return values


def check_numbers(found: pa.Array, cells: pa.Array, column: Column, faults: Faults) -> Floats:
    """Numbers as an array (n,), NaN where a cell is missing; values that are invalid for the column are faults."""
    if column.missing_values:
        is_missing = pc.is_in(found, value_set=pa.array(stand_ins(column), pa.float64()))
        found = pc.if_else(is_missing, pa.scalar(None, pa.float64()), found)
    if found.null_count and not column.takes_missing:
        faults.cells(pc.is_null(found).to_numpy(zero_copy_only=False), cells, column, MISSING)
    values: Floats = found.to_numpy(zero_copy_only=False)
    for bad, what in faults_of(values, column):
        faults.cells(bad, cells, column, what)
    return values


def read_levels(cells: pa.Array, column: Column, faults: Faults) -> Floats:
    """The index of each cell's level, (n,), NaN where a cell is missing. Reports cells that are not a level."""
    text = _as_level_cells(cells)
    bad = np.zeros(len(cells), dtype=bool)
    if not _is_text(text.type):
        bad, values = _read_each(text, column)
        return _report_faults(values, bad, cells, column, faults)
    names = [name for name in level_indices(column) if isinstance(name, str)]
    known = np.array([level_indices(column)[name] for name in names], dtype=np.float64)
    at = pc.index_in(text, value_set=pa.array(names, text.type))  # null for any other text
    there = at.is_valid().to_numpy(zero_copy_only=False)
    values = np.full(len(cells), np.nan)
    values[there] = known[at.drop_null().to_numpy()]
    if not there.all():
        bad[~there], values[~there] = _read_each(text.filter(at.is_null()), column)
    return _report_faults(values, bad, cells, column, faults)


def _report_faults(values: Floats, bad: NDArray[np.bool_], cells: pa.Array, column: Column, faults: Faults) -> Floats:
    if bad.any():
        faults.cells(bad, cells, column, not_a_level(column))
    return values


def _read_each(values: pa.Array, column: Column) -> tuple[NDArray[np.bool_], Floats]:
    """(which cells are invalid, the values of the others), (n,) each. Each distinct value is read once."""
    different = values.unique()
    meant = [read_cell(one.as_py(), column) for one in different]
    at = pc.index_in(values, value_set=different).to_numpy(zero_copy_only=False)
    bad = np.array([isinstance(one, str) for one in meant], dtype=bool)
    found = np.array([np.nan if isinstance(one, str) else one for one in meant], dtype=np.float64)
    return bad[at], found[at]


def _as_level_cells(cells: pa.Array) -> pa.Array:
    """The cells as text, 64-bit numbers or booleans. Dates and times become text, as in the levels from training."""
    cells = stored(cells)
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    kind = cells.type
    if pa.types.is_timestamp(kind):
        cells = cells.cast(pa.timestamp(kind.unit))  # in UTC, so that unknown time zones do not matter
        written = cells.to_numpy(zero_copy_only=False).astype(str)
        return pa.array(np.where(written == "NaT", None, written), pa.string())
    if pa.types.is_duration(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return numbers(cells)
    text = pa.types.is_temporal(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind)
    return pc.cast(cells, pa.string()) if text else cells


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
