"""Reads column names and cells of arrays, lists, and pandas or polars frames, without importing pandas or polars.

N rows, D columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import is_missing, plain
from vaekit.tabular.columns import model_order

NUMBER = (int, float, Decimal, np.number, np.bool_)  # a boolean is an int
DATE = (date, time, timedelta)  # datetime and pandas' Timestamp are subclasses of date


class Table(NamedTuple):
    """The cells of a table, and the names of its columns if they have names."""

    values: Any  # (N, D): float64 or objects from a frame, the array that was given, or the lists that were given
    names: tuple[str, ...] | None = None  # (D,)

    def ordered(self, spec: VectorSpec) -> Any:
        """The values with the columns in the model's order. Columns without names must already be in this order.

        Raises:
            InputError: unknown or missing columns, or the wrong number of columns.
        """
        if self.names is not None:
            return self.values[:, model_order(self.names, spec)]
        if isinstance(self.values, np.ndarray) and self.values.ndim == 2 and self.values.shape[1] != spec.dim:
            width = self.values.shape[1]
            raise InputError(f"X has {width} features, but Detector is expecting {spec.dim} features as input")
        return self.values


def table(X: Any) -> Table:  # noqa: N803  scikit-learn's name
    """The column names and cells of X.

    A frame's missing cells (NaN, None, pandas' NA and NaT, polars' null) become NaN if all columns are numbers, else
    None. Booleans, also in lists, become 0 and 1 if all other cells are numbers, and stay booleans if there is text.

    Raises:
        InputError: dates, complex numbers, a sparse matrix, or an array without columns.
    """
    if hasattr(X, "toarray"):
        raise InputError("X is a sparse matrix, expected a dense array: X.toarray()")
    if _is_frame(X):
        return _of_frame(X)
    values = np.asarray(X) if hasattr(X, "__array__") else X
    if not isinstance(values, np.ndarray):
        return Table(_of_lists(values))
    if values.dtype.kind == "c":
        raise InputError(f"Complex data not supported: X is of type {values.dtype}")
    if values.ndim < 2:
        raise InputError(f"X has shape {values.shape}, expected (N, D). Reshape your data: X[None, :] is one row")
    if values.ndim == 2 and values.shape[1] == 0:
        raise InputError(f"X has 0 feature(s) (shape={values.shape}) while a minimum of 1 is required.")
    if values.dtype.kind in "Mm":
        raise InputError(f"X is of type {values.dtype}: give dates and durations as numbers, or leave them out")
    return Table(values.astype(np.float64) if values.dtype.kind == "b" else values)


def has_text(values: NDArray[Any]) -> bool:
    """Whether any cell is text."""
    return values.dtype.kind in "US" or (
        values.dtype.kind == "O" and any(isinstance(cell, str) for cell in values.flat)
    )


def _is_frame(X: Any) -> bool:  # noqa: N803
    return hasattr(X, "columns") and (hasattr(X, "iter_columns") or hasattr(X, "items"))


def _of_frame(frame: Any) -> Table:
    names = tuple(str(name) for name in frame.columns)
    series = frame.iter_columns() if hasattr(frame, "iter_columns") else (column for _, column in frame.items())
    columns = [_column(one, name) for one, name in zip(series, names, strict=True)]  # D of (N,)
    if not columns:
        return Table(np.empty((len(frame), 0)), names)
    if all(_is_numbers(column) for column in columns):
        with suppress(OverflowError):  # an int too large for a float is refused later, with its row
            return Table(np.stack([_as_floats(column) for column in columns], axis=1), names)
    cells = np.empty((len(columns[0]), len(columns)), dtype=object)
    for d, column in enumerate(columns):
        cells[:, d] = [_cell_beside_text(cell) for cell in column.tolist()]
    return Table(cells, names)


def _column(series: Any, name: str) -> NDArray[Any]:
    """Cells of a series, (N,): numbers unchanged; otherwise objects, with None for a missing cell."""
    values = np.asarray(series.to_numpy())
    if values.dtype.kind in "iufb":
        return values
    if values.dtype.kind in "Mm":
        there = np.flatnonzero(~np.isnat(values))
        raise _date_error(name, int(there[0]) if len(there) else 0, values)
    cells = values.astype(object)
    cells[np.asarray((series.isna() if hasattr(series, "isna") else series.is_null()).to_numpy(), dtype=bool)] = None
    for row, cell in enumerate(cells.tolist()):
        if isinstance(cell, DATE):
            raise _date_error(name, row, cells)
    return cells


def _is_numbers(column: NDArray[Any]) -> bool:
    return column.dtype.kind != "O" or all(cell is None or isinstance(cell, NUMBER) for cell in column.tolist())


def _as_floats(column: NDArray[Any]) -> NDArray[np.float64]:
    cells = [plain(cell) for cell in column.tolist()] if column.dtype.kind == "O" else column
    return np.asarray(cells, dtype=np.float64)  # None becomes NaN


def _cell_beside_text(cell: Any) -> Any:
    """A cell of a frame that contains text: None for NaN, a float for a Decimal."""
    cell = plain(cell)
    return None if is_missing(cell) and not isinstance(cell, str) else cell


def _of_lists(rows: Any) -> Any:
    """Rows given as lists. If no cell is text, booleans become 0 and 1, as numpy converts them."""
    if not isinstance(rows, Sequence) or not all(isinstance(row, list | tuple) for row in rows):
        return rows
    types = set(map(type, chain.from_iterable(rows)))
    if not types & {bool, np.bool_} or any(issubclass(t, str) for t in types):
        return rows
    return [[int(cell) if isinstance(cell, bool | np.bool_) else cell for cell in row] for row in rows]


def _date_error(name: str, row: int, values: NDArray[Any]) -> InputError:
    return InputError(
        f"row {row}, feature {name!r}: a date or duration: {values[row]}; give it as a number, or leave the column out"
    )
