"""Converts calibrations to manifest entries and arrays, and back to calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.calibration import Calibration, array_name
from vaekit.bundle.folds import AnyCalibration, FoldCalibration
from vaekit.bundle.manifest import CalibrationEntry, Fold, Graph, Operation, Precision
from vaekit.bundle.tail import fit_tail
from vaekit.bundle.thresholds import thresholds
from vaekit.errors import InputError

_NOVEL = "_novel"  # ends the name of an array with the scores of novel held-out rows


def entry_of(k: int, precision: Precision, found: AnyCalibration) -> CalibrationEntry:
    """The manifest entry of a calibration of scores on K default draws."""
    entry = CalibrationEntry(
        array=array_name(k, precision),
        precision=precision,
        num_samples=k,
        n=found.n,
    )
    if isinstance(found, Calibration):
        return entry.model_copy(update={"thresholds": thresholds(found), "tail": fit_tail(found.scores)})
    folds = tuple(Fold(n=fold.n, tail=fit_tail(fold.scores)) for fold in found.folds)
    return entry.model_copy(update={"folds": folds, "guarantee": found.guarantee})


def arrays_of(entry: CalibrationEntry, found: AnyCalibration) -> dict[str, NDArray[Any]]:
    """The held-out scores of an entry by array name, ascending."""
    folds = (
        {entry.array: found}
        if isinstance(found, Calibration)
        else dict(zip(_of_folds(entry), found.folds, strict=True))
    )
    arrays = {name: fold.scores for name, fold in folds.items()}
    return arrays | {name + _NOVEL: fold.novel_scores for name, fold in folds.items() if fold.novel_scores.size}


def calibration_of(entry: CalibrationEntry, arrays: Mapping[str, NDArray[Any]]) -> AnyCalibration:
    """The calibration of an entry, from the arrays of its file.

    Raises:
        KeyError: an array is missing.
        InputError: no scores, a score that is not finite, or an even number of folds.
    """
    if entry.folds is None:
        return replace(_stored(arrays, entry.array), tail=entry.tail)
    named = zip(_of_folds(entry), entry.folds, strict=True)
    return FoldCalibration(tuple(replace(_stored(arrays, name), tail=fold.tail) for name, fold in named))


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


def _of_folds(entry: CalibrationEntry) -> list[str]:
    """The array of each fold. Readers of format 1.1 and older do not look for these names."""
    return [f"{entry.array}_fold{fold}" for fold in range(len(entry.folds or ()))]


def _stored(arrays: Mapping[str, NDArray[Any]], name: str) -> Calibration:
    """The calibration of one array of scores, and of the scores of novel rows beside it if there are any."""
    scores, novel = arrays[name], arrays.get(name + _NOVEL, np.empty(0))
    return Calibration.of(np.concatenate([scores, novel]), np.arange(scores.size + novel.size) >= scores.size)
