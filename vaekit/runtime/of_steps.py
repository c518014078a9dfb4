"""Calls a model on the windows of time steps, block by block, and puts the results in the places of their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.window import SeriesWindow
from vaekit.runtime.results import RowArrays
from vaekit.tabular.novelty import refuse_more_missing
from vaekit.tabular.series import Ends, Steps, WindowCutter
from vaekit.tabular.windows import check_some

R = TypeVar("R", bound=RowArrays)


def of_steps(
    steps: Steps, window: SeriesWindow, call: Callable[[NDArray[Any]], R], most_missing: int | None = None
) -> R:
    """The result of a call on windows, with one entry per time step: empty where no window ends.

    Args:
        steps: T checked time steps.
        window: how they are cut.
        call: takes windows (n, W D) and returns a result with n entries.
        most_missing: how many cells of a window may be missing; None: any number.

    Raises:
        InputError: no window ends at any step, the steps of a series are not in order of time, or a window has more
            missing cells.
    """
    cutter, found, at, start = WindowCutter(window), [], [np.empty(0, dtype=np.intp)], 0
    for block in steps.blocks(window):
        cut = cutter.cut(block)
        rows, ends = np.ascontiguousarray(cut.x), start + cut.ends
        if most_missing is not None:
            refuse_more_missing(rows, most_missing, ends)
        if len(ends):
            found.append(call(rows))
            at.append(ends)
        start += cut.total
    places = Ends(np.concatenate(at), start, window.needs)
    check_some(places)
    joined = found[0].concatenate(found)
    return type(joined)(**{name: None if a is None else places.spread(a) for name, a in vars(joined).items()})
