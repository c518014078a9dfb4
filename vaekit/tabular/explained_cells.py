"""Converts the cells of an explanation and similar rows to dicts, with the names of columns and levels.

N rows, k cells per row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.tabular.levels import level_names

# Fields of a cell as output columns, by the end of their names; levels and numbers share the columns of TEXT.
REASONS = ("", "_relief", "_p_value", "_expected", "_value", "_low", "_high")
TEXT = ("", "_expected", "_value")
UNSEEN = "<unseen level>"  # in place of the name of a level that training has not seen
LEVELS = ("value", "expected")  # fields that are the index of a level if the column is a category
ODD_LEVEL = 0.1  # largest p-value of a level that is odd
NONE_IS_ODD = "no single cell stands out"


def feature_name(feature: int, spec: VectorSpec | ImageSpec) -> str:
    """The name of a column; for an image the row and column of a pixel, and its channel if there are several."""
    if isinstance(spec, VectorSpec):
        return spec.names[feature]
    h, w, c = np.unravel_index(feature, spec.row_shape)
    return f"pixel ({h}, {w})" if spec.channels == 1 else f"pixel ({h}, {w}, {c})"


def named(cells: NDArray[Any], spec: VectorSpec | ImageSpec) -> list[list[dict[str, Any]]]:
    """Cells (N, k) as one list of dicts per row, without empty cells. A field without a value is None."""
    return [[_named(cell, spec) for cell in row if cell["feature"] >= 0] for row in cells]


def is_odd(cell: Mapping[str, Any]) -> bool:
    """Whether a named cell is a reason for a high score.

    The score falls without it (where that is not known: its surprise is above the usual one), and a number is outside
    the interval that is expected, or a level was unseen in training or is another one than expected, with a p-value of
    at most ODD_LEVEL.
    """
    gain = cell["excess"] if cell["relief"] is None else cell["relief"]
    if gain <= 0:
        return False
    if cell["low"] is not None:
        return not cell["low"] <= cell["value"] <= cell["high"]
    if cell["value"] is None:  # an unseen level
        return True
    return bool(cell["value"] != cell["expected"] and (cell["p_value"] is None or cell["p_value"] <= ODD_LEVEL))


def odd_cells(cells: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The cells that are a reason for a high score, in their order; none if no single cell stands out."""
    return [cell for cell in cells if is_odd(cell)]


def reason_values(rows: Sequence[Sequence[Mapping[str, Any]]], top: int) -> dict[str, list[Any]]:
    """Named cells as columns (N,): `odd_1` (the most anomalous cell), `odd_1_relief`, ..., `odd_<top>_high`.

    None where a row has fewer cells.
    """
    return {
        f"odd_{i + 1}{end}": [_output_value(row[i], end) if i < len(row) else None for row in rows]
        for i in range(top)
        for end in REASONS
    }


def _output_value(cell: Mapping[str, Any], end: str) -> Any:
    """One field of a cell. Values and expected values become text, because a level is not a number."""
    value = cell[end.removeprefix("_") or "feature"]
    if end == "_value" and value is None:
        return UNSEEN
    if end not in TEXT or not isinstance(value, float):
        return value
    return f"{value:.6g}" if end == "_expected" else f"{value!r}".removesuffix(".0")


def named_similar(records: NDArray[Any], spec: VectorSpec | ImageSpec) -> Iterator[list[dict[str, Any]]]:
    """Records (N, k) of similar rows as dicts, with the values by the names of columns; a category by the
    name of its level, None for a missing cell.

    The dicts of all rows together may need a hundred bytes per value, so they are made row by row.
    """
    assert isinstance(spec, VectorSpec)  # a kernel prior is for columns
    return ([_similar(one, spec.columns) for one in row] for row in records)


def _similar(record: np.void, columns: Sequence[Column]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, value in zip(columns, record["values"].tolist(), strict=True):
        is_level = column.levels is not None and not np.isnan(value)
        values[column.name] = _level_name(value, column) if is_level else _number(value)
    return {"row": int(record["row"]), "weight": float(record["weight"]), "values": values}


def _named(cell: np.void, spec: VectorSpec | ImageSpec) -> dict[str, Any]:
    assert cell.dtype.names is not None
    feature = int(cell["feature"])
    found: dict[str, Any] = {name: _number(float(cell[name])) for name in cell.dtype.names[1:]}
    if isinstance(spec, VectorSpec) and spec.columns[feature].levels is not None:
        found |= {name: _level_name(found[name], spec.columns[feature]) for name in LEVELS}
    return {"feature": feature_name(feature, spec), **found}


def _level_name(index: float, column: Column) -> str | None:
    """The name of a level; None if it was unseen in training."""
    return level_names([index], column)[0] if index < len(column.levels or ()) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
