"""Turns the rows given to a fitted Detector into the rows of its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.columns import in_column_order, without_series
from vaekit.tabular.frames import Table, is_table, table


@dataclass(frozen=True)
class FittedColumns:
    """The columns of X in fit."""

    width: int  # their number
    left_out: tuple[str, ...] = ()  # names of those that fit left out; x0, x1, ... for an array
    left_out_at: tuple[int, ...] = ()  # their places

    @classmethod
    def of(cls, names: Sequence[str], modelled: Sequence[str]) -> FittedColumns:
        at = [d for d, name in enumerate(names) if name not in modelled]
        return cls(len(names), tuple(names[d] for d in at), tuple(at))


def model_input(
    X: Any,  # noqa: N803  scikit-learn's name
    spec: VectorSpec | ImageSpec,
    columns: FittedColumns,
    *,
    strict: bool,
    stacklevel: int,
) -> Any:
    """X with its columns in the model's order, in a form that Model takes.

    Args:
        X: rows as Detector.fit takes them.
        spec: the model's input spec.
        columns: those of fit. Without names, X has the same ones.
        strict: whether to refuse columns that fit did not have.
        stacklevel: of the warning that names them, seen from here.

    Raises:
        InputError: another number of columns, or columns that are missing, duplicate, or refused because of strict.
    """
    X = without_series(X)  # noqa: N806
    if isinstance(spec, VectorSpec) and isinstance(X, Sequence) and is_table(X):
        rows = [{name: cell for name, cell in row.items() if name not in columns.left_out} for row in X]
        listed, other = in_column_order(rows, spec, strict=strict)
        other.warn(stacklevel + 1)
        return listed
    given = table(X)
    if not isinstance(spec, VectorSpec):
        return given.values
    if given.names is None:
        values = _without(given.given, spec.dim, columns)
    else:
        values, other = _known(given, columns.left_out).ordered(spec, strict=strict)
        other.warn(stacklevel + 1)
    if spec.has_categories and isinstance(values, np.ndarray):
        values = values.astype(object)  # numbers in a float array would be level indices; here they name levels
    return values


def _known(given: Table, left_out: Sequence[str]) -> Table:
    """The table without the columns that fit left out."""
    assert given.names is not None
    at = [d for d, name in enumerate(given.names) if name not in left_out]
    return given._replace(columns=tuple(given.columns[d] for d in at), names=tuple(given.names[d] for d in at))


def _without(rows: Any, dim: int, columns: FittedColumns) -> Any:
    """Rows without names, without the columns that fit left out."""
    array = rows if isinstance(rows, np.ndarray) else None
    if not columns.left_out:
        if array is not None and array.ndim == 2 and array.shape[1] != dim:
            raise InputError(f"X has {array.shape[1]} features, but Detector is expecting {dim} features as input")
        return rows
    array = np.array(rows, dtype=object) if array is None else array
    if array.ndim != 2 or array.shape[1] != columns.width:
        raise InputError(f"X has shape {array.shape}, but Detector is expecting {columns.width} features as input")
    return array[:, [d for d in range(columns.width) if d not in columns.left_out_at]]
