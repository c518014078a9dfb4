"""Prepares tables and unusual arrays for a request."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from vaekit.errors import InputError, MissingExtra
from vaekit.tabular.cells import plain
from vaekit.tabular.columns import without_series
from vaekit.tabular.frames import is_table, python_cells, table, unmasked


def settled(rows: Any) -> Any:
    """Rows of unusual types as an array of numbers, an Arrow table, lists, or dicts by column name."""
    if isinstance(rows, np.ma.MaskedArray):
        rows = unmasked(rows)
    if isinstance(rows, np.ndarray) and rows.dtype.names is None:
        return rows.tolist() if rows.dtype == object else rows
    if is_table(rows) and not isinstance(rows, Sequence):
        return _records(rows) if isinstance(rows, np.ndarray) or _needs_records(rows) else rows
    return without_series(rows)


def _needs_records(frame: Any) -> bool:
    """Whether a frame is sent as dicts: pyarrow is not installed, or has no plain type for its columns."""
    if not hasattr(frame, "__arrow_c_stream__") or find_spec("pyarrow") is None:
        return True
    import pyarrow as pa

    try:
        if hasattr(frame, "items"):  # of pandas
            schema = pa.Schema.from_pandas(frame, preserve_index=False)
        else:
            schema = pa.table(frame[:0]).schema
    except (TypeError, ValueError, pa.ArrowException):  # such as objects of several types
        return True
    kinds = (kind.value_type if pa.types.is_dictionary(kind) else kind for kind in schema.types)
    return any(pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType) for kind in kinds)


def _records(rows: Any) -> list[dict[str, Any]]:
    """A table as dicts by column name, with None for a missing cell; a cell of an unknown type is its text."""
    found = table(rows)
    assert found.names is not None
    columns = [[_cell(cell) for cell in python_cells(column)] for column in found.columns]
    return [dict(zip(found.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _cell(cell: Any) -> Any:
    cell = plain(cell)
    return cell if cell is None or isinstance(cell, str | bool | int | float) else str(cell)


def arrow_table(name: str, given: Any) -> Any:
    """A table as one of pyarrow, for every library with the Arrow stream interface.

    Args:
        name: the name of the rows in a request, for messages.
        given: the table.

    Raises:
        MissingExtra: pyarrow is not installed.
        InputError: not a table.
    """
    try:
        import pyarrow as pa
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"{name}: sending a table needs pyarrow: pip install 'vaekit[arrow]'") from exc
    try:
        frame = hasattr(given, "items")  # of pandas, whose index is not a column
        return pa.Table.from_pandas(given, preserve_index=False) if frame else pa.table(given)
    except (TypeError, ValueError, pa.ArrowException) as exc:
        raise InputError(f"{name}: not a table: {exc}") from exc


def arrow_stream(name: str, given: Any) -> tuple[bytes, int]:
    """(a table as an Arrow stream, its number of rows); arguments and errors as for arrow_table."""
    columns = arrow_table(name, given)
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_table(columns)
    return sink.getvalue().to_pybytes(), columns.num_rows
