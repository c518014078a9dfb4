"""Reads rows of every form as windows: the time steps of series, or windows that are given as such.

This is the one rule of which shape means what. W time steps of D columns make a window of W D cells:

- an array or lists (T, D), or a table with the columns of a time step: the steps of series, in order of time;
- an array or lists (N, W D) or (N, W, D), or a table with the columns of windows (`load[t-1]`): windows.

W is at least 2, so that no shape has two meanings. For a model without windows, rows are rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.bundle.window import SeriesWindow, has_lag
from vaekit.errors import InputError
from vaekit.tabular.cells import show
from vaekit.tabular.columns import Ignored, without_series
from vaekit.tabular.encode import encode_named, encode_table
from vaekit.tabular.frames import Table, column_of, is_table, table
from vaekit.tabular.series import Ends, Steps, series_names
from vaekit.tabular.times import time_numbers


def read_rows(rows: Any, spec: VectorSpec | ImageSpec, *, strict: bool = False) -> tuple[NDArray[Any] | Steps, Ignored]:
    """Check rows of any form that `encode` takes; the time steps of series are returned as such.

    Args:
        rows: rows, windows or time steps: see the head of this file.
        spec: the model's input spec.
        strict: as in `encode`.

    Raises:
        InputError: as in `encode`; or the shape is neither that of time steps nor that of windows, or a table lacks the
            model's column of times or of series.
    """
    if spec.window is None:
        return encode_named(rows, spec, strict=strict)
    assert isinstance(spec, VectorSpec)
    if isinstance(rows, Table):
        return read_table(rows, spec, strict=strict)
    rows = without_series(rows)
    if is_table(rows):
        if isinstance(rows, Sequence):
            return _records(rows, spec, strict=strict)
        return read_table(table(with_levels(rows, spec.window.beside)), spec, strict=strict)
    if not isinstance(rows, np.ndarray):
        rows = np.asarray(rows) if hasattr(rows, "__array__") else _of_nested(rows, spec)
    if isinstance(rows, np.ndarray) and rows.ndim == 3:
        rows = _flat(rows, spec)
    width = _width(rows)
    if width == spec.dim:
        return encode_named(rows, spec, strict=strict)
    if width != spec.window.dim:
        shape = rows.shape if isinstance(rows, np.ndarray) else f"rows of {width} cells"
        raise InputError(f"inputs: {shape if width is not None else show(rows)}; {accepted(spec.window)}")
    x, other = encode_named(rows, spec.step, strict=strict)
    return Steps(x), other


def with_levels(rows: Any, names: Sequence[str | None]) -> Any:
    """A pandas frame of time steps with the levels of its index that have one of these names as columns.

    Other rows are unchanged, among them frames of windows, which have columns like load[t-1].
    """
    levels = getattr(getattr(rows, "index", None), "names", ())
    found = [name for name in names if name is not None and name in levels and name not in rows.columns]
    return rows.reset_index(level=found) if found and not any(map(has_lag, map(str, rows.columns))) else rows


def check_some(ends: Ends) -> None:
    """Refuse an input in which no window ends.

    Raises:
        InputError: there is none.
    """
    if not len(ends.at):
        raise InputError(f"inputs: {ends.total} time steps, none of which can be scored: {ends.needs}")


def accepted(window: SeriesWindow) -> str:
    """The shapes of an input that a model of windows takes, for messages."""
    w, d = window.steps, window.dim
    named = ", ".join(map(repr, window.columns[:5])) + (", ..." if d > 5 else "")
    return f"expected time steps (T, {d}) of {named}, or windows (N, {w * d}) or (N, {w}, {d})"


def steps_of(x: NDArray[np.float64], window: SeriesWindow, beside: Mapping[str, Any], start: int = 0) -> Steps:
    """Checked time steps x (T, D) with the cells of the columns beside them by name, (T,) each.

    Raises:
        InputError: a cell of these columns is missing, or no time.
    """
    series, time = window.series, window.time
    return Steps(
        x,
        None if series is None else series_names(beside[series], series, start=start),
        None if time is None else time_numbers(beside[time], window.time_is or "number", time, start=start),
    )


def is_of_steps(names: Sequence[str], window: SeriesWindow) -> bool:
    """Whether a table with these columns has time steps; otherwise it has windows, with columns like load[t-1]."""
    return not set(window.names) & set(names)


def check_beside(names: Sequence[str], window: SeriesWindow) -> None:
    """Refuse a table of time steps that lacks the column of times or of series.

    Raises:
        InputError: the message names the column.
    """
    for name in window.beside:
        if name not in names:
            what = "of series" if name == window.series else "of times"
            raise InputError(
                f"the input lacks the column {what}, {name!r}; without column names, rows are the steps of one series "
                "in order of time"
            )


def read_table(given: Table, spec: VectorSpec, *, strict: bool = False) -> tuple[NDArray[Any] | Steps, Ignored]:
    """As read_rows, for a table with column names."""
    window = spec.window
    assert given.names is not None
    if window is None or not is_of_steps(given.names, window):
        return encode_table(given, spec, strict=strict)
    check_beside(given.names, window)
    at = {name: d for d, name in enumerate(given.names)}
    beside = {name: given.columns[at[name]] for name in window.beside}
    kept = [d for d, name in enumerate(given.names) if name not in window.beside]
    x, other = encode_table(_only(given, kept), spec.step, strict=strict)
    return steps_of(x, window, beside), other


def _only(given: Table, kept: Sequence[int]) -> Table:
    """The table with these columns alone."""
    assert given.names is not None
    return given._replace(columns=tuple(given.columns[d] for d in kept), names=tuple(given.names[d] for d in kept))


def _records(rows: Sequence[Any], spec: VectorSpec, *, strict: bool) -> tuple[NDArray[Any] | Steps, Ignored]:
    """Mappings by column name."""
    window = spec.window
    assert window is not None
    if not is_of_steps([name for row in rows for name in row], window):
        return encode_named(rows, spec, strict=strict)
    for i, row in enumerate(rows):
        try:
            check_beside(list(row), window)
        except InputError as exc:
            raise InputError(f"row {i}: {exc}") from None
    beside = {name: column_of(_objects([row[name] for row in rows])) for name in window.beside}
    rest = [{name: cell for name, cell in row.items() if name not in window.beside} for row in rows]
    x, other = encode_named(rest, spec.step, strict=strict)
    return steps_of(x, window, beside), other


def _objects(cells: list[Any]) -> NDArray[Any]:
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found


def _of_nested(rows: Any, spec: VectorSpec) -> Any:
    """Nested lists (N, W, D) as rows of W D cells; other rows unchanged."""
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes) or not rows:
        return rows
    first = rows[0]
    if not isinstance(first, Sequence) or isinstance(first, str | bytes) or not first:
        return rows
    if not isinstance(first[0], list | tuple | np.ndarray):
        return rows
    assert spec.window is not None
    w, d = spec.window.steps, spec.window.dim
    for i, window in enumerate(rows):
        if len(window) != w or any(not hasattr(step, "__len__") or len(step) != d for step in window):
            raise InputError(f"window {i}: {accepted(spec.window)}")
    return [[cell for step in window for cell in step] for window in rows]


def _flat(rows: NDArray[Any], spec: VectorSpec) -> NDArray[Any]:
    """Windows (N, W, D) as rows (N, W D)."""
    window = spec.window
    assert window is not None
    if rows.shape[1:] != (window.steps, window.dim):
        raise InputError(f"inputs: shape {rows.shape}; {accepted(window)}")
    return rows.reshape(len(rows), spec.dim)


def _width(rows: Any) -> int | None:
    """Number of cells in the first row; None if rows are no lists."""
    if isinstance(rows, np.ndarray):
        return int(rows.shape[1]) if rows.ndim == 2 else None
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        return None
    if not rows:
        raise InputError("inputs: no rows, expected at least 1")
    return len(rows[0]) if hasattr(rows[0], "__len__") and not isinstance(rows[0], str | bytes) else None
