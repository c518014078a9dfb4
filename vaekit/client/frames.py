"""Appends scores to a frame or table, with the columns that batch scoring writes. N rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.client.replies import ElboResult
from vaekit.client.tables import arrow_table
from vaekit.errors import InputError
from vaekit.tabular.explained_cells import reason_values
from vaekit.tabular.frames import is_table
from vaekit.tabular.novelty import joined_names
from vaekit.tabular.output_names import free_names

# Columns of scores, (N,): numbers, in which NaN is missing; booleans, in which a masked one is; or text as objects.
Columns = Mapping[str, NDArray[Any]]
NUMBERS = ("_relief", "_p_value")  # ends of the names of an explanation's columns that are numbers
ALWAYS = ("elbo", "log_likelihood", "kl", "score", "p_value", "p_value_tail", "is_anomaly")


def check_table(inputs: Any) -> None:
    """Check that rows are a table, before anything is sent.

    Raises:
        InputError: not a table.
    """
    if _library(inputs) is None:
        raise InputError(
            f"score takes a frame, an Arrow table or a list of dicts, not {type(inputs).__name__}; "
            "elbo takes arrays and images"
        )


def with_scores(given: Any, found: ElboResult) -> Any:
    """The table with a column for each score, of the same type and, for pandas, with the same index.

    The columns are those of `vae score`; one whose name the table has gets the prefix `vae_`.

    Args:
        given: a frame of pandas or polars, a table of pyarrow, another object with the Arrow stream interface (which
            becomes a pyarrow.Table), or a list of dicts.
        found: the scores of its rows.
    """
    library = _library(given)
    assert library is not None, "check_table comes first"
    given = arrow_table("inputs", given) if library == "arrow" else given
    columns, taken = score_columns(found), _names(given)
    renamed = free_names(list(columns), taken)
    return _APPEND[library](given, {renamed.get(name, name): values for name, values in columns.items()})


def score_columns(found: ElboResult) -> dict[str, NDArray[Any]]:
    """The columns of the scores by name, in the order of `vae score`."""
    rows = len(found.elbo)
    columns: dict[str, NDArray[Any]] = {name: np.full(rows, np.nan) for name in ALWAYS}
    columns |= {name: values for name in ALWAYS if (values := getattr(found, name)) is not None}
    columns["is_anomaly"] = _verdict(found, rows)
    optional = {
        "group": found.group,
        "group_pooled": found.group_pooled,
        "tolerated": None if found.tolerated is None else joined_names(found.tolerated),
        "novel": None if found.novel is None else joined_names(found.novel),
        "observed_count": found.observed_count,
        **_reasons(found),
        "kl_p_value": found.kl_p_value,
        "is_discovery": found.is_discovery,
    }
    return columns | {name: values for name, values in optional.items() if values is not None}


def _verdict(found: ElboResult, rows: int) -> NDArray[np.bool_]:
    """is_anomaly, masked where there is no p-value."""
    if found.is_anomaly is None or found.p_value is None:
        return _masked(np.zeros(rows, np.bool_), np.ones(rows, np.bool_))
    unknown = np.isnan(found.p_value)
    return _masked(found.is_anomaly, unknown) if unknown.any() else found.is_anomaly


def _masked(values: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    masked: NDArray[np.bool_] = np.ma.array(values, mask=mask)
    return masked


def _reasons(found: ElboResult) -> dict[str, NDArray[Any]]:
    if found.cells is None or found.explanation is None:
        return {}
    columns = {}
    for name, values in reason_values(found.cells.tolist(), found.explanation.shape[1]).items():
        is_number = name.endswith(NUMBERS)
        columns[name] = np.array(values, dtype=np.float64 if is_number else object)
    return columns


def _library(given: Any) -> str | None:
    """Who made the table: "list" for a list of dicts, "arrow" for any other library's; None: not a table."""
    if isinstance(given, Sequence):
        return "list" if is_table(given) else None
    name = type(given).__module__.split(".")[0]
    if name in ("pandas", "polars", "pyarrow") and is_table(given):
        return name
    return "arrow" if hasattr(given, "__arrow_c_stream__") else None


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
    "arrow": _to_arrow,
    "list": _to_dicts,
}
