"""Order statistics of the surprises of held-out rows, and the p-values of cells that are computed from them.

The surprise of a cell is -E_q[log p(x_d|z)], with a kernel prior -log p(x_d | the other cells), nats. n rows, F
features (the D of a model, or 1 for the KL), Q stored values of each feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.comparison import tie_floor
from vaekit.errors import FormatError

# Q. The rank grows by a factor of n^(1 / 95) from one stored value to the next: 1.13 for 100,000 rows. 784 features
# take 300 kB.
KEPT_VALUES = 96
MAX_CELLS = 2**23  # limit of a RowSample, 64 MiB


@dataclass(frozen=True)
class HeldOut:
    """Order statistics of n held-out values of each feature. The r_j-th largest value is stored for j = 0 .. Q - 1:

        r_j = min(n, max(j + 1, round(n^(j / (Q - 1)))))

    These are all values if n <= Q; the largest and the smallest value are always stored. A p-value computed from them
    is never below the exact p-value, (1 + #{held-out >= value}) / (1 + n): the rank of a value between two stored ones
    is rounded up, and so are stored values to float32. Therefore P(p <= alpha) <= alpha holds for each feature.
    """

    largest: NDArray[np.float32]  # (F, Q), the r_j-th largest values; NaN where n is 0
    middle: NDArray[np.float32]  # (F,), the median
    n: NDArray[np.int64]  # (F,), number of values; rows with a missing cell do not count

    @classmethod
    def of(cls, values: ArrayLike) -> HeldOut:
        """The order statistics of values (n, F) in any order; NaN where a row has no value."""
        table = np.asarray(values, dtype=np.float64)
        n = np.isfinite(table).sum(axis=0)  # (F,)
        descending = -np.sort(-table, axis=0)  # NaN last
        ranks = np.maximum(_ranks(n), 1)  # (F, Q)
        kept = np.take_along_axis(descending, ranks.T - 1, axis=0).T  # (F, Q)
        columns = [column[: max(count, 1)] for column, count in zip(descending.T, n, strict=True)]
        middle = np.array([np.median(column) for column in columns], dtype=np.float32)
        return cls(_rounded_up(kept), middle, n.astype(np.int64))

    def p_value(self, value: ArrayLike, feature: ArrayLike) -> NDArray[np.float64]:
        """The p-value of each value among the held-out values of its feature. Lower is more anomalous.

        Args:
            value: values, any shape; NaN if missing.
            feature: indices of their features, same shape.

        Returns:
            p-values, same shape; NaN where the value is missing or the feature has no held-out values.
        """
        at, x = np.asarray(feature), np.asarray(value, dtype=np.float64)
        n = self.n[at]
        above = (self.largest[at] >= tie_floor(x)[..., None]).sum(axis=-1)  # (...), of the kept ones
        p_value = self._ranks[at, above] / (1.0 + n)
        return np.where(np.isnan(x) | (n == 0), np.nan, p_value)

    @cached_property
    def _ranks(self) -> NDArray[np.int64]:
        """r_j (F, Q) and, as the last column, n + 1, the rank of a value below all stored ones: (F, Q + 1)."""
        return np.concatenate([_ranks(self.n), self.n[:, None] + 1], axis=1)

    def arrays(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """The arrays to store, by name."""
        return {f"{prefix}.{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[np.generic]], prefix: str, features: int) -> HeldOut:
        """Read the arrays that `arrays` wrote.

        Raises:
            FormatError: an array is missing, or does not have the shape for F features.
        """
        names = list(cls.__dataclass_fields__)
        missing = [name for name in names if f"{prefix}.{name}" not in arrays]
        if missing:
            raise FormatError(f"no array {prefix}.{missing[0]}")
        largest, middle, n = (arrays[f"{prefix}.{name}"] for name in names)
        for name, array, shape in (
            ("largest", largest, (features, KEPT_VALUES)),
            ("middle", middle, (features,)),
            ("n", n, (features,)),
        ):
            if array.shape != shape:
                raise FormatError(f"{prefix}.{name}: shape {array.shape}, expected {shape}")
        return cls(largest.astype(np.float32), middle.astype(np.float32), n.astype(np.int64))


@dataclass(frozen=True)
class Surprises:
    """What explanations compare a row with: held-out surprises, held-out KLs, and a usual value of each column."""

    features: HeldOut  # F = D
    kl: HeldOut  # F = 1
    usual: NDArray[np.float64]  # (D,), the lower median of held-out values; for a category the most common level
    factor: NDArray[np.float64]  # by which intervals of continuous columns are widened to reach their coverage: one for
    # all columns, (), or if the model predicts each cell from the others one for each, (D,)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays to store, by name."""
        columns = {"usual": self.usual, "factor": self.factor}
        return {**self.features.arrays("features"), **self.kl.arrays("kl"), **columns}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[np.generic]], dim: int) -> Surprises:
        """Read the arrays that `arrays` wrote.

        Raises:
            FormatError: an array is missing, or does not have the shape for D features.
        """
        for name, shapes in (("usual", [(dim,)]), ("factor", [(), (dim,)])):
            if name not in arrays:
                raise FormatError(f"no array {name}")
            if arrays[name].shape not in shapes:
                raise FormatError(f"{name}: shape {arrays[name].shape}, expected {' or '.join(map(str, shapes))}")
        features, kl = HeldOut.read(arrays, "features", dim), HeldOut.read(arrays, "kl", 1)
        return cls(features, kl, arrays["usual"].astype(np.float64), arrays["factor"].astype(np.float64))


def _ranks(n: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """r_j of each feature, (F, Q)."""
    j = np.arange(KEPT_VALUES)
    geometric = np.rint(np.maximum(n, 1)[:, None] ** (j / (KEPT_VALUES - 1)))
    ranks: NDArray[np.int64] = np.minimum(n[:, None], np.maximum(j + 1, geometric)).astype(np.int64)
    return ranks


def _rounded_up(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each value rounded up to float32."""
    near = values.astype(np.float32)
    return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near)


class RowSample:
    """Collects batches of rows into one array (n, F). If they exceed a memory limit, it keeps every 2^i-th row."""

    def __init__(self, features: int, max_cells: int = MAX_CELLS) -> None:
        self._max_rows = max(1, max_cells // features)
        self._parts: list[NDArray[np.float64]] = []
        self._step, self._seen, self._held = 1, 0, 0

    def add(self, values: NDArray[np.floating]) -> None:
        """Add the next rows, (n, F)."""
        first = -self._seen % self._step
        self._seen += len(values)
        self._parts.append(values[first :: self._step].astype(np.float64))
        self._held += len(self._parts[-1])
        while self._held > self._max_rows:
            self._parts = [self.values()[::2]]
            self._step, self._held = 2 * self._step, len(self._parts[0])

    def values(self) -> NDArray[np.float64]:
        """The kept rows, (n, F)."""
        return np.concatenate(self._parts)
