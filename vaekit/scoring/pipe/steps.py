"""Cuts the time steps on a pipe into windows, which end at each step; no window reaches across an invalid step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.window import SeriesWindow
from vaekit.errors import InputError
from vaekit.tabular.checked_rows import CheckedRows
from vaekit.tabular.series import WindowCutter, series_names
from vaekit.tabular.windows import steps_of

Beside = Mapping[str, Any]  # the cells of a row in the columns of series and times, by name


class StepWindows:
    """The windows of the series on one pipe.

    Args:
        window: the model's.
    """

    def __init__(self, window: SeriesWindow) -> None:
        self._window, self._cutter = window, WindowCutter(window)

    def cut(self, checked: CheckedRows, beside: Sequence[Beside | None], start: int) -> tuple[NDArray[Any], list[int]]:
        """(windows (n, W D), the row of the batch at which each ends).

        Args:
            checked: the rows of a batch.
            beside: the cells of each row beside the model's, valid or not; None: they cannot be read.
            start: number of the first row, for messages.

        Raises:
            InputError: the steps of a series are not in order of time, or a valid step lacks its series or time.
        """
        valid = set(checked.valid.tolist())
        place = {row: i for i, row in enumerate(checked.valid.tolist())}
        windows, ends = [], []
        for is_valid, group in groupby(range(len(beside)), lambda row: row in valid):
            rows = list(group)
            if not is_valid:
                for row in rows:
                    self._cutter.forget(self._series(beside[row]))
                continue
            x = checked.x[[place[row] for row in rows]]  # (T, D)
            cells = {name: _objects([(beside[row] or {})[name] for row in rows]) for name in self._window.beside}
            numbers = np.arange(start + rows[0], start + rows[-1] + 1)
            found = self._cutter.cut(steps_of(x, self._window, cells, start + rows[0]), numbers)
            windows.append(found.x)
            ends += [rows[end] for end in found.ends]
        none = np.empty((0, self._window.steps * self._window.dim))
        return np.ascontiguousarray(np.concatenate(windows)) if windows else none, ends

    def _series(self, cells: Beside | None) -> str | None:
        """The series of an invalid row; None: unknown, or there is only one."""
        if cells is None or self._window.series is None:
            return None
        try:
            return str(series_names(_objects([cells[self._window.series]]), self._window.series)[0])
        except InputError:
            return None


def _objects(cells: Sequence[Any]) -> NDArray[Any]:
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found
