"""Cuts the time steps of a source into windows, which are then the rows of a run.

T time steps of D columns, W steps in a window, N windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.window import SeriesWindow, has_lag
from vaekit.errors import InputError
from vaekit.tabular.series import Steps, WindowCutter, usual_gap
from vaekit.tabular.times import kind_of_time
from vaekit.tabular.windows import steps_of
from vaekit_training.data.cells import Cells
from vaekit_training.data.rows import PlaceInSeries, Rows
from vaekit_training.sections import DataConfig

FEWEST = 20  # smallest number of windows to train on


@dataclass(frozen=True)
class _Cut:
    """The windows that are rows of the run, in order of their last steps."""

    x: NDArray[np.float64]  # (N, W D)
    ends: NDArray[np.intp]  # (N,), row of the source at which each ends
    gaps: int


def rows_of_windows(
    x: NDArray[np.float64],
    cells: Sequence[Cells],
    anomaly: NDArray[np.bool_],
    beside: Mapping[str, NDArray[Any]],
    config: DataConfig,
    where: str = "",
) -> Rows:
    """Windows of time steps as the rows of a run.

    A window that ends at an anomaly is an anomaly. One that only contains an anomaly is left out: it is neither normal
    nor does its score belong to an anomalous step.

    Args:
        x: the time steps, (T, D), in order of time within each series.
        cells: what is known of the D columns.
        anomaly: which time steps are anomalies, (T,).
        beside: the columns of series and time by name, (T,) each.
        config: describes the windows.
        where: the source, for error messages.

    Raises:
        InputError: a name like load[t-1], a missing time or series, steps out of order, or too few windows.
    """
    source = f"{where}: " if where else ""
    try:
        window, steps = _window(x, _step_columns(cells), beside, config)
        cut = _cut(steps, window)
    except InputError as exc:
        raise InputError(f"{source}{exc}") from None
    if len(cut.ends) < FEWEST:
        raise InputError(
            f"{source}too few windows: {len(cut.ends)} of {window.steps} consecutive time steps without a gap; at "
            f"least {FEWEST} are needed"
        )
    position, series, lengths = _positions(steps)
    has_anomaly = _any_within(anomaly, series, position, window.steps)
    kept = anomaly[cut.ends] | ~has_anomaly[cut.ends]
    kept &= (position[cut.ends] - (window.steps - 1)) % window.stride == 0
    kept &= ~np.isnan(cut.x).all(axis=1)
    ends = cut.ends[kept]
    possible = int(np.maximum(lengths - window.steps + 1, 0).sum())
    place = PlaceInSeries(
        window=window,
        series=series[ends],
        end=position[ends],
        row=ends,
        lengths=lengths,
        time=None if steps.time is None else steps.time[ends],
        begin=None if steps.time is None else steps.time[_first(series, position, ends, window.steps)],
        possible=possible,
        lost=possible - len(cut.ends),
    )
    times = window.steps
    return Rows(
        np.ascontiguousarray(cut.x[kept]),
        window.names,
        anomaly[ends],
        kinds=tuple(c.kind for c in cells) * times,
        levels=tuple(c.levels for c in cells) * times,
        may_be_missing=tuple(c.may_be_missing for c in cells) * times,
        inferred=tuple(c.is_inferred for c in cells) * times,
        remarks=_remarks(len(x), cut, place, steps),
        place=place,
    )


def _step_columns(cells: Sequence[Cells]) -> tuple[str, ...]:
    """The names of the columns of a time step.

    Raises:
        InputError: one is named like the cell of a window.
    """
    columns = tuple(c.name for c in cells)
    for name in columns:
        if has_lag(name):
            raise InputError(f"column {name!r} is named like the cell of a window: rename it")
    return columns


def _window(
    x: NDArray[np.float64], columns: tuple[str, ...], beside: Mapping[str, NDArray[Any]], config: DataConfig
) -> tuple[SeriesWindow, Steps]:
    """(how windows are cut, the time steps)."""
    assert config.window is not None
    time_is = None if config.time is None else kind_of_time(beside[config.time])
    window = SeriesWindow(
        steps=config.window,
        columns=columns,
        stride=config.stride or 1,
        series=config.series_column,
        time=config.time,
        time_is=time_is,
    )
    steps = steps_of(x, window, beside)
    gap = config.gap
    if gap is None and steps.time is not None:
        gap = usual_gap(steps.time, steps.series)
    return window.model_copy(update={"gap": gap}), steps


def _cut(steps: Steps, window: SeriesWindow) -> _Cut:
    """All windows of all steps."""
    cut = WindowCutter(window).cut(steps)
    return _Cut(cut.x, cut.ends, cut.gaps)


def _positions(steps: Steps) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """(place of each step in its series (T,), number of its series (T,), number of steps of each series (S,))."""
    if steps.series is None:
        return np.arange(len(steps)), np.zeros(len(steps), dtype=np.intp), np.array([len(steps)])
    _, series = np.unique(steps.series, return_inverse=True)
    order = np.argsort(series, kind="stable")
    lengths = np.bincount(series)
    position = np.empty(len(steps), dtype=np.intp)
    position[order] = np.arange(len(steps)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return position, series.astype(np.intp), lengths


def _order(series: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(rows sorted by series and time, the place of each row among them), (T,) each."""
    order = np.argsort(series, kind="stable")
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    return order, place


def _any_within(
    flags: NDArray[np.bool_], series: NDArray[np.intp], position: NDArray[np.intp], width: int
) -> NDArray[np.bool_]:
    """For each step (T,), whether any of the last `width` steps of its series has the flag."""
    order, place = _order(series)
    counts = np.concatenate([[0], np.cumsum(flags[order])])
    first = np.maximum(place - np.minimum(position, width - 1), 0)
    return np.asarray(counts[place + 1] - counts[first] > 0)


def _first(
    series: NDArray[np.intp], position: NDArray[np.intp], ends: NDArray[np.intp], width: int
) -> NDArray[np.intp]:
    """The row of the first step of each window that ends at these rows, (N,)."""
    order, place = _order(series)
    assert (position[ends] >= width - 1).all()
    return order[place[ends] - (width - 1)]


def _remarks(total: int, cut: _Cut, place: PlaceInSeries, steps: Steps) -> tuple[str, ...]:
    window = place.window
    of = "" if steps.series is None else f" of {len(place.lengths)} series"
    said = [f"{len(place.end)} windows of {window.steps} steps from {total} time steps{of}"]
    if cut.gaps:
        said.append(
            f"{cut.gaps} gaps of more than {window.gap:g} in column {window.time!r}: no window reaches across them"
        )
    return (*said, place.losses) if place.losses else tuple(said)
