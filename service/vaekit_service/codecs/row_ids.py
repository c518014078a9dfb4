"""Takes the caller's ids of rows from a request: a list of them, or the column that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vaekit.client.wire import LONGEST_ID, Request, RowId
from vaekit.errors import InputError
from vaekit.tabular.checked_rows import InvalidRow
from vaekit_service.codecs.validation_messages import show


def id_column(options: Request) -> str | None:
    """The column that has the ids; None: no column has them.

    Raises:
        InputError: ids are given too.
    """
    column: str | None = getattr(options, "id_column", None)
    if column is not None and getattr(options, "ids", None):
        raise InputError("id_column: give either ids or id_column")
    return column


def listed_ids(options: Request) -> list[RowId] | None:
    """The ids of rows that have no column names; None: the caller sent none.

    Raises:
        InputError: the options name a column.
    """
    if id_column(options) is not None:
        raise InputError("id_column: these rows have no column names; send their ids as ids")
    return getattr(options, "ids", None) or None


def without_ids(rows: Sequence[Any], column: str) -> tuple[list[dict[str, Any]], list[RowId]]:
    """(rows by column name without the ids, the ids).

    Raises:
        InputError: the rows have no column names, or no row has the column, or a value is not an id.
    """
    if not isinstance(rows[0], dict):
        raise InputError("id_column: these rows have no column names; send their ids as ids")
    if not any(column in row for row in rows):
        raise InputError(f"id_column: no row has {column[:64]!r}")
    ids = [checked_id(i, row.get(column)) for i, row in enumerate(rows)]
    return [{name: cell for name, cell in row.items() if name != column} for row in rows], ids


def checked_id(row: int, value: Any) -> RowId:
    """The value as an id; a float that is an integer is that integer, as pandas writes one beside missing cells.

    Raises:
        InputError: it is not an id.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63):
        return value
    if isinstance(value, str) and 0 < len(value) <= LONGEST_ID:
        return value
    wanted = f"text of 1 to {LONGEST_ID} characters, an integer of 64 bits or null"
    raise InputError(f"id_column: row {row}: {show(value)} is not {wanted}")


def checked_ids(values: Sequence[Any], column: str | None, faults: dict[int, InvalidRow]) -> list[RowId]:
    """The values as ids, null where one is not an id; its row becomes a fault."""
    found: list[RowId] = []
    for row, value in enumerate(values):
        try:
            found.append(checked_id(row, value))
        except InputError as exc:
            found.append(None)
            reason = str(exc).removeprefix(f"id_column: row {row}: ")
            faults.setdefault(row, InvalidRow(row, reason, column))
    return found


def split_ids(
    ids: Sequence[RowId], invalid: Sequence[InvalidRow], start: int = 0
) -> tuple[list[RowId], list[InvalidRow]]:
    """(the ids of the valid rows, the invalid rows with their ids); the first id is that of row `start`."""
    skipped = {one.row - start for one in invalid}
    valid = [one for row, one in enumerate(ids) if row not in skipped]
    return valid, [replace(one, id=ids[one.row - start]) for one in invalid]
