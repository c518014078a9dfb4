"""Checks rows (lists, mappings by column name, arrays) and converts them to the array that the graphs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import MISSING, NOT_FINITE, first_fault, read_column, show, without_missing_values
from vaekit.tabular.columns import NOTHING_IGNORED, Ignored, check_widths, in_column_order, without_series
from vaekit.tabular.frames import Table, is_table, table, unmasked
from vaekit.tabular.pixels import encode_images

CHUNK = 2**15  # number of cells checked together, so that their masks stay in the cache
_NUMBERS = frozenset({int, float})


def encode(rows: Any, spec: VectorSpec | ImageSpec, *, strict: bool = False) -> NDArray[Any]:
    """Check rows against the spec and convert them to an array.

    None, NaN, a masked cell, and the absent key of a column that may be missing are missing cells. A category is given
    as the text of its level, or as the number that this text is. In an array of numbers it is the index of the level.
    Columns that the model does not have are ignored; `encode_named` says which. Rows may be novel: a cell may be
    missing in any column, hold a level unseen in training (the index after the last level), or a number that its
    column's kind does not have.

    Args:
        rows: for a vector model an array (N, D), a sequence of rows in column order, a sequence of mappings by column
            name, or a table (a frame of pandas or polars, a pyarrow table, a structured array), whose columns are found
            by name; for an image model an array (N, H, W, C) or nested lists of integers 0..255, without the channel
            axis if you like when C is 1.
        spec: the model's input spec.
        strict: whether to refuse novel rows, and columns that the model does not have.

    Returns:
        (N, D) float64 for vectors, with NaN for a missing cell and the index of the level for a category;
        (N, H, W, C) uint8 for images. N >= 1.

    Raises:
        InputError: no rows, wrong width, a missing column, more than 1,000 columns that the model does not have, or an
            invalid cell; with strict also one such column, a novel row, or a row without any observed cell. The message
            names the row, the column and the value.
    """
    return encode_named(rows, spec, strict=strict)[0]


def encode_named(rows: Any, spec: VectorSpec | ImageSpec, *, strict: bool = False) -> tuple[NDArray[Any], Ignored]:
    """As encode, with the columns that were ignored."""
    if isinstance(rows, np.ma.MaskedArray):
        rows = unmasked(rows)
    rows = without_series(rows)
    if isinstance(spec, ImageSpec):
        return encode_images(rows, spec), NOTHING_IGNORED
    other = NOTHING_IGNORED
    taken = spec if strict else spec.lenient
    if is_table(rows) and not isinstance(rows, Sequence):
        return encode_table(table(rows), spec, strict=strict)
    if isinstance(rows, np.ndarray) and rows.dtype != object:
        return check_columns(_vector_array(rows, spec), taken), other
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise InputError(f"inputs: expected rows, not {show(rows)}")
    if not rows:
        raise InputError("inputs: no rows, expected at least 1")
    if isinstance(rows[0], Mapping):
        rows, other = in_column_order(rows, spec, strict=strict)
    return check_columns(_from_lists(rows, taken), taken), other


def encode_table(given: Table, spec: VectorSpec, *, strict: bool = False) -> tuple[NDArray[np.float64], Ignored]:
    """As encode_named, for a table with named columns."""
    rows, other = given.ordered(spec, strict=strict)
    if rows.dtype != object and not spec.has_categories:
        return check_columns(_vector_array(rows, spec), spec if strict else spec.lenient), other
    cells = rows.astype(object).tolist()  # numbers in a table name levels
    return encode_named(cells, spec, strict=strict)[0], other


def check_columns(x: NDArray[np.float64], spec: VectorSpec) -> NDArray[np.float64]:
    """Refuse invalid cells, and unless the spec is lenient rows without any observed cell; returns x, (N, D).

    Numbers that stand for a missing cell become NaN, in a copy.
    """
    if spec.has_missing_values:
        given, x = x, without_missing_values(x, spec.columns)
        _check_still_allowed(given, x, spec)
    if not _is_finite(x):
        _check_not_finite(x, np.isfinite(x), spec)
    for d, column in spec.restricted:
        if fault := first_fault(x[:, d], column):
            row, what = fault
            raise InputError(f"row {row}, feature {column.name!r}: {what}: {x[row, d]}")
    return x


def _check_still_allowed(given: NDArray[np.float64], x: NDArray[np.float64], spec: VectorSpec) -> None:
    """Refuse a number that stands for a missing cell where none may be; x: the rows given, with NaN for them."""
    refused = np.isnan(x) & ~np.isnan(given) & [not column.takes_missing for column in spec.columns]
    if refused.any():
        row, d = np.argwhere(refused)[0]
        raise InputError(f"row {row}, feature {spec.names[d]!r}: {MISSING}: {given[row, d]:g}")


def _is_finite(x: NDArray[np.float64]) -> bool:
    """Whether all of x is finite."""
    cells = x.reshape(-1)
    chunks = (np.isfinite(cells[at : at + CHUNK]) for at in range(0, len(cells), CHUNK))
    return all(np.count_nonzero(finite) == len(finite) for finite in chunks)  # for few cells faster than all()


def _check_not_finite(x: NDArray[np.float64], finite: NDArray[np.bool_], spec: VectorSpec) -> None:
    missing = np.isnan(x) & [column.takes_missing for column in spec.columns]
    bad = ~(finite | missing)
    if bad.any():
        row, d = np.argwhere(bad)[0]
        raise InputError(f"row {row}, feature {spec.names[d]!r}: {NOT_FINITE}: {x[row, d]}")
    if (empty := missing.all(axis=1)).any() and not spec.columns[0].takes_novel:
        raise InputError(f"row {int(empty.argmax())}: every cell is missing")


def _vector_array(rows: NDArray[Any], spec: VectorSpec) -> NDArray[np.float64]:
    if rows.ndim != 2 or rows.shape[1] != spec.dim:
        raise InputError(f"inputs: shape {rows.shape}, expected (N, {spec.dim})")
    if len(rows) == 0:
        raise InputError("inputs: no rows, expected at least 1")
    if rows.dtype.kind not in "iufb":
        raise InputError(f"inputs: dtype {rows.dtype} is not numeric; expected integers or floats")
    return np.ascontiguousarray(rows, dtype=np.float64)


def _from_lists(rows: Sequence[Any], spec: VectorSpec) -> NDArray[np.float64]:
    check_widths(rows, spec)
    if not spec.has_categories and set(map(type, chain.from_iterable(rows))) <= _NUMBERS:
        try:
            return np.array(rows, dtype=np.float64)
        except OverflowError:
            pass
    return np.stack([_column([r[d] for r in rows], column) for d, column in enumerate(spec.columns)], axis=1)


def _column(cells: list[Any], column: Column) -> NDArray[np.float64]:
    """The cells of one column, (N,) float64."""
    values, fault = read_column(cells, column)
    if fault is not None:
        row, what = fault
        shown = "" if what == MISSING else f": {show(cells[row])}"
        raise InputError(f"row {row}, feature {column.name!r}: {what}{shown}")
    return values
