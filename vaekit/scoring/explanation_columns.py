"""Turns explanations into output columns. N rows, k cells per row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.tabular.explained_cells import REASONS, TEXT, named, reason_values

KINDS = {end: pa.string() if end in TEXT else pa.float64() for end in REASONS}


def reason_fields(top: int) -> list[pa.Field]:
    """`odd_1` (the column of the most anomalous cell), `odd_1_relief`, ..., `odd_<top>_high`, and `kl_p_value`."""
    each = [pa.field(f"odd_{i}{end}", kind) for i in range(1, top + 1) for end, kind in KINDS.items()]
    return [*each, pa.field("kl_p_value", pa.float64())]


def reason_columns(cells: NDArray[Any], spec: VectorSpec | ImageSpec) -> dict[str, pa.Array]:
    """The columns of reason_fields except `kl_p_value`, by name, from cells (N, k).

    Null where a row has fewer than k cells.
    """
    top = cells.shape[1]
    kinds = {field.name: field.type for field in reason_fields(top)}
    return {name: pa.array(values, kinds[name]) for name, values in reason_values(named(cells, spec), top).items()}
