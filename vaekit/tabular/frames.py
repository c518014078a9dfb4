"""Reads names and cells of arrays and of data frames and tables, without importing their libraries. N rows, D columns.

Frames of pandas and polars, tables of pyarrow, structured arrays and lists of dicts have named columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import is_missing, plain
from vaekit.tabular.columns import NOTHING_IGNORED, Ignored, model_order, without_series
from vaekit.tabular.intervals import closed_end, texts
from vaekit.tabular.levels import level_text
from vaekit.tabular.periods import dates, frequency

NUMBER = (int, float, Decimal, np.number, np.bool_)  # a boolean is an int
_POLARS_ARRAYS = ("Int", "UInt", "Float", "Bool", "String", "Cat", "Enum", "Date", "Duration", "Time", "Null")
EXACT = 2**53  # the largest whole number below which float64 holds all


class Table(NamedTuple):
    """Columns by name, or an array or lists without names."""

    given: Any  # an array, or the lists that were given; None if there are columns
    columns: tuple[NDArray[Any], ...] = ()  # D of (N,): numbers, booleans, dates, or objects, None for a missing cell
    names: tuple[str, ...] | None = None  # D
    index_columns: tuple[str, ...] = ()  # those that hold the index of a pandas frame, according to an Arrow schema

    @property
    def rows(self) -> int:
        """N."""
        if self.names is not None:
            return len(self.columns[0]) if self.columns else 0
        return len(self.given) if hasattr(self.given, "__len__") and np.ndim(self.given) else 0

    @property
    def values(self) -> Any:
        """All cells: an array (N, D) of numbers or objects, an array of images, or the lists that were given."""
        return self.given if self.names is None else together(self.columns)

    def ordered(self, spec: VectorSpec, *, strict: bool = False) -> tuple[Any, Ignored]:
        """(the cells of the model's columns in its order, as `encode` takes them; the other columns).

        Without names the columns must already be in this order.

        Raises:
            InputError: a column of the model is absent and may not be, or there twice; see also `model_order`.
        """
        if self.names is None:
            return self.given, NOTHING_IGNORED
        at, other = model_order(self.names, spec, strict=strict)
        return together([np.full(self.rows, np.nan) if d is None else self.columns[d] for d in at]), other


def is_table(X: Any) -> bool:  # noqa: N803  scikit-learn's name
    """Whether X has named columns: a frame, a pyarrow table, a structured array, or a list of dicts."""
    if isinstance(X, np.ndarray):
        return X.dtype.names is not None
    if isinstance(X, Sequence) and not isinstance(X, str | bytes):
        return bool(X) and all(isinstance(row, Mapping) for row in X)
    return hasattr(X, "columns") and any(hasattr(X, name) for name in ("iter_columns", "items", "to_pydict"))


def table(X: Any) -> Table:  # noqa: N803  scikit-learn's name
    """The column names and cells of X.

    A missing cell (NaN, None, pandas' NA and NaT, polars' null, a masked cell) is NaN in a column of numbers and None
    among objects. A duration is its seconds. Cells of pandas' categories are text, also if they are numbers
    or intervals. Whole numbers keep all their digits.

    Raises:
        InputError: X is no table; complex numbers, a sparse matrix, an array of dates, or an array without columns.
    """
    if hasattr(X, "toarray"):
        raise InputError("X is a sparse matrix, expected a dense array: X.toarray()")
    if hasattr(X, "collect") and hasattr(X, "lazy"):
        raise InputError("X is a lazy frame; collect it first: X.collect()")
    X = without_series(X)  # noqa: N806
    if is_table(X):
        pairs = list(_columns(X))
        index = index_columns_in(getattr(X, "schema", None))
        return Table(None, tuple(cells for _, cells in pairs), tuple(name for name, _ in pairs), index)
    values = unmasked(X) if isinstance(X, np.ma.MaskedArray) else np.asarray(X) if hasattr(X, "__array__") else X
    if not isinstance(values, np.ndarray):
        if not isinstance(values, Sequence) or isinstance(values, str | bytes):
            hint = ": pandas.DataFrame(X) makes a table of a dict of columns" if isinstance(values, Mapping) else ""
            raise InputError(
                f"X is of type {type(values).__name__}, expected an array, a frame or a list of rows{hint}"
            )
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


def index_columns_in(schema: Any) -> tuple[str, ...]:
    """The columns of an Arrow schema that hold the index of the pandas frame from which it was made."""
    found = in_pandas_metadata(schema, "index_columns")
    return tuple(name for name in found if isinstance(name, str) and name in schema.names)


def in_pandas_metadata(schema: Any, key: str) -> list[Any]:
    """A list in the metadata that pandas wrote into an Arrow schema; empty if there is none."""
    try:
        found = (schema.pandas_metadata or {}).get(key, [])
    except (AttributeError, ValueError):  # metadata that pandas did not write
        return []
    return found if isinstance(found, list) else []


def unmasked(values: NDArray[Any]) -> NDArray[Any]:
    """An array with NaN for its masked cells; None in an array of objects, text, or whole numbers beyond 2**53.

    Raises:
        InputError: a masked pixel: images have no missing pixels.
    """
    if not np.ma.isMaskedArray(values):
        return values
    mask, data = np.ma.getmaskarray(values), np.asarray(values.data)
    if not mask.any():
        return data
    if data.ndim > 2:
        raise InputError("masked pixels: images have no missing pixels; fill them, or leave these images out")
    if data.dtype.kind == "f" or (data.dtype.kind in "iub" and not beyond_float(data[~mask])):
        return np.where(mask, np.nan, data.astype(np.float64))
    cells = data.astype(object)
    cells[mask] = None
    return cells


def beyond_float(values: NDArray[Any]) -> bool:
    """Whether some whole numbers of a column have more digits than float64 holds."""
    return values.dtype.kind in "iu" and bool(len(values)) and bool(max(int(values.max()), -int(values.min())) > EXACT)


def column_of(cells: NDArray[Any]) -> NDArray[Any]:
    """A column of objects (n,) as float64, dates or objects without their wrappers."""
    return _of_objects(cells.tolist())


def together(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Columns D of (N,) as float64 (N, D) if all are numbers, otherwise as objects."""
    if columns and all(_is_numbers(column) for column in columns):
        with suppress(OverflowError):  # an int too large for a float is refused later, with its row
            return np.stack([_as_floats(column) for column in columns], axis=1)
    cells = np.empty((len(columns[0]) if columns else 0, len(columns)), dtype=object)
    for d, column in enumerate(columns):
        cells[:, d] = [_cell_beside_text(cell) for cell in python_cells(column)]
    return cells


def _columns(X: Any) -> Iterable[tuple[str, NDArray[Any]]]:  # noqa: N803
    """(name, cells) of each column."""
    if isinstance(X, np.ndarray):
        return [(name, _of_array(np.asarray(X[name]))) for name in X.dtype.names or ()]
    if isinstance(X, Sequence):
        names = dict.fromkeys(chain.from_iterable(X))
        return [(str(name), _of_objects([row.get(name) for row in X])) for name in names]
    if hasattr(X, "iter_columns"):  # polars
        return [(str(one.name), _of_polars(one)) for one in X.iter_columns()]
    if hasattr(X, "items"):  # pandas
        return [(str(name), _of_pandas(one)) for name, one in X.items()]
    return [(field.name, _of_arrow(X.column(d), field)) for d, field in enumerate(X.schema)]


def _of_pandas(series: Any) -> NDArray[Any]:
    if type(series.dtype).__name__ == "CategoricalDtype":
        texts = [_category(level) for level in series.cat.categories]
        of_missing: list[Any] = [None]  # its code is -1
        return np.asarray(np.array(texts + of_missing, dtype=object)[np.asarray(series.cat.codes)])
    if type(series.dtype).__name__ == "PeriodDtype":
        return dates(series.array.asi8, np.asarray(series.isna()), str(series.dtype)[len("period[") : -1])
    if getattr(series.dtype, "kind", "O") in "iu" and series.hasnans:
        return _of_objects(series.tolist())  # as an array they would be float64
    values = np.asarray(series.to_numpy())
    if values.dtype.kind != "O":
        return _of_array(values)
    cells = values.copy()
    cells[np.asarray(series.isna().to_numpy(), dtype=bool)] = None
    return _of_objects(cells.tolist())


def _of_polars(series: Any) -> NDArray[Any]:
    """A column of polars: as an array if its type has one that keeps all digits and nulls."""
    kind = str(series.dtype)
    exact = kind.startswith(("Int", "UInt")) and (series.null_count() or "128" in kind)
    if exact or not kind.startswith(_POLARS_ARRAYS):
        return _of_objects(series.to_list())
    return _of_array(np.asarray(series.to_numpy()))


def _of_arrow(column: Any, field: Any) -> NDArray[Any]:
    """A column of pyarrow: a dictionary is a category, and pandas' intervals are text."""
    if freq := frequency(field):
        whole = column.combine_chunks()
        return dates(np.array(getattr(whole, "storage", whole).fill_null(0)), np.array(whole.is_null()), freq)
    closed, cells = closed_end(field), column.to_pylist()
    if closed is not None:
        cells = texts(cells, closed)
    if str(column.type).startswith("dictionary"):
        cells = [None if cell is None else _category(cell) for cell in cells]
    return _of_objects(cells)


def _category(level: Any) -> str:
    """The text of a category's level, whatever its type."""
    cell = plain(level)
    return level_text(cell) if isinstance(cell, str | bool | int | float) else str(cell)


def _of_array(values: NDArray[Any]) -> NDArray[Any]:
    """A column of a frame as numbers, booleans, dates or objects."""
    if values.dtype.kind == "m":
        return np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "s"))
    if values.dtype.kind in "iufbM":
        return values
    return _of_objects(values.tolist())


