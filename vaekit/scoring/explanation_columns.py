"""Turns explanations into output columns. N rows, k cells per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.tabular.explained_cells import named

FIELDS = {"": pa.string(), "_relief": pa.float64(), "_p_value": pa.float64(), "_expected": pa.string()}


def reason_fields(top: int) -> list[pa.Field]:
    """`odd_1` (the column of the most anomalous cell), `odd_1_relief`, ..., `odd_<top>_expected`, and `kl_p_value`."""
    each = [pa.field(f"odd_{i}{name}", kind) for i in range(1, top + 1) for name, kind in FIELDS.items()]
    return [*each, pa.field("kl_p_value", pa.float64())]


def reason_columns(cells: NDArray[Any], spec: VectorSpec | ImageSpec) -> dict[str, pa.Array]:
    """The columns of reason_fields except `kl_p_value`, by name, from cells (N, k).

    Null where a row has fewer than k cells.
    """
    rows = named(cells, spec)  # N lists of at most k
    return {
        f"odd_{i + 1}{name}": pa.array([_output_value(row[i], name) if i < len(row) else None for row in rows], kind)
        for i in range(cells.shape[1])
        for name, kind in FIELDS.items()
    }


def _output_value(cell: Mapping[str, Any], name: str) -> Any:
    """One field of a cell. Expected values become text, because a level is not a number."""
    value = cell[name.removeprefix("_") or "feature"]
    return f"{value:.6g}" if name == "_expected" and isinstance(value, float) else value
