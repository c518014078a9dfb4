"""Values of replies about windows: cells nested by time step, and none where no window ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.tabular.explained_cells import named_similar


def in_windows(rows: Sequence[Any], spec: VectorSpec | ImageSpec) -> Sequence[Any]:
    """Rows of W D cells as windows of W steps; rows of a model without windows, and null, unchanged."""
    if spec.window is None or rows[0] is None:
        return rows
    d = spec.window.dim
    return [[list(row[at : at + d]) for at in range(0, len(row), d)] for row in rows]


def known_similar(a: NDArray[Any], spec: VectorSpec | ImageSpec) -> list[list[dict[str, Any]]]:
    """The similar training rows of each row; none at a time step without a window."""
    return [[one for one in row if one["row"] >= 0] for row in named_similar(a, spec)]
