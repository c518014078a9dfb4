"""Reads labelled series of the Numenta Anomaly Benchmark, and splits each into a first part and a tested part."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 0.15, 0.5  # share of a series that may be the first part; NAB's own first part is 15 %


@dataclass(frozen=True)
class LabelledSeries:
    """A series, the steps that are fitted on, and the labelled events."""

    name: str
    x: NDArray[np.float64]  # (T, 1), in order of time
    fitted: int  # number of first steps, none of them labelled
    events: tuple[tuple[int, int], ...]  # (first, last) step of each labelled window after them
    left_out: NDArray[np.bool_] | None = None  # (T,), steps that count as neither normal nor anomalous; None: none

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Which tested steps count, (T - fitted,)."""
        every = np.ones(len(self.x), dtype=bool) if self.left_out is None else ~self.left_out
        return every[self.fitted :]

    @property
    def is_anomaly(self) -> NDArray[np.bool_]:
        """Which tested steps are in a labelled window, (T - fitted,)."""
        found = np.zeros(len(self.x), dtype=bool)
        for first, last in self.events:
            found[first : last + 1] = True
        return found[self.fitted :]


def misplaced(series: LabelledSeries, width: int, seed: int) -> LabelledSeries:
    """The series with values of the first part at other steps: usual by themselves, at the wrong point of the series.

    About one in 4 W tested steps gets the value of a random step of the first part. Only that step is an anomaly; the
    W - 1 steps after it, whose windows contain it, and the labelled windows with as many steps after them do not count.

    Args:
        series: a series with its labels.
        width: W.
        seed: of the steps and of the values.
    """
    rng, n = np.random.default_rng((seed, width)), len(series.x)
    left_out = np.zeros(n, dtype=bool)
    for first, last in series.events:
        left_out[first : last + width] = True
    x, events, at = series.x.copy(), [], series.fitted + width
    while at < n - width:
        if not left_out[at]:
            x[at] = series.x[rng.integers(series.fitted)]
            events.append((at, at))
            left_out[at + 1 : at + width] = True
        at += 2 * width + int(rng.integers(4 * width))
    return LabelledSeries(series.name, x, series.fitted, tuple(events), left_out)


def read(folder: Path, groups: tuple[str, ...]) -> Iterator[LabelledSeries]:
    """The series of some groups that have labels, and enough steps before the first of them.

    Args:
        folder: a copy of github numenta/NAB, with `data` and `labels`.
        groups: folders of `data`.
    """
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text(encoding="utf-8"))
    for name in sorted(windows):
        if name.partition("/")[0] in groups and windows[name]:
            found = _series(name, folder / "data" / name, windows[name])
            if found is not None:
                yield found


def _series(name: str, path: Path, windows: list[list[str]]) -> LabelledSeries | None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    events = []
    for start, end in ((datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in windows):
        inside = [i for i, time in enumerate(times) if start <= time <= end]
        if inside:
            events.append((inside[0], inside[-1]))
    fitted = min(min(first for first, _ in events), int(MOST * len(rows)))
    if fitted < LEAST * len(rows):
        return None
    x = np.array([[float(row["value"])] for row in rows])
    return LabelledSeries(name, x, fitted, tuple(events))
