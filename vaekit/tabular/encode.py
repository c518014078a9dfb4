"""Checks rows (lists, mappings by column name, arrays) and converts them to the array that the graphs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import MISSING, NOT_FINITE, first_fault, read_column, show
from vaekit.tabular.columns import check_widths, in_column_order
from vaekit.tabular.pixels import encode_images

CHUNK = 2**15  # number of cells checked together, so that their masks stay in the cache
_NUMBERS = frozenset({int, float})


def encode(rows: Any, spec: VectorSpec | ImageSpec) -> NDArray[Any]:
    """Check rows against the spec and convert them to an array.

    If a column may be missing, None, NaN and an absent key mean a missing cell. The cell of a category is the text of
    its level, or a number if this text is a number ('2' and 2 are the same level). In an array of numbers it is the
    index of the level.

    Args:
        rows: for a vector model an array (N, D), a sequence of rows in column order, or a sequence of mappings by
            column name; for an image model an array (N, H, W, C) or nested lists of integers 0..255. The channel axis
            may be left out if C is 1.
        spec: the model's input spec.

    Returns:
        (N, D) float64 for vectors, with NaN for a missing cell and the index of the level for a category;
        (N, H, W, C) uint8 for images. N >= 1.

    Raises:
        InputError: no rows, the wrong number of cells, an unknown or missing column, an invalid cell, or a row without
            any observed cell; the message names the row, the column and the value.
    """
    if isinstance(spec, ImageSpec):
        return encode_images(rows, spec)
    if isinstance(rows, np.ndarray) and rows.dtype != object:
        return check_columns(_vector_array(rows, spec), spec)
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise InputError(f"inputs: expected rows, not {show(rows)}")
    if not rows:
        raise InputError("inputs: no rows, expected at least 1")
    if isinstance(rows[0], Mapping):
        return check_columns(_from_lists(in_column_order(rows, spec), spec), spec)
    return check_columns(_from_lists(rows, spec), spec)


def encode_numbers(rows: Sequence[Sequence[float]], spec: VectorSpec) -> NDArray[np.float64]:
    """Like encode, but faster: for lists of floats and a model without categories.

    Raises:
        InputError: see encode.
    """
    if not rows:
        raise InputError("inputs: no rows, expected at least 1")
    check_widths(rows, spec)
    return check_columns(np.array(rows, dtype=np.float64), spec)


def check_columns(x: NDArray[np.float64], spec: VectorSpec) -> NDArray[np.float64]:
    """Check each cell of x (N, D), and that each row has an observed cell; returns x.

    Raises:
        InputError: the message names the row, the column and the value.
    """
    if not _is_finite(x):
        _check_not_finite(x, np.isfinite(x), spec)
    for d, column in spec.restricted:
        if fault := first_fault(x[:, d], column):
            row, what = fault
            raise InputError(f"row {row}, feature {column.name!r}: {what}: {x[row, d]}")
    return x


def _is_finite(x: NDArray[np.float64]) -> bool:
    """Whether all of x is finite."""
    cells = x.reshape(-1)
    return all(np.isfinite(cells[at : at + CHUNK]).all() for at in range(0, len(cells), CHUNK))


def _check_not_finite(x: NDArray[np.float64], finite: NDArray[np.bool_], spec: VectorSpec) -> None:
    missing = np.isnan(x) & [column.may_be_missing for column in spec.columns]
    bad = ~(finite | missing)
    if bad.any():
        row, d = np.argwhere(bad)[0]
        raise InputError(f"row {row}, feature {spec.names[d]!r}: {NOT_FINITE}: {x[row, d]}")
    if (empty := missing.all(axis=1)).any():
        raise InputError(f"row {int(empty.argmax())}: every cell is missing")


def _vector_array(rows: NDArray[Any], spec: VectorSpec) -> NDArray[np.float64]:
    if rows.ndim != 2 or rows.shape[1] != spec.dim:
        raise InputError(f"inputs: shape {rows.shape}, expected (N, {spec.dim})")
    if len(rows) == 0:
        raise InputError("inputs: no rows, expected at least 1")
    is_binary = rows.dtype.kind == "b" and all(column.kind == "binary" for column in spec.columns)
    if rows.dtype.kind not in "iuf" and not is_binary:
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
