"""Cuts series of time steps into windows, and puts the results of windows in the place of their last step.

T time steps of D columns, W steps in a window, n windows. A window ends at each step that has W - 1 earlier steps of
its series without a gap of time in between. Steps may arrive in blocks: the last W - 1 steps of each series are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.bundle.window import SeriesWindow
from vaekit.errors import InputError
from vaekit.tabular.cells import is_missing, plain, show
from vaekit.tabular.levels import level_text

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
BLOCK_CELLS = 2**20  # cells of the windows that are made at once: 8 MiB


@dataclass(frozen=True)
class Steps:
    """Time steps of one or several series; the steps of each series are in order of time."""

    x: Floats  # (T, D), NaN for a missing cell and the index of the level for a category
    series: NDArray[Any] | None = None  # (T,) names of series as text; None: all steps are one series
    time: Floats | None = None  # (T,) see times.time_numbers; None: the steps follow each other without gaps

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, at: slice) -> Steps:
        return Steps(self.x[at], *(None if a is None else a[at] for a in (self.series, self.time)))

    def blocks(self, window: SeriesWindow, cells: int = BLOCK_CELLS) -> Iterator[Steps]:
        """The steps in blocks whose windows have at most about this many cells."""
        size = max(1, cells // (window.steps * window.dim))
        for start in range(0, len(self), size):
            yield self[start : start + size]


@dataclass(frozen=True)
class Windows:
    """The windows that end in a block of T time steps."""

    x: Floats  # (n, W D), the oldest step first; may be a view of the steps without a copy
    ends: Ints  # (n,), ascending: the step in the block at which each window ends
    total: int  # T
    places: Ints  # (n,), number of earlier steps of its series, for the last step of each window
    gaps: int = 0  # gaps of time in the block, across which there is no window


@dataclass
class _Tail:
    """The last steps of a series since its last gap."""

    x: Floats  # (k, D), k <= W - 1
    time: float | None  # of the last step
    age: int  # steps since the last gap
    count: int  # steps so far


@dataclass
class WindowCutter:
    """Cuts blocks of time steps into windows; a window may begin in an earlier block."""

    window: SeriesWindow
    _start: int = 0  # number of steps so far
    _tails: dict[str, _Tail] = field(default_factory=dict)

    def cut(self, steps: Steps, numbers: NDArray[np.integer[Any]] | None = None) -> Windows:
        """The windows that end at these steps, which follow those of the calls before.

        Args:
            steps: T time steps; columns beside the D of the window are cut in the same way.
            numbers: of the rows, (T,), for error messages; None: they are counted.

        Raises:
            InputError: the steps of a series are not in order of time, or two have the same time; the message names
                the row.
        """
        numbers = np.arange(self._start, self._start + len(steps)) if numbers is None else numbers
        found, gaps = [], 0
        for name, at in _by_series(steps.series, len(steps)):
            own = self._cut_series(name, at, steps, numbers)
            gaps += own.gaps
            if len(own.ends):
                found.append(own)
        self._start += len(steps)
        if len(found) == 1:
            return replace(found[0], gaps=gaps)
        none = np.empty(0, dtype=np.intp)
        if not found:
            return Windows(np.empty((0, self.window.steps * steps.x.shape[1])), none, len(steps), none, gaps)
        ends, places = (np.concatenate([getattr(own, name) for own in found]) for name in ("ends", "places"))
        order = np.argsort(ends)
        x = np.concatenate([own.x for own in found])[order]
        return Windows(x, ends[order], len(steps), places[order], gaps)

    @property
    def series(self) -> int:
        """Number of series so far; the last W - 1 steps of each are kept."""
        return len(self._tails)

    def forget(self, name: str | None) -> None:
        """Begin a series anew after a row that is no step, so that no window reaches across it; None: all series."""
        for one in list(self._tails) if name is None else {name} & self._tails.keys():
            self._tails[one] = replace(self._tails[one], x=self._tails[one].x[:0], age=0)

    def _cut_series(self, name: str, at: Ints | None, steps: Steps, numbers: NDArray[np.integer[Any]]) -> Windows:
        """The windows of the steps `at` (m,) of one series; None: of all."""
        width, rows = self.window.steps, np.arange(len(steps)) if at is None else at
        x = steps.x if at is None else steps.x[at]  # (m, D)
        time = None if steps.time is None else steps.time if at is None else steps.time[at]
        tail = self._tails.get(name) or _Tail(x[:0], None, 0, 0)
        breaks = self._breaks(time, tail, numbers[rows], name)  # (m,)
        age = _ages(breaks, tail.age)  # (m,)
        joined = np.concatenate([tail.x, x]) if len(tail.x) else x  # (k + m, D)
        k = len(tail.x)
        last = int(age[-1])
        kept = min(last, width - 1)
        self._tails[name] = _Tail(
            joined[len(joined) - kept :].copy(),
            None if time is None else float(time[-1]),
            min(last, width),
            tail.count + len(rows),
        )
        there = np.flatnonzero(age >= width)
        windows = _windows(joined, there + k - width + 1, width)
        return Windows(windows, rows[there], len(steps), tail.count + there, int(breaks.sum()))

    def _breaks(
        self, time: Floats | None, tail: _Tail, numbers: NDArray[np.integer[Any]], name: str
    ) -> NDArray[np.bool_]:
        """Before which of the steps with these row numbers (m,) there is a gap of time."""
        if time is None:
            return np.zeros(len(numbers), dtype=bool)
        before = np.concatenate([[np.nan if tail.time is None else tail.time], time[:-1]])
        passed = time - before  # (m,)
        if (wrong := passed <= 0).any():
            first = int(wrong.argmax())
            self._refuse(int(numbers[first]), float(passed[first]), name)
        with np.errstate(invalid="ignore"):
            return np.asarray(passed > (np.inf if self.window.gap is None else self.window.gap))

    def _refuse(self, row: int, passed: float, name: str) -> NoReturn:
        of_series = f" of series {name!r}" if self.window.series is not None else ""
        if passed == 0:
            raise InputError(
                f"row {row}, column {self.window.time!r}: the same time as the row before{of_series}; keep one of them"
            )
        raise InputError(
            f"row {row}, column {self.window.time!r}: an earlier time than the row before{of_series}; sort the rows by "
            f"{self.window.time!r}"
        )


@dataclass(frozen=True)
class Ends:
    """Where the results of windows go among the time steps of an input."""

    at: Ints  # (n,), the time step at which each window ends
    total: int  # T
    needs: str  # what a time step needs for a score, in words

    @property
    def without(self) -> int:
        """Number of time steps at which no window ends."""
        return self.total - len(self.at)

    @property
    def reason(self) -> str | None:
        """Why time steps have no score; None if all have one."""
        if not self.without:
            return None
        return f"{self.without} of {self.total} time steps have no score: {self.needs}"

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of windows (n, ...) as values of time steps (T, ...), empty where no window ends.

        Empty is NaN, '' for text, an empty list or None for objects, False, and -1 for whole numbers.
        """
        if len(self.at) == self.total:
            return values
        kind = values.dtype.kind
        if kind == "O":
            found = np.empty((self.total, *values.shape[1:]), dtype=object)
            if values.ndim == 1 and all(isinstance(value, list) for value in values):
                for step in range(self.total):
                    found[step] = []
        elif kind == "V":
            found = np.zeros((self.total, *values.shape[1:]), dtype=values.dtype)
            for name in values.dtype.names or ():
                found[name] = np.nan if values.dtype[name].base.kind == "f" else -1
        else:
            empty: Any = {"f": np.nan, "U": "", "b": False}.get(kind, -1)
            found = np.full((self.total, *values.shape[1:]), empty, dtype=values.dtype)
        found[self.at] = values
        return found


