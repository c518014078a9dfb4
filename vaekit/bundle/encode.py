"""Rows as a caller has them -> the array the graphs take. Knows the input spec, not files, HTTP or models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.columns import first_fault, level_index, level_indices, not_a_level
from vaekit.bundle.manifest import Column, ImageSpec, VectorSpec
from vaekit.errors import InputError

PART = 2**15  # cells
_NUMBERS = frozenset({int, float})
_NAMES = frozenset({str, int, float, NoneType})  # of levels; a boolean would be taken for 0 or 1


def encode(rows: Any, spec: VectorSpec | ImageSpec) -> NDArray[Any]:
    """Check rows against the spec and make the array of them.

    Where a column may be missing, None, NaN and an absent key are missing cells. A category is given as its level's
    text, or as the number that the text is; in an array of numbers as the level's index.

    Args:
        rows: for a vector model an array (N, D), a sequence of rows in column order, or a sequence of mappings by
            column name; for an image model an array (N, H, W, C) or nested lists of integers 0..255, the channel
            axis free to be absent where C is 1.
        spec: what the model takes.

    Returns:
        (N, D) float64 for vectors, NaN where a cell is missing and the index of its level where it is a category;
        (N, H, W, C) uint8 for images. N >= 1.

    Raises:
        InputError: no rows, wrong width, an unknown or missing column, a cell that its column does not take, or a row
            that misses every cell; the message names the row, the column and the value.
    """
    if isinstance(spec, ImageSpec):
        return _encode_images(rows, spec)
    if isinstance(rows, np.ndarray) and rows.dtype != object:
        return check_columns(_vector_array(rows, spec), spec)
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise InputError(f"inputs: expected rows, not {_show(rows)}")
    if not rows:
        raise InputError("inputs: no rows")
    if isinstance(rows[0], Mapping):
        return check_columns(_from_mappings(rows, spec), spec)
    return check_columns(_from_lists(rows, spec), spec)


def encode_numbers(rows: Sequence[Sequence[float]], spec: VectorSpec) -> NDArray[np.float64]:
    """encode for lists that are known to hold floats alone, of a model without categories.

    Raises:
        InputError: as encode.
    """
    if not rows:
        raise InputError("inputs: no rows")
    _check_widths(rows, spec)
    return check_columns(np.array(rows, dtype=np.float64), spec)


def check_columns(x: NDArray[np.float64], spec: VectorSpec) -> NDArray[np.float64]:
    """Refuse cells that their columns do not take, and rows that miss every cell; returns x, (N, D)."""
    if not _is_finite(x):
        _check_gaps(x, np.isfinite(x), spec)
    for d, column in spec.particular:
        if fault := first_fault(x[:, d], column):
            row, what = fault
            raise InputError(f"row {row}, feature {column.name!r}: {what}: {x[row, d]}")
    return x


def _is_finite(x: NDArray[np.float64]) -> bool:
    """Whether all of x is, looked at in parts whose masks stay in the cache."""
    cells = x.reshape(-1)
    return all(np.isfinite(cells[at : at + PART]).all() for at in range(0, len(cells), PART))


def _check_gaps(x: NDArray[np.float64], finite: NDArray[np.bool_], spec: VectorSpec) -> None:
    missing = np.isnan(x) & [column.may_be_missing for column in spec.columns]
    bad = ~(finite | missing)
    if bad.any():
        row, d = np.argwhere(bad)[0]
        raise InputError(f"row {row}, feature {spec.names[d]!r}: not finite: {x[row, d]}")
    if (empty := missing.all(axis=1)).any():
        raise InputError(f"row {int(empty.argmax())}: every cell is missing")


def _vector_array(rows: NDArray[Any], spec: VectorSpec) -> NDArray[np.float64]:
    if rows.ndim != 2 or rows.shape[1] != spec.dim:
        raise InputError(f"inputs: shape {rows.shape}, expected (N, {spec.dim})")
    if len(rows) == 0:
        raise InputError("inputs: no rows")
    if rows.dtype.kind not in "iuf":
        raise InputError(f"inputs: dtype {rows.dtype} is not one of numbers")
    return np.ascontiguousarray(rows, dtype=np.float64)


def _check_widths(rows: Sequence[Any], spec: VectorSpec) -> None:
    try:
        widths = set(map(len, rows))
    except TypeError:
        row = next(i for i, r in enumerate(rows) if not hasattr(r, "__len__"))
        raise InputError(f"row {row}: expected a list of {spec.dim} numbers, not {_show(rows[row])}") from None
    if widths != {spec.dim}:
        row = next(i for i, r in enumerate(rows) if len(r) != spec.dim)
        raise InputError(f"row {row}: {len(rows[row])} values, expected {spec.dim}")


def _from_lists(rows: Sequence[Any], spec: VectorSpec) -> NDArray[np.float64]:
    _check_widths(rows, spec)
    if not spec.has_categories and set(map(type, chain.from_iterable(rows))) <= _NUMBERS:
        try:
            return np.array(rows, dtype=np.float64)
        except OverflowError:
            pass
    return np.stack([_column([r[d] for r in rows], column) for d, column in enumerate(spec.columns)], axis=1)


def _from_mappings(rows: Sequence[Any], spec: VectorSpec) -> NDArray[np.float64]:
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"row {i}: expected an object by column name, as in row 0, not {_show(row)}")
        if len(row) != spec.dim and not spec.may_be_missing:
            _refuse_keys(i, row, spec)
    pick = itemgetter(*spec.names) if spec.dim > 1 else lambda row: (row[spec.names[0]],)
    if not spec.may_be_missing or all(len(row) == spec.dim for row in rows):
        with suppress(KeyError):
            return _from_lists(list(map(pick, rows)), spec)
    return _from_lists([_with_gaps(i, row, spec) for i, row in enumerate(rows)], spec)


def _with_gaps(i: int, row: Mapping[Any, Any], spec: VectorSpec) -> list[Any]:
    """Cells in column order, None where a column that may be missing has no key."""
    absent = [column for column in spec.columns if column.name not in row]
    if len(row) + len(absent) != spec.dim or not all(column.may_be_missing for column in absent):
        _refuse_keys(i, row, spec)
    return [row.get(name) for name in spec.names]


def _refuse_keys(i: int, row: Mapping[Any, Any], spec: VectorSpec) -> NoReturn:
    unknown = [key for key in row if key not in set(spec.names)]
    if unknown:
        raise InputError(f"row {i}: unknown feature {_show(unknown[0])}")
    missing = next(column.name for column in spec.columns if column.name not in row and not column.may_be_missing)
    raise InputError(f"row {i}, feature {missing!r}: missing")


def _column(values: list[Any], column: Column) -> NDArray[np.float64]:
    """One column as (N,) float64; the slow look at single cells happens only where a cell is wrong."""
    if column.kind == "category":
        return _categories(values, column)
    odd = {t for t in map(type, values) if t not in _NUMBERS and not _is_number_type(t)}
    odd -= {NoneType} if column.may_be_missing else set()
    odd -= {bool, np.bool_} if column.kind == "binary" else set()
    if not odd:
        try:
            return np.array(values, dtype=np.float64)  # None becomes NaN
        except OverflowError:
            pass
    for i, value in enumerate(values):
        where = f"row {i}, feature {column.name!r}"
        if type(value) in odd:
            raise InputError(f"{where}: missing" if value is None else f"{where}: not a number: {_show(value)}")
        try:
            float(value or 0)
        except OverflowError:
            raise InputError(f"{where}: not finite: {_show(value)}") from None
    raise AssertionError("a column that numpy refuses has a cell that float refuses")


def _categories(values: list[Any], column: Column) -> NDArray[np.float64]:
    known: dict[Any, float] = {**level_indices(column), **({None: np.nan, "": np.nan} if column.may_be_missing else {})}
    if set(map(type, values)) <= _NAMES:
        with suppress(KeyError):
            return np.array([known[value] for value in values], dtype=np.float64)
    return np.array([_level(i, value, column) for i, value in enumerate(values)], dtype=np.float64)


def _level(i: int, cell: Any, column: Column) -> float:
    """The index of the level that a cell names; NaN where the cell is missing."""
    index = level_index(cell, column)
    if index is not None:
        return index
    if cell is None or cell == "" or (isinstance(cell, float | np.floating) and np.isnan(cell)):
        if column.may_be_missing:
            return np.nan
        raise InputError(f"row {i}, feature {column.name!r}: missing")
    raise InputError(f"row {i}, feature {column.name!r}: {not_a_level(column)}: {_show(cell)}")


def _is_number_type(t: type) -> bool:
    return issubclass(t, np.integer | np.floating)


def _encode_images(rows: Any, spec: ImageSpec) -> NDArray[np.uint8]:
    x = _image_array(rows, spec)
    shape = spec.row_shape
    if x.ndim == 3 and spec.channels == 1:
        x = x[..., None]
    if x.ndim != 4 or x.shape[1:] != shape:
        raise InputError(f"inputs: shape {x.shape}, expected (N, {', '.join(map(str, shape))})")
    if len(x) == 0:
        raise InputError("inputs: no rows")
    if x.dtype != np.uint8:
        x = _to_uint8(x)
    if spec.two_valued:
        _refuse_pixel((x != 0) & (x != 255), x, "not 0 or 255")
    return np.ascontiguousarray(x)


def _image_array(rows: Any, spec: ImageSpec) -> NDArray[Any]:
    if isinstance(rows, np.ndarray):
        return rows
    try:
        x = np.array(rows)
    except (ValueError, OverflowError) as exc:
        raise InputError(f"inputs: pictures of different or ragged sizes, expected {spec.row_shape}") from exc
    if x.dtype.kind in "iuf":
        _refuse_booleans(rows, x.ndim)
    return x


def _refuse_booleans(rows: Any, depth: int) -> None:
    cells = rows
    for _ in range(depth - 1):
        cells = chain.from_iterable(cells)
    if bool in set(map(type, cells)):
        raise InputError("inputs: a pixel is a boolean, expected integers 0..255")


def _to_uint8(x: NDArray[Any]) -> NDArray[np.uint8]:
    if x.dtype.kind not in "iuf":
        raise InputError(f"inputs: dtype {x.dtype}, expected integers 0..255")
    with np.errstate(invalid="ignore"):
        bad = ~((x >= 0) & (x <= 255) & (np.trunc(x) == x))
    _refuse_pixel(bad, x, "not an integer 0..255")
    return x.astype(np.uint8)


def _refuse_pixel(bad: NDArray[np.bool_], x: NDArray[Any], what: str) -> None:
    if bad.any():
        row, h, w, c = np.argwhere(bad)[0]
        raise InputError(f"row {row}, pixel ({h}, {w}, {c}): {what}: {x[row, h, w, c]}")


def _show(value: Any) -> str:
    """A short repr: the value itself, never pages of it."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
