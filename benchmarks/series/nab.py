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

    @property
    def is_anomaly(self) -> NDArray[np.bool_]:
        """Which tested steps are in a labelled window, (T - fitted,)."""
        found = np.zeros(len(self.x), dtype=bool)
        for first, last in self.events:
            found[first : last + 1] = True
        return found[self.fitted :]


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
