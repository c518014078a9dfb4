"""Appends columns to a frame or table of any library, without importing one that is not used. N rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.frames import is_table

# Columns (N,): numbers, in which NaN is missing; booleans, in which a masked one is; or text as objects, with None.
Columns = Mapping[str, NDArray[Any]]


def as_table(rows: Any) -> Any:
    """Rows to which columns can be appended: themselves, or the pyarrow.Table of another library's table.

    A query of DuckDB runs here, and once: twice it could give its rows in two orders.

    Raises:
        InputError: not a table.
    """
    if _library(rows) is not None:
        return rows
    if isinstance(rows, np.ndarray | Sequence) or not hasattr(rows, "__arrow_c_stream__"):
        raise InputError(f"expected a frame, an Arrow table or a list of dicts, not {type(rows).__name__}")
    import pyarrow as pa

    try:
        return pa.table(rows)
    except (TypeError, ValueError, pa.ArrowException) as exc:  # such as one column
        raise InputError(f"expected a table, not {type(rows).__name__}: {exc}") from exc


def append_columns(given: Any, columns: Columns) -> Any:
    """The table with more columns, of the same type and, for pandas, with the same index.

    A column whose name the table has gets the prefix `vae_`.

    Args:
        given: what `as_table` returned. It is not changed.
        columns: one value for each of its rows.
    """
    library = _library(given)
    assert library is not None
    renamed = free_names(list(columns), _names(given))
    return _APPEND[library](given, {renamed.get(name, name): values for name, values in columns.items()})


def free_names(appended: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """New names for the appended columns whose names the input has: the prefix `vae_`, as often as needed."""
    renamed = {}
    for name in appended:
        free = name
        while free in taken or (free != name and free in appended):
            free = f"vae_{free}"
        if free != name:
            renamed[name] = free
    return renamed


def _library(given: Any) -> str | None:
    """Who made the table: "list" for a list of dicts; None: another library, or not a table."""
    if isinstance(given, Sequence):
        return "list" if is_table(given) else None
    name = type(given).__module__.split(".")[0]
    return name if name in _APPEND and is_table(given) else None


def _names(given: Any) -> set[str]:
    if isinstance(given, Sequence):
        return {str(name) for row in given for name in row}
    names = given.column_names if hasattr(given, "column_names") else given.columns
    return set(map(str, names))


def _to_pandas(frame: Any, columns: Columns) -> Any:
    return frame.assign(**{name: values.tolist() if np.ma.isMA(values) else values for name, values in columns.items()})


def _to_polars(frame: Any, columns: Columns) -> Any:
    import polars as pl

    kinds = {"O": pl.String, "b": pl.Boolean}
    return frame.with_columns(
        pl.Series(name, values.tolist(), dtype=kinds[values.dtype.kind])
        if values.dtype.kind in kinds
        else pl.Series(name, values, nan_to_null=True)
        for name, values in columns.items()
    )


def _to_arrow(table: Any, columns: Columns) -> Any:
    import pyarrow as pa

    for name, values in columns.items():
        kind = pa.string() if values.dtype.kind in "OU" else None
        table = table.append_column(name, pa.array(values, kind, from_pandas=True))
    return table


def _to_dicts(rows: Sequence[Mapping[str, Any]], columns: Columns) -> list[dict[str, Any]]:
    cells = zip(*(_with_none(values) for values in columns.values()), strict=True)
    return [{**row, **dict(zip(columns, each, strict=True))} for row, each in zip(rows, cells, strict=True)]


def _with_none(values: NDArray[Any]) -> list[Any]:
    """The cells of a column as Python objects, with None for a missing one."""
    return [None if isinstance(cell, float) and isnan(cell) else cell for cell in values.tolist()]


_APPEND: dict[str, Callable[[Any, Columns], Any]] = {
    "pandas": _to_pandas,
    "polars": _to_polars,
    "pyarrow": _to_arrow,
    "list": _to_dicts,
}
