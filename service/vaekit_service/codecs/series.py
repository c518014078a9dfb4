"""Makes the windows of a request: of the time steps of series, within the limits of one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.client.wire import Request, RowId
from vaekit.errors import InputError
from vaekit.tabular.columns import Ignored
from vaekit.tabular.series import Ends, Steps, WindowCutter
from vaekit.tabular.windows import check_some, is_of_steps, read_rows
from vaekit_service.errors import TooLarge
from vaekit_service.messages import ParsedRequest, Target

RowsOfRequest = tuple[NDArray[Any], Ends | None, Ignored]


def request_rows(rows: Any, target: Target, *, strict: bool) -> RowsOfRequest:
    """(rows as the graphs take them, where the results of windows go, ignored columns) of rows of any form.

    Raises:
        InputError: see vaekit.tabular.windows.read_rows; or no window ends at any time step.
        TooLarge: more time steps than one request may have.
    """
    found, other = read_rows(rows, target.manifest.input, strict=strict)
    return (*windows_of(found, target), other)


def are_windows(rows: Any, spec: VectorSpec | ImageSpec) -> bool:
    """Whether each of these rows is scored by itself: not if they are the time steps of series."""
    if spec.window is None or not isinstance(spec, VectorSpec):
        return True
    first = rows[0]
    return not is_of_steps(list(first), spec.window) if isinstance(first, Mapping) else len(first) == spec.dim


def refuse_report(*, report: bool) -> None:
    """Refuse errors=report for time steps.

    Raises:
        InputError: it is asked for.
    """
    if report:
        raise InputError(
            "errors: 'report' is for rows that are scored one by one; without an invalid time step, those before and "
            "after it would seem to follow each other"
        )


class LineWindows:
    """The windows of the time steps of one body that is read batch by batch.

    A batch without a window has one row in place of windows, so that it runs like any other; its result is dropped.
    """

    def __init__(self, first: Steps, target: Target) -> None:
        """first: the first time steps, which say whether rows have series and times."""
        window = target.manifest.input.window
        assert window is not None
        self._needs, self._dim, self._most = window.needs, target.manifest.input.dim, target.max_rows
        if first.series is None and first.time is None:
            window = window.in_order
        self._cutter, self._some, self._total = WindowCutter(window), False, 0

    def parsed(self, options: Request, steps: Steps, ignored: Ignored, ids: Sequence[RowId] | None) -> ParsedRequest:
        """The windows that end at these steps, which follow those of the calls before.

        Raises:
            InputError: the steps of a series are not in order of time.
            TooLarge: more series than one request may have rows; W - 1 steps of each are kept.
        """
        if not len(steps):
            return ParsedRequest(options, np.empty((0, self._dim)), ignored)
        cut = self._cutter.cut(steps)
        if self._cutter.series > self._most:
            raise TooLarge(f"body: more than {self._most} series; send their steps in several requests")
        self._some, self._total = self._some or len(cut.ends) > 0, self._total + cut.total
        x = np.ascontiguousarray(cut.x) if len(cut.ends) else np.zeros((1, self._dim))
        ends = Ends(cut.ends, cut.total, self._needs)
        return ParsedRequest(options, x, ignored, ids, repeats_ids=ids is not None, ends=ends)

    def check_end(self) -> None:
        """Refuse a body in which no window ends.

        Raises:
            InputError: there is none.
        """
        if not self._some:
            check_some(Ends(np.empty(0, dtype=np.intp), self._total, self._needs))


def windows_of(found: NDArray[Any] | Steps, target: Target) -> tuple[NDArray[Any], Ends | None]:
    """As request_rows, for rows that are read."""
    if not isinstance(found, Steps):
        return found, None
    window = target.manifest.input.window
    assert window is not None
    most = target.max_rows + window.steps - 1
    if len(found) > most:
        raise TooLarge(f"{len(found)} time steps; one request to this model may have at most {most}")
    cut = WindowCutter(window).cut(found)
    ends = Ends(cut.ends, cut.total, window.needs)
    check_some(ends)
    return np.ascontiguousarray(cut.x), ends