def _of_objects(cells: list[Any]) -> NDArray[Any]:
    """Objects as float64 if all are numbers that it holds, or as dates; otherwise without their wrappers."""
    found = np.empty(len(cells), dtype=object)
    found[:] = [_cell_beside_text(cell) for cell in cells]
    there = [cell for cell in found.tolist() if cell is not None]
    if there and all(isinstance(cell, date) for cell in there):  # a datetime is a date, as pandas' Timestamp is
        return np.array([None if cell is None else _in_utc(cell) for cell in found.tolist()], dtype="datetime64[us]")
    numbers = set(map(type, there)) <= {int, float}
    return np.asarray(found, dtype=np.float64) if there and numbers and not any(map(_is_long, there)) else found


def _in_utc(day: date) -> date:
    zoned = isinstance(day, datetime) and day.tzinfo is not None
    return day.astimezone(UTC).replace(tzinfo=None) if isinstance(day, datetime) and zoned else day


def python_cells(column: NDArray[Any]) -> list[Any]:
    """The cells of a column; a date is its ISO text."""
    cells = column.astype(object) if column.dtype.kind != "M" else column.astype(str).astype(object)
    if column.dtype.kind == "M":
        cells[np.isnat(column)] = None
    found: list[Any] = cells.tolist()
    return found


def _is_numbers(column: NDArray[Any]) -> bool:
    if column.dtype.kind != "O":
        return column.dtype.kind in "iufb" and not beyond_float(column)
    return all(cell is None or (isinstance(cell, NUMBER) and not _is_long(cell)) for cell in column.tolist())


def _is_long(cell: Any) -> bool:
    return isinstance(cell, int) and abs(cell) > EXACT


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
