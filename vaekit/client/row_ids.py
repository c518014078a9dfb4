"""Adds the caller's ids of rows to a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vaekit.client.tables import arrow_table, settled
from vaekit.errors import InputError
from vaekit.tabular.cells import plain

ID_COLUMN = "vae_row_id"  # the column that is added to a table that is sent as Arrow


def with_ids(inputs: Any, ids: Iterable[Any] | str) -> tuple[Any, dict[str, Any]]:
    """(the rows in a form that can carry ids, the options of the request that say which they are).

    Args:
        inputs: the rows.
        ids: one id per row, text or an integer or None; or the name of the column of the rows that has them.

    Raises:
        InputError: another number of ids than rows.
    """
    rows = settled(inputs)
    if isinstance(ids, str):
        return rows, {"id_column": ids}
    listed = [plain(each) for each in ids]
    if hasattr(rows, "__arrow_c_stream__"):  # a query string is too short for the ids of many rows
        table = arrow_table("inputs", rows)
        import pyarrow as pa

        _check(len(listed), table.num_rows)
        texts = pa.array([None if each is None else str(each) for each in listed], pa.string())
        return table.append_column(ID_COLUMN, texts), {"id_column": ID_COLUMN}
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    elif not isinstance(rows, str | bytes | Mapping) and isinstance(rows, Iterable):
        rows = list(rows)
    if isinstance(rows, list):
        _check(len(listed), len(rows))
    return rows, {"ids": listed}


def _check(ids: int, rows: int) -> None:
    if ids != rows:
        raise InputError(f"ids: {ids} ids for {rows} rows")
