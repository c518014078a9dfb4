"""Converts Arrow columns to arrays of training cells; pyarrow is imported when it is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.tabular.cells import plain


def from_arrow(column: Any, *, is_category: bool = False) -> NDArray[Any]:
    """The cells of an Arrow array: numbers, booleans, dates, or objects with None for missing cells.

    A dictionary is a category, whose cells are text whatever their type; is_category: so is this column.
    """
    import pyarrow as pa

    from vaekit.tabular.arrow_cells import numbers, stored

    whole = stored(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
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


def index_columns_in(schema: Any) -> tuple[str, ...]:
    """The columns of an Arrow schema that hold the index of the pandas frame it was written from."""
    return tuple(
        name for name in _in_metadata(schema, "index_columns") if isinstance(name, str) and name in schema.names
    )


def categories_in(schema: Any) -> frozenset[str]:
    """The columns of an Arrow schema that were categories of the pandas frame it was written from.

    In Parquet a category of integers is stored as integers.
    """
    columns = (column for column in _in_metadata(schema, "columns") if isinstance(column, dict))
    return frozenset(str(column.get("name")) for column in columns if column.get("pandas_type") == "categorical")


def _in_metadata(schema: Any, key: str) -> list[Any]:
    """A list in the metadata that pandas wrote into the schema."""
    try:
        found = (schema.pandas_metadata or {}).get(key, [])
    except (AttributeError, ValueError):  # metadata that pandas did not write
        return []
    return found if isinstance(found, list) else []
