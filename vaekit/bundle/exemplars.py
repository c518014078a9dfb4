"""The training rows of a kernel prior in raw units, for bundles that may show them.

M exemplars, D columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import FormatError


@dataclass(frozen=True)
class Exemplars:
    """The exemplars in the order of the graph's output `exemplar`."""

    row: NDArray[np.int64]  # (M,), number of each row in the training source, from 0
    x: NDArray[np.float64]  # (M, D), raw units, NaN where a cell is missing

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays to store, by name."""
        return {"row": self.row, "x": self.x}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[np.generic]], count: int, dim: int) -> Exemplars:
        """Read the arrays that `arrays` wrote, of `count` exemplars with D = `dim`.

        Raises:
            FormatError: an array is missing, or has another shape.
        """
        for name, shape in (("row", (count,)), ("x", (count, dim))):
            if name not in arrays:
                raise FormatError(f"no array {name}")
            if arrays[name].shape != shape:
                raise FormatError(f"{name}: shape {arrays[name].shape}, expected {shape}")
        return cls(arrays["row"].astype(np.int64), arrays["x"].astype(np.float64))
