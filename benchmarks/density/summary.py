"""Summarises the results: a table by set, and how often and how far a contender is from the best simple density."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.density.runs import Result
from benchmarks.density.sets import MOST_REPEATS
from benchmarks.density.simple import SIMPLE
from benchmarks.report import Figure

BEST_SHARE = 2.0 / 3.0  # of the counted sets on which the default should be the best of all simple densities
NATS, NATS_PER_COLUMN = 0.5, 0.02  # largest distance to the best on any counted set: the larger of the two


@dataclass(frozen=True)
class Table:
    """Mean log p over seeds, nats per row, of sets that every contender finished on every seed."""

    sets: list[str]  # S
    contenders: list[str]  # C
    log_p: NDArray[np.float64]  # (S, C)
    fit_seconds: NDArray[np.float64]  # (S, C)
    score_seconds: NDArray[np.float64]  # (S, C)
    dims: NDArray[np.int64]  # (S,)
    repeats: NDArray[np.float64]  # (S,)
    left_out: list[str]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which sets count, (S,): at most half of the cells repeat."""
        return self.repeats <= MOST_REPEATS

    def best_simple(self) -> NDArray[np.float64]:
        """The highest log p of a simple density, (S,)."""
        return np.asarray(self.log_p[:, [name in SIMPLE for name in self.contenders]].max(axis=1))

    def lead(self, contender: str) -> NDArray[np.float64]:
        """log p of a contender minus that of the best simple density, (S,), nats."""
        return np.asarray(self.log_p[:, self.contenders.index(contender)] - self.best_simple())


def tabulate(results: Sequence[Result], contenders: Sequence[str]) -> Table:
    """Means over the seeds."""
    by: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        by.setdefault((one["set"], one["contender"]), []).append(one)
    names = list(dict.fromkeys(one["set"] for one in results))
    done = [name for name in names if all("error" not in one for c in contenders for one in by[name, c])]

    def means(key: str) -> NDArray[np.float64]:
        cells = [[statistics.fmean(one[key] for one in by[name, c]) for c in contenders] for name in done]
        return np.array(cells).reshape(len(done), len(contenders))

    first = [by[name, contenders[0]][0] for name in done]
    return Table(
        done,
        list(contenders),
        means("log_p"),
        means("fit_seconds"),
        means("score_seconds"),
        np.array([one["dims"] for one in first], dtype=np.int64),
        np.array([one["repeats"] for one in first]),
        [name for name in names if name not in done],
    )


def figures(table: Table) -> list[Figure]:
    """How each contender that is not simple compares with the simple densities on the counted sets, and all means."""
    counted = table.counted
    found = [
        Figure(f"counted sets: mean log p, {name}", float(table.log_p[counted, c].mean()), "nats", better="higher")
        for c, name in enumerate(table.contenders)
    ]
    allowed = np.maximum(NATS, NATS_PER_COLUMN * table.dims[counted])  # (S,)
    for name in table.contenders:
        if name not in SIMPLE:
            lead = table.lead(name)[counted]
            best, near = float(np.mean(lead >= 0)), float(np.mean(lead >= -allowed))
            found += [
                Figure(f"{name}: best", best, "of the sets", target=BEST_SHARE, better="higher"),
                Figure(f"{name}: near the best", near, "of the sets", target=1.0, better="higher"),
            ]
    seconds = [
        Figure(f"fit, {name}", float(np.median(table.fit_seconds[:, c])), "s", *_range(table.fit_seconds[:, c]))
        for c, name in enumerate(table.contenders)
    ]
    return [*found, *seconds]


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.min()), float(values.max())
