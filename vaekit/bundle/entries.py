"""Converts calibrations to manifest entries and arrays, and back to calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.calibration import Calibration, array_name
from vaekit.bundle.folds import FoldCalibration, UngroupedCalibration
from vaekit.bundle.grouped import AnyCalibration, GroupedCalibration, HeldOutNodes, every_row
from vaekit.bundle.groups import Groups
from vaekit.bundle.manifest import CalibrationEntry, Fold, Graph, Operation, Precision
from vaekit.bundle.tail import fit_tail
from vaekit.bundle.thresholds import thresholds
from vaekit.errors import InputError

_NOVEL = "_novel"  # ends the name of an array with the scores of novel held-out rows
_NODES = "_group"  # ends the name of an array with the groups of the held-out rows of another array


def entry_of(k: int, precision: Precision, found: AnyCalibration) -> CalibrationEntry:
    """The manifest entry of a calibration of scores on K default draws."""
    entry = CalibrationEntry(
        array=array_name(k, precision),
        precision=precision,
        num_samples=k,
        n=found.n,
    )
    if isinstance(found, GroupedCalibration):
        return entry_of(k, precision, found.every).model_copy(update={"groups": _with_tails(found)})
    if isinstance(found, Calibration):
        return entry.model_copy(update={"thresholds": thresholds(found), "tail": fit_tail(found.scores)})
    folds = tuple(Fold(n=fold.n, tail=fit_tail(fold.scores)) for fold in found.folds)
    return entry.model_copy(update={"folds": folds, "guarantee": found.guarantee})


def arrays_of(entry: CalibrationEntry, found: AnyCalibration) -> dict[str, NDArray[Any]]:
    """The held-out scores of an entry by array name, ascending, and their groups."""
    names, every = _names(entry), every_row(found)
    folds = dict(zip(names, (every,) if isinstance(every, Calibration) else every.folds, strict=True))
    arrays: dict[str, NDArray[Any]] = {name: fold.scores for name, fold in folds.items()}
    novel = {name: fold for name, fold in folds.items() if fold.novel_scores.size}
    arrays |= {name + _NOVEL: fold.novel_scores for name, fold in novel.items()}
    if isinstance(found, GroupedCalibration):
        nodes = dict(zip(names, found.nodes, strict=True))
        arrays |= {name + _NODES: nodes[name].scores for name in folds}
        arrays |= {name + _NOVEL + _NODES: nodes[name].novel_scores for name in novel}
    return arrays


def calibration_of(entry: CalibrationEntry, arrays: Mapping[str, NDArray[Any]]) -> AnyCalibration:
    """The calibration of an entry, from the arrays of its file.

    Raises:
        KeyError: an array is missing.
        InputError: no scores, a score that is not finite, an even number of folds, or groups that do not fit them.
    """
    every = _every_of(entry, arrays)
    if entry.groups is None:
        return every
    nodes = [_nodes(arrays, name) for name in _names(entry)]
    return GroupedCalibration(every, entry.groups, tuple(nodes))


def _every_of(entry: CalibrationEntry, arrays: Mapping[str, NDArray[Any]]) -> UngroupedCalibration:
    """The calibration of an entry on all held-out rows, whatever their groups."""
    if entry.folds is None:
        return replace(_stored(arrays, entry.array), tail=entry.tail)
    named = zip(_names(entry), entry.folds, strict=True)
    return FoldCalibration(tuple(replace(_stored(arrays, name), tail=fold.tail) for name, fold in named))


def _with_tails(found: GroupedCalibration) -> Groups:
    """The groups with their thresholds and tails."""
    groups = []
    for node, group in enumerate(found.groups.groups, start=1):
        if not group.pooled:
            own = found.each[node]
            folds, limits = ((own,), thresholds(own)) if isinstance(own, Calibration) else (own.folds, ())
            tails = tuple(fit_tail(fold.scores) for fold in folds)
            group = group.model_copy(update={"thresholds": limits, "tails": tails})
        groups.append(group)
    return found.groups.model_copy(update={"groups": tuple(groups)})


def check_folds(entry: CalibrationEntry, operations: Mapping[Operation, Graph]) -> None:
    """Check that the graphs output one score per fold if the calibration is by folds.

    Raises:
        InputError: a scoring graph has no output fold_elbo, or one with another number of folds.
    """
    for name in ("bound", "elbo"):
        if entry.folds is None or name not in operations:
            continue
        given = {tensor.name: tensor.shape[-1] for tensor in operations[name].outputs}
        if len(entry.folds) != (there := given.get("fold_elbo", 0)):
            raise InputError(f"{entry.array} has {len(entry.folds)} folds, but the graph of {name} outputs {there}")


def _names(entry: CalibrationEntry) -> list[str]:
    """The array of the entry, or of each fold. Readers of format 1.1 and older do not look for the names of folds."""
    return [entry.array] if entry.folds is None else [f"{entry.array}_fold{fold}" for fold in range(len(entry.folds))]


def _stored(arrays: Mapping[str, NDArray[Any]], name: str) -> Calibration:
    """The calibration of one array of scores, and of the scores of novel rows beside it if there are any."""
    scores, novel = arrays[name], arrays.get(name + _NOVEL, np.empty(0))
    return Calibration.of(np.concatenate([scores, novel]), np.arange(scores.size + novel.size) >= scores.size)


def _nodes(arrays: Mapping[str, NDArray[Any]], name: str) -> HeldOutNodes:
    """The groups of the rows of `_stored`, in the order of their scores."""
    ordered = []
    for each in (name, name + _NOVEL):
        scores = arrays.get(each, np.empty(0))
        nodes = arrays[each + _NODES] if scores.size else np.empty(0)
        if nodes.shape != scores.shape:
            raise InputError(f"{each}{_NODES}: shape {nodes.shape}, expected {scores.shape}")
        ordered.append(nodes[np.argsort(scores, kind="stable")].astype(np.int64))
    return HeldOutNodes(*ordered)
