"""Computes the held-out surprises that explanations compare cells with, as a file of a bundle.

n rows, D features (for images in H, W, C order), M members; nats.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.heldout import HeldOut, RowSample, Surprises
from vaekit.bundle.manifest import SURPRISE_FILE, SurpriseFile
from vaekit.bundle.write import digest, npz
from vaekit.runtime.explain.explanation import of_columns, width_factor
from vaekit.runtime.explain.intervals import factors, ratios
from vaekit.runtime.explain.surprises import surprise
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import Array, CellElbo

WIDTH_ROWS = 1024  # about the number of rows that the widening of intervals is measured on


class HeldOutRows:
    """Collects calibration rows in batches, and makes the file of their surprises on the default draws.

    With F fold models, each row must be scored by the one model that was trained without it. The graphs score by the
    mixture of all fold models, so compute these scores elsewhere and call add_scored. The KL of the mixture contains up
    to log F for the choice of the fold model. Therefore log F is added to the KL of each held-out row, which makes the
    p-values of KLs conservative.
    """

    def __init__(self, model: Operations, folds: int = 1) -> None:
        self._model, self._folds = model, folds
        self._sample = RowSample(2 * model.spec.dim + 2)  # columns: surprises, KL, fold, values
        self._ratios = RowSample(model.spec.dim)  # of cells that the model predicts from the others
        self._n = 0

    def add(self, rows: NDArray[Any]) -> None:
        """Add the next checked rows, (n, ...), and score them."""
        most = self._model.rows_at_once("surprise", self._model.manifest.draws.default)
        for start in range(0, len(rows), most):  # in chunks, to limit memory
            part = rows[start : start + most]
            self.add_scored(part, self._model.cells_checked(part))

    def add_scored(self, rows: NDArray[Any], scored: CellElbo, fold: int = 0) -> None:
        """Add the next rows, scored with the log-likelihood of features by the fold model trained without them."""
        kl = scored.kl + math.log(self._folds)
        folds = np.full(len(rows), float(fold))
        self._sample.add(np.column_stack([surprise(scored, rows), kl, folds, rows.reshape(len(rows), -1)]))
        self._n += len(rows)
        if (cells := of_columns(scored, self._model.spec)) is not None:
            every = np.broadcast_to(np.arange(self._model.spec.dim), rows.shape)
            self._ratios.add(ratios(cells, every, rows, self._model.spec))

    def file(self, found: Surprises | None = None) -> tuple[SurpriseFile, bytes]:
        """(the manifest's entry of the file, the content of the file); found: the result of `found`, if it is known."""
        content, k = npz((found or self.found()).arrays()), self._model.manifest.draws.default
        return SurpriseFile(file=SURPRISE_FILE, sha256=digest(content), num_samples=k, n=self._n), content

    def found(self) -> Surprises:
        """The order statistics that the file holds."""
        dim, values = self._model.spec.dim, self._sample.values()  # (n, 2 D + 2)
        surprises, kl, fold, cells = np.split(values, [dim, dim + 1, dim + 2], axis=1)
        found = Surprises(HeldOut.of(surprises), HeldOut.of(kl), _usual(cells, self._model.spec), np.array(1.0))
        return replace(found, factor=self._factor(found, cells, fold))

    def _factor(self, found: Surprises, cells: Array, fold: Array) -> Array:
        """The factor of Surprises, from kept rows (n, D) and their folds (n, 1)."""
        if self._model.predicts_cells:
            return factors(self._ratios.values())
        some = slice(None, None, -(-len(cells) // WIDTH_ROWS))
        rows = cells[some].reshape(-1, *self._model.spec.row_shape)
        rows = rows if isinstance(self._model.spec, VectorSpec) else rows.astype(np.uint8)
        return np.array(width_factor(self._model, rows, found, self._members_without(fold[some])))

    def _members_without(self, fold: Array) -> NDArray[np.bool_] | None:
        """True for members that were trained without the row, (n, M), from the rows' folds (n, 1); None: no folds."""
        if self._folds == 1:
            return None
        members = np.arange(self._model.manifest.members)
        return np.asarray(members // (len(members) // self._folds) == fold)


def _usual(cells: Array, spec: VectorSpec | ImageSpec) -> Array:
    """The usual value of each column, (D,): the lower median of cells (n, D), for a category the most common level."""
    kinds = [column.kind for column in spec.columns] if isinstance(spec, VectorSpec) else ["real"] * spec.dim
    columns = zip(cells.T, kinds, strict=True)
    return np.array([_usual_value(column[~np.isnan(column)], kind) for column, kind in columns])


def _usual_value(values: Array, kind: str) -> float:
    if not len(values):
        return float("nan")
    if kind == "category":
        return float(np.bincount(values.astype(np.intp)).argmax())
    return float(np.quantile(values, 0.5, method="inverted_cdf"))
