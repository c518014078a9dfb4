"""Reads the caller's ids of rows from a column of an Arrow table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from vaekit.client.wire import LONGEST_ID, RowId
from vaekit.errors import InputError
from vaekit_service.codecs.row_ids import checked_id


def without_id_column(schema: pa.Schema, name: str) -> pa.Schema:
    """The schema without the column of the ids.

    Raises:
        InputError: there is no such column, or more than one, or it holds neither text nor integers.
    """
    at = schema.get_all_field_indices(name)
    if len(at) != 1:
        raise InputError(f"id_column: {len(at)} columns have the name {name[:64]!r}, expected one")
    kind = schema.field(at[0]).type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(f"id_column {name[:64]!r}: type {str(kind)[:100]}, expected string, large_string or integers")
    return schema.remove(at[0])


def ids_of_batch(batch: pa.RecordBatch, name: str, start: int) -> list[RowId]:
    """The ids of a batch whose first row is row `start`. Lengths are checked before any text is copied.

    Raises:
        InputError: a value is not an id.
        ArrowInvalid: values that are invalid for their type.
    """
    cells = batch.column(name)
    cells.validate(full=True)
    if not pa.types.is_integer(cells.type) and (pc.max(pc.utf8_length(cells)).as_py() or 0) > LONGEST_ID:
        row = pc.index(pc.greater(pc.utf8_length(cells), LONGEST_ID), True).as_py()
        raise InputError(f"id_column: row {start + row}: text of more than {LONGEST_ID} characters")
    return [checked_id(start + i, value) for i, value in enumerate(cells.to_pylist())]
