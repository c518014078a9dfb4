"""Converts Arrow columns to arrays of training cells; pyarrow is imported when it is needed."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.tabular.cells import plain
from vaekit.tabular.frames import in_pandas_metadata
from vaekit.tabular.periods import frequency


def from_arrow(column: Any, field: Any = None, *, is_category: bool = False) -> NDArray[Any]:
    """The cells of an Arrow array: numbers, booleans, dates, or objects with None for missing cells.

    Args:
        column: the array.
        field: of the schema, which says whether a column has pandas' intervals, which become text, or periods.
        is_category: whether cells are text whatever their type, as the cells of a dictionary are.
    """
    import pyarrow as pa

    from vaekit.tabular.arrow_cells import numbers, period_dates, stored, with_text

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if field is not None and frequency(field):
        return period_dates(whole, field)
    whole = stored(whole if field is None else with_text(whole, field))
    kind = whole.type
    if is_category and not pa.types.is_dictionary(kind):
        whole = whole.dictionary_encode()
    if pa.types.is_dictionary(whole.type):
        return _category(whole)
    if pa.types.is_decimal(kind) or pa.types.is_duration(kind):
        whole = numbers(whole)
    elif pa.types.is_time(kind):
        whole = whole.cast(pa.string())
    elif pa.types.is_boolean(kind) and whole.null_count == len(whole):
        return np.full(len(whole), None, dtype=object)
    elif pa.types.is_integer(kind) and whole.null_count and _is_long(whole):
        return np.array(whole.to_pylist(), dtype=object)  # float64 would merge neighbours
    return np.asarray(whole.to_numpy(zero_copy_only=False))


def _category(column: Any) -> NDArray[Any]:
    """The cells of a dictionary as text."""
    from vaekit.tabular.levels import level_text

    levels = [None if level is None else level_text(plain(level)) for level in column.dictionary.to_pylist()]
    codes = column.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)
    return np.array([*levels, None], dtype=object)[codes]


def _is_long(column: Any) -> bool:
    import pyarrow.compute as pc

    ends = pc.min_max(column).as_py()
    return ends["min"] is not None and max(-ends["min"], ends["max"]) > 2**53


def categories_in(schema: Any, of_file: Any = None) -> frozenset[str]:
    """The columns of a Parquet file that were categories of pandas or dictionaries of Arrow when it was written.

    Parquet itself stores a dictionary of integers as integers.

    Args:
        schema: of the file.
        of_file: metadata of the file, which pyarrow does not keep in the schema.
    """
    columns = (column for column in in_pandas_metadata(schema, "columns") if isinstance(column, dict))
    of_pandas = {str(column.get("name")) for column in columns if column.get("pandas_type") == "categorical"}
    return frozenset(of_pandas | _dictionaries_in(of_file or {}))


def _dictionaries_in(of_file: Any) -> set[str]:
    """The columns that were dictionaries in the Arrow schema that a Parquet file's metadata may hold."""
    import pyarrow as pa

    try:
        written = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(of_file.get(b"ARROW:schema", b""))))
    except (OSError, ValueError):  # none, or not written by Arrow; pyarrow raises subclasses of these
        return set()
    return {field.name for field in written if pa.types.is_dictionary(field.type)}
