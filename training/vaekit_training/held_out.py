"""Scores held-out rows as new rows: the calibration of rows and of cells.

N rows, D data dimensions; nats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.bundle import AnyCalibration, Calibration, FoldCalibration, GroupedCalibration, ImageSpec, VectorSpec
from vaekit.bundle.groups import Groups
from vaekit.bundle.manifest import Operation
from vaekit.runtime import Bound, Model
from vaekit.runtime.explain.held_out import HeldOutRows
from vaekit.runtime.results import CellElbo
from vaekit.tabular.groups import RowGroups, group_cells, make_groups
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import Splits
from vaekit_training.export import double, evaluate_in_parts
from vaekit_training.features import observed_rows
from vaekit_training.folds import AnyVAE, FoldModels
from vaekit_training.sections import CalibrationConfig
from vaekit_training.vae import VAE

CELLS = 2**26  # largest number of cells of rows, each compared with all exemplars, for the surprises: a second or two
FEWEST_ROWS = 500  # rows whose surprises are computed in any case, if there are so many

Index = NDArray[np.intp]
Flags = NDArray[np.bool_]


def groups_of(rows: Rows, splits: Splits, config: CalibrationConfig, spec: VectorSpec | ImageSpec) -> Groups | None:
    """The groups of the held-out rows by the columns of the config; None if it has none.

    A level that only held-out rows have is a level of the bundle, and makes a group if there are enough such rows.
    """
    if not config.by:
        return None
    assert isinstance(spec, VectorSpec)  # check_by refuses images
    cells = [group_cells(rows.x[index], config.by, spec) for index in splits.held_out]
    return make_groups(cells, config.by, spec, config.least_rows)


def calibrated(model: Model, rows: Rows, splits: Splits, groups: Groups | None = None) -> AnyCalibration:
    """The calibration from the calibration split, or from each fold, scored by the model trained without it.

    Like a new row, a held-out row is novel relative to the rows that its model was trained on.

    Args:
        model: scores the rows.
        rows, splits: all rows, and which are held out.
        groups: those of `groups_of`, if each row is to be compared with the held-out rows of its group.
    """
    scores, novel = _by_folds(model, rows, splits) if splits.folds else _by_split(model, rows, splits)
    if groups is None:
        return FoldCalibration.of(scores, novel) if splits.folds else Calibration.of(scores[0], novel[0])
    assert isinstance(model.spec, VectorSpec)
    of_rows = RowGroups(groups, model.spec)
    nodes = [of_rows.nodes(rows.x[index]) for index in splits.held_out]
    if splits.folds:
        return GroupedCalibration.of_folds(scores, novel, nodes, groups)
    return GroupedCalibration.of(scores[0], novel[0], nodes[0], groups)


Scored = tuple[list[NDArray[np.float64]], list[Flags | None]]  # scores, and which rows are novel, (n,) each


def _by_split(model: Model, rows: Rows, splits: Splits) -> Scored:
    scored = model.bound(_as_new(rows, splits.calibration, splits.train))
    return [scored.score], [_novel(scored, rows, splits)]


def _by_folds(model: Model, rows: Rows, splits: Splits) -> Scored:
    scores: list[NDArray[np.float64]] = []
    novel: list[Flags | None] = []
    for fold in range(len(splits.folds)):
        own = splits.without(fold)
        scored = model.bound(_as_new(rows, own.calibration, own.train))
        scores.append(by_fold_model(scored, fold))
        novel.append(_novel(scored, rows, own))
    return scores, novel


def _as_new(rows: Rows, index: Index, train: Index) -> NDArray[Any]:
    """Rows (n, ...) as new rows for a model trained on `train`: levels that `train` does not have are unseen.

    An unseen level has the index after the last. The training rows of a stream are a sample, so for a stream all
    levels of the source count as seen, and only the manifest decides which rows are novel.
    """
    x = np.array(rows.x[index])
    counts = {d: len(levels) for d, levels in enumerate(rows.levels) if levels is not None}
    if not counts or rows.streamed is not None:
        return x
    seen = {d: np.zeros(count, dtype=bool) for d, count in counts.items()}
    for chunk in rows.chunks(train):
        for d in seen:
            level = chunk[:, d]
            seen[d][level[~np.isnan(level)].astype(np.intp)] = True
    for d, has in seen.items():
        there = np.flatnonzero(~np.isnan(x[:, d]))
        x[there[~has[x[there, d].astype(np.intp)]], d] = counts[d]
    return x


def _novel(scored: Bound, rows: Rows, splits: Splits) -> Flags | None:
    """Which calibration rows (n,) are novel relative to the training rows; None for images."""
    if scored.novel is None or rows.streamed is not None:
        return scored.novel
    index, train = splits.calibration, splits.train
    return scored.novel | _misses_more(rows, index, train) | _outside_binary(rows, index, train)


def _misses_more(rows: Rows, index: Index, train: Index) -> Flags:
    """Which rows (n,) have more missing cells than any row of `train`."""
    most = max(int(np.isnan(chunk).sum(axis=1).max()) for chunk in rows.chunks(train))
    return np.asarray(np.isnan(rows.x[index]).sum(axis=1) > most)


def _outside_binary(rows: Rows, index: Index, train: Index) -> Flags:
    """Which rows (n,) would be outside the support of a column if its kind were inferred from `train` alone.

    Kinds are inferred from all rows. If 0 and 1 are the only values of a column in `train`, and another row has another
    value, the column is real instead of binary, and no held-out row is outside. But a new row may be the first with
    another value in one of many such columns, and is then novel. So that held-out rows are ranked by the same rule,
    those with another value count as novel too.
    """
    inferred = np.flatnonzero(rows.inferred)
    inferred = inferred[[rows.kinds[d] == "real" for d in inferred]]
    if not inferred.size:
        return np.zeros(len(index), dtype=bool)
    zero, one, other = (np.zeros(inferred.size, dtype=bool) for _ in range(3))
    for chunk in rows.chunks(train):
        x = chunk[:, inferred]
        zero, one = zero | (x == 0).any(axis=0), one | (x == 1).any(axis=0)
        other |= ~((x == 0) | (x == 1) | np.isnan(x)).all(axis=0)
    x = rows.x[index][:, inferred[zero & one & ~other]]
    return np.asarray((~((x == 0) | (x == 1) | np.isnan(x))).any(axis=1))


def by_fold_model(scored: Bound, fold: int) -> NDArray[np.float64]:
    """Scores -ELBO under one fold model, (N,), nats; higher is more anomalous."""
    assert scored.fold_elbo is not None
    return -scored.fold_elbo[:, fold]


def surprises(model: Model, vae: AnyVAE, x: NDArray[Any], splits: Splits) -> HeldOutRows:
    """Surprises of held-out cells, as a reference for the cells of new rows.

    They come from the calibration split, or from each fold and the model that was trained without it.
    """
    if not isinstance(vae, FoldModels):
        cells = HeldOutRows(model)
        cells.add(x[_some(model, splits.calibration)])
        return cells
    cells = HeldOutRows(model, len(vae.each))
    for f, (own, fold) in enumerate(zip(vae.each, splits.folds, strict=True)):
        some = x[_some(model, fold)]
        terms = by_torch(double(own), "surprise", model, some)
        cells.add_scored(some, CellElbo(**{name: a for name, a in terms.items() if name in CellElbo.names()}), f)
    return cells


def _some(model: Model, index: Index) -> Index:
    """Rows whose surprises are computed: all, or if each cell is predicted from the others as many as CELLS allows."""
    if not model.predicts_cells:
        return index
    most = max(FEWEST_ROWS, CELLS // (model.manifest.components * model.spec.dim))
    return index[:: -(-len(index) // most)]


def by_torch(vae: VAE, operation: Operation, model: Model, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Terms of the bound of raw rows x (N, ...), by name, computed in torch with the model's default draws."""
    draws, rows = torch.from_numpy(model.draws()), torch.from_numpy(x)  # (K, Z), (N, D)
    x_and_observed = observed_rows(rows) if vae.features.may_be_missing else (rows,)
    eps = draws.expand(len(rows), -1, -1)  # (N, K, Z)
    feeds = dict(zip(("x", "eps", "observed"), (x_and_observed[0], eps, *x_and_observed[1:]), strict=False))
    found = evaluate_in_parts(vae, operation, feeds, model.rows_at_once(operation, len(draws)))
    return {name: values.numpy() for name, values in found.items()}