def as_windows(x: NDArray[Any] | None, spec: VectorSpec | ImageSpec) -> NDArray[Any] | None:
    """Rows (n, W D) of a model of windows as (n, W, D); anything else unchanged."""
    if x is None or spec.window is None:
        return x
    return x.reshape(len(x), spec.window.steps, spec.window.dim)


def series_names(values: NDArray[Any], name: str, *, start: int = 0) -> NDArray[np.str_]:
    """The names of the series of n rows as text, (n,): 7, 7.0 and '7' are one series.

    Raises:
        InputError: a cell is missing; the message names row and column.
    """
    cells = [plain(cell) for cell in values.tolist()]
    for row, cell in enumerate(cells):
        if is_missing(cell):
            raise InputError(f"row {start + row}, column {name!r}: missing value in the column of series: {show(cell)}")
    texts = [level_text(cell) if isinstance(cell, str | bool | int | float) else str(cell) for cell in cells]
    return np.array(texts, dtype=np.str_)


def usual_gap(times: Floats, series: NDArray[Any] | None) -> float | None:
    """1.5 times the median difference of time between neighbouring steps of a series; None if there is none above 0."""
    each = (times if at is None else times[at] for _, at in _by_series(series, len(times)))
    passed = np.concatenate([np.diff(own) for own in each] or [np.empty(0)])
    passed = passed[passed > 0]
    return 1.5 * float(np.median(passed)) if len(passed) else None


def _by_series(series: NDArray[Any] | None, n: int) -> Iterator[tuple[str, Ints | None]]:
    """(name, the places of its steps in order) of each series in n steps; None for the places: all."""
    if not n:
        return
    if series is None:
        yield "", None
        return
    names, code = np.unique(series, return_inverse=True)
    if len(names) == 1:
        yield str(names[0]), None
        return
    order = np.argsort(code, kind="stable")
    for name, at in zip(names, np.split(order, np.flatnonzero(np.diff(code[order])) + 1), strict=True):
        yield str(name), at


def _ages(breaks: NDArray[np.bool_], before: int) -> Ints:
    """Number of steps since the last gap, (m,), each step included; before: those of the steps before."""
    at = np.arange(len(breaks))
    last = np.maximum.accumulate(np.where(breaks, at, -1))  # the last step after a gap; -1: none
    return np.where(last < 0, at + 1 + before, at - last + 1)


def _windows(steps: Floats, starts: Ints, width: int) -> Floats:
    """Windows (n, W D) of steps (m, D) that start at these steps; a view if they follow each other without a gap."""
    d = steps.shape[1]
    if not len(starts):
        return np.empty((0, width * d))
    every = sliding_window_view(np.ascontiguousarray(steps).reshape(-1), width * d)[::d]  # (m - W + 1, W D)
    if starts[-1] - starts[0] == len(starts) - 1:
        return every[starts[0] : starts[-1] + 1]
    return every[starts]
