"""Turns the rows given to a fitted Detector into the rows of its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.runtime import Bound
from vaekit.tabular.columns import in_column_order, without_series
from vaekit.tabular.frames import Table, column_of, is_table, table
from vaekit.tabular.series import Ends
from vaekit.tabular.windows import with_levels

T = TypeVar("T", bound=np.generic)


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
    if isinstance(spec, VectorSpec) and spec.window is not None:
        return _of_steps(X, spec, columns)
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


def scored(bound: Bound, spec: VectorSpec | ImageSpec) -> tuple[Bound, Ends | None]:
    """(the bounds of windows, the time steps at which they end) of bounds of time steps.

    The second is None for a model without windows, whose bounds are those of rows.
    """
    if spec.window is None:
        return bound, None
    at = np.flatnonzero(~np.isnan(bound.elbo))
    return bound.take(at), Ends(at, len(bound), spec.window.needs)


def in_place(values: NDArray[T], ends: Ends | None, *, empty: int | None = None) -> NDArray[T]:
    """Values of windows as values of time steps, `empty` (None: NaN) where no window ends."""
    if ends is None:
        return values
    if empty is None:
        return ends.spread(values)
    found = np.full(ends.total, empty, dtype=values.dtype)
    found[ends.at] = values
    return found


def _of_steps(X: Any, spec: VectorSpec, columns: FittedColumns) -> Any:  # noqa: N803
    """Time steps, or windows, in a form that Model takes, without the columns that fit left out."""
    assert spec.window is not None
    if isinstance(X, Sequence) and is_table(X):
        return [{name: cell for name, cell in row.items() if name not in columns.left_out} for row in X]
    given = table(with_levels(X, spec.window.beside))
    if given.names is not None:
        return _known(given, columns.left_out)
    values = given.given if isinstance(given.given, np.ndarray) else _array(given.given)
    if values.ndim == 2 and values.shape[1] == columns.width and values.shape[1] != spec.dim:
        names = tuple(f"x{d}" for d in range(columns.width))
        if set(spec.window.beside) & set(names):
            of = column_of if values.dtype == object else np.asarray
            return _known(Table(None, tuple(of(one) for one in values.T), names), columns.left_out)
        values = _without(values, spec.step.dim, columns)
    return values.astype(object) if spec.has_categories else values


def _array(rows: Any) -> NDArray[Any]:
    """Lists as an array that keeps numbers beside text."""
    values = np.asarray(rows)
    return np.asarray(rows, dtype=object) if values.dtype.kind == "U" else values


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
