"""Converts calibrations to manifest entries and arrays, and back to calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from vaekit.bundle.calibration import Calibration, array_name
from vaekit.bundle.folds import AnyCalibration, FoldCalibration
from vaekit.bundle.manifest import CalibrationEntry, Fold, Graph, Operation, Precision
from vaekit.bundle.tail import fit_tail
from vaekit.bundle.thresholds import thresholds
from vaekit.errors import InputError


def entry_of(k: int, precision: Precision, found: AnyCalibration) -> CalibrationEntry:
    """The manifest entry of a calibration of scores on K default draws."""
    entry = CalibrationEntry(
        array=array_name(k, precision),
        precision=precision,
        num_samples=k,
        n=found.n,
        observed_counts=found.observed_counts,
    )
    if isinstance(found, Calibration):
        return entry.model_copy(update={"thresholds": thresholds(found), "tail": fit_tail(found.scores)})
    folds = tuple(Fold(n=fold.n, tail=fit_tail(fold.scores)) for fold in found.folds)
    return entry.model_copy(update={"folds": folds, "guarantee": found.guarantee})


def arrays_of(entry: CalibrationEntry, found: AnyCalibration) -> dict[str, NDArray[Any]]:
    """The held-out scores of an entry by array name, ascending."""
    if isinstance(found, Calibration):
        return {entry.array: found.scores}
    return {_fold_array_name(entry, f): fold.scores for f, fold in enumerate(found.folds)}


def calibration_of(entry: CalibrationEntry, arrays: Mapping[str, NDArray[Any]]) -> AnyCalibration:
    """The calibration of an entry, from the arrays of its file.

    Raises:
        KeyError: an array is missing.
        InputError: no scores, a score that is not finite, or an even number of folds.
    """
    if entry.folds is None:
        own = Calibration.of(arrays[entry.array])
        return replace(own, observed_counts=entry.observed_counts, tail=entry.tail)
    scores = [Calibration.of(arrays[_fold_array_name(entry, f)]) for f in range(len(entry.folds))]
    folds = tuple(replace(own, tail=fold.tail) for own, fold in zip(scores, entry.folds, strict=True))
    return FoldCalibration(folds, entry.observed_counts)


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


def _fold_array_name(entry: CalibrationEntry, fold: int) -> str:
    """The name of one fold's array. Readers of format 1.1 and older do not look for this name."""
    return f"{entry.array}_fold{fold}"
