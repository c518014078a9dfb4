"""Held-out rows -> what cells are compared with, as a bundle keeps it. Knows models and arrays, no files of rows.

N rows, D features (of pictures H W C, in that order), K draws; nats.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.heldout import Gathered, HeldOut, Surprises
from vaekit.bundle.manifest import SURPRISE_FILE, SurpriseFile
from vaekit.bundle.store import digest, npz
from vaekit.runtime.explain import width_factor
from vaekit.runtime.results import Array
from vaekit.runtime.surprises import surprise

if TYPE_CHECKING:
    from vaekit.runtime.model import Model

WIDTH_ROWS = 1024  # that say how wide intervals must be


class HeldOutRows:
    """Rows used for nothing else, piece by piece -> the file of their surprises, on the default draws."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._gathered = Gathered(2 * model.spec.dim + 1)  # surprises, KL, values
        self._n = 0

    def add(self, rows: NDArray[Any]) -> None:
        """The next rows, as the model takes them."""
        most = self._model.rows_at_once("surprise", self._model.manifest.draws.default)
        for start in range(0, len(rows), most):  # all of them at once would take as much memory as the rows
            part = rows[start : start + most]
            got = self._model.surprise(part)
            self._gathered.add(np.column_stack([surprise(got, part), got.kl, part.reshape(len(part), -1)]))
        self._n += len(rows)

    def file(self) -> tuple[SurpriseFile, bytes]:
        """As the manifest signs it, and its content."""
        dim, values = self._model.spec.dim, self._gathered.values()  # (n, 2 D + 1)
        surprises, kl, cells = np.split(values, [dim, dim + 1], axis=1)
        found = Surprises(HeldOut.of(surprises), HeldOut.of(kl), _usual(cells, self._model.spec))
        rows = cells[:: -(-len(cells) // WIDTH_ROWS)].reshape(-1, *self._model.spec.row_shape)
        rows = rows if isinstance(self._model.spec, VectorSpec) else rows.astype(np.uint8)
        found = replace(found, factor=width_factor(self._model, rows, found))
        content, k = npz(found.arrays()), self._model.manifest.draws.default
        return SurpriseFile(file=SURPRISE_FILE, sha256=digest(content), num_samples=k, n=self._n), content


def _usual(cells: Array, spec: VectorSpec | ImageSpec) -> Array:
    """A value of each column that is usual for it, (D,): the middle one of (n, D), of a category the commonest."""
    kinds = [column.kind for column in spec.columns] if isinstance(spec, VectorSpec) else ["real"] * spec.dim
    return np.array([_middle(column[~np.isnan(column)], kind) for column, kind in zip(cells.T, kinds, strict=True)])


def _middle(values: Array, kind: str) -> float:
    if not len(values):
        return float("nan")
    if kind == "category":
        return float(np.bincount(values.astype(np.intp)).argmax())
    return float(np.quantile(values, 0.5, method="inverted_cdf"))
