"""The surprises of held-out rows by feature, kept as order statistics, and the p-values of cells by them.

N rows, F features (the D of a model, or 1 for the KL), Q kept values; nats.
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

KEPT = 96  # Q: neighbours differ by a factor of n^(1 / 95) in rank, 1.13 at 100,000 rows; 300 kB for 784 features
MOST_CELLS = 2**23  # held in memory while values are gathered: 64 MiB


@dataclass(frozen=True)
class HeldOut:
    """n held-out values of each feature, of which the r_j-th largest are kept:

        r_j = min(n, max(j + 1, round(n^(j / (Q - 1)))))      j = 0 .. Q - 1:  all if n <= Q; ranks 1 and n always

    A p-value computed from them is at least the exact one, (1 + #{held-out >= value}) / (1 + n): between two kept
    values the larger rank counts, and rounding to float32 goes up. So P(p <= alpha) <= alpha holds for each feature.
    """

    largest: NDArray[np.float32]  # (F, Q), the r_j-th largest; NaN where n is 0
    middle: NDArray[np.float32]  # (F,), the median
    n: NDArray[np.int64]  # (F,)

    @classmethod
    def of(cls, values: ArrayLike) -> HeldOut:
        """The order statistics of values (n, F), any order; NaN where a row has no value."""
        table = np.asarray(values, dtype=np.float64)
        n = np.isfinite(table).sum(axis=0)  # (F,)
        descending = -np.sort(-table, axis=0)  # NaN last
        ranks = np.maximum(_ranks(n), 1)  # (F, Q)
        kept = np.take_along_axis(descending, ranks.T - 1, axis=0).T  # (F, Q)
        columns = [column[: max(count, 1)] for column, count in zip(descending.T, n, strict=True)]
        middle = np.array([np.median(column) for column in columns], dtype=np.float32)
        return cls(_rounded_up(kept), middle, n.astype(np.int64))

    def p_value(self, value: ArrayLike, feature: ArrayLike) -> NDArray[np.float64]:
        """p-values of values (...) of the features (...); NaN without a value or without held-out values.

        Lower is more anomalous.
        """
        at, x = np.asarray(feature), np.asarray(value, dtype=np.float64)
        n = self.n[at]
        above = (self.largest[at] >= tie_floor(x)[..., None]).sum(axis=-1)  # (...), of the kept ones
        p_value = self._ranks[at, above] / (1.0 + n)
        return np.where(np.isnan(x) | (n == 0), np.nan, p_value)

    @cached_property
    def _ranks(self) -> NDArray[np.int64]:
        """r_j, (F, Q), then n + 1, the rank of a value below all kept ones: (F, Q + 1)."""
        return np.concatenate([_ranks(self.n), self.n[:, None] + 1], axis=1)

    def arrays(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """The arrays to store, by name."""
        return {f"{prefix}.{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[np.generic]], prefix: str, features: int) -> HeldOut:
        """Read the arrays that `arrays` wrote.

        Raises:
            FormatError: an array is missing, or is not for F features.
        """
        names = list(cls.__dataclass_fields__)
        missing = [name for name in names if f"{prefix}.{name}" not in arrays]
        if missing:
            raise FormatError(f"no array {prefix}.{missing[0]}")
        largest, middle, n = (arrays[f"{prefix}.{name}"] for name in names)
        if largest.shape != (features, KEPT) or middle.shape != (features,) or n.shape != (features,):
            raise FormatError(f"{prefix}: shape {largest.shape}, expected ({features}, {KEPT})")
        return cls(largest.astype(np.float32), middle.astype(np.float32), n.astype(np.int64))


@dataclass(frozen=True)
class Surprises:
    """Held-out surprises and KLs to compare a row's cells and KL with, and a usual value of each of D columns."""

    features: HeldOut  # F = D
    kl: HeldOut  # F = 1
    usual: NDArray[np.float64]  # (D,), the held-out median, one of the values; for a category the commonest level
    factor: float = 1.0  # widens the intervals of smooth columns, so that they reach their stated coverage

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays to store, by name."""
        columns = {"usual": self.usual, "factor": np.array(self.factor)}
        return {**self.features.arrays("features"), **self.kl.arrays("kl"), **columns}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[np.generic]], dim: int) -> Surprises:
        """Read the arrays that `arrays` wrote.

        Raises:
            FormatError: an array is missing, or is not for D features.
        """
        for name, shape in (("usual", (dim,)), ("factor", ())):
            if name not in arrays:
                raise FormatError(f"no array {name}")
            if arrays[name].shape != shape:
                raise FormatError(f"{name}: shape {arrays[name].shape}, expected {shape}")
        features, kl = HeldOut.read(arrays, "features", dim), HeldOut.read(arrays, "kl", 1)
        return cls(features, kl, arrays["usual"].astype(np.float64), float(arrays["factor"].astype(np.float64)))


def _ranks(n: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """r_j of each feature, (F, Q)."""
    j = np.arange(KEPT)
    geometric = np.rint(np.maximum(n, 1)[:, None] ** (j / (KEPT - 1)))
    ranks: NDArray[np.int64] = np.minimum(n[:, None], np.maximum(j + 1, geometric)).astype(np.int64)
    return ranks


def _rounded_up(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The least float32 that is not below each value."""
    near = values.astype(np.float32)
    return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near)


class Gathered:
    """Collects values of successive rows into (n, F). Above a memory limit it keeps every 2^i-th row."""

    def __init__(self, features: int, most_cells: int = MOST_CELLS) -> None:
        self._most = max(1, most_cells // features)
        self._parts: list[NDArray[np.float64]] = []
        self._step, self._seen, self._held = 1, 0, 0

    def add(self, values: NDArray[np.floating]) -> None:
        """The next rows, (n, F)."""
        first = -self._seen % self._step
        self._seen += len(values)
        self._parts.append(values[first :: self._step].astype(np.float64))
        self._held += len(self._parts[-1])
        while self._held > self._most:
            self._parts = [self.values()[::2]]
            self._step, self._held = 2 * self._step, len(self._parts[0])

    def values(self) -> NDArray[np.float64]:
        """The kept rows, (n, F)."""
        return np.concatenate(self._parts)
