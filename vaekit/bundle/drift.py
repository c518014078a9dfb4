"""Measures drift: compares the p-values of a run with those that the calibration rows have among themselves.

Both are functions of the scores that never rise with a score, so that a difference between the two sets of p-values is
one between the scores. Equal scores have equal p-values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ALPHAS = (0.001, 0.005, 0.01, 0.05, 0.1)
BINS = 10  # of the population stability index; the usual number
SMALL, LARGE = 0.1, 0.25  # PSI beyond chance: below SMALL a small change, from LARGE a large one (Siddiqi 2006)
MIN_ROWS = 50  # fewer rows are too few to say that there is no drift
RUNS, CHANCE = 999, 0.05  # simulated runs without drift, and the share of them that exceeds a distance "by chance"
MOST_CELLS = 1000  # cells of the simulated runs; neighbouring calibration scores share one if there are more
LEAST_CELLS = 20  # of each group, if there are many


@dataclass(frozen=True)
class Drift:
    """Two distances between the scores of a run and the calibration scores, and their reading."""

    ks: float  # Kolmogorov-Smirnov: largest difference of the two distribution functions
    ks_by_chance: float  # exceeded in 5 % of runs without drift
    psi: float  # population stability index over tenths of the calibration, fewer if scores are tied
    psi_by_chance: float  # exceeded in 5 % of runs without drift
    reading: str
    ks_p_value: float  # share of runs without drift with such a distance or a larger one, at least 1 / 1000
    psi_p_value: float


def rates(p_values: Floats, counts: Ints, smallest: float = 0.0) -> dict[float, float | None]:
    """Share of the rows with p <= alpha for common alphas; None if alpha is below the smallest possible p-value."""
    total = counts.sum()
    shares = {alpha: float(counts[p_values <= alpha].sum() / total) for alpha in ALPHAS} if total else {}
    return {alpha: share if alpha >= smallest else None for alpha, share in shares.items()}


def histogram(p_values: Floats, counts: Ints, bins: int) -> Ints:
    """Number of p-values in each of (0, 1/bins], ..., (1 - 1/bins, 1]."""
    at = np.clip(np.ceil(p_values * bins - 1e-9).astype(np.int64) - 1, 0, bins - 1)
    found: Ints = np.bincount(at, counts, minlength=bins).astype(np.int64)
    return found


def drift(p_values: Floats, counts: Ints, held_out: Floats) -> Drift | None:
    """Distances between the p-values of a run and those of the calibration rows; None without p-values.

        KS  = sup_p |F_run(p) - F_cal(p)|
        PSI = sum_b (a_b - e_b) ln(a_b / e_b)   a, e: share of the run's and of the calibration rows in a bin

    Both are compared with the same distances of simulated runs without drift. The scores of the n calibration rows
    divide the line into cells. If rows are exchangeable and scores are never equal, a new row falls into one of the
    n + 1 cells with probabilities that are distributed as Dirichlet(1, ..., 1), whatever the distribution of scores. A
    cell that c equal scores end has the parameter c.

    Source: Wilks (1962), "Mathematical Statistics", section 8.7, for the Dirichlet distribution of the cells.

    Args:
        p_values: distinct p-values of the run, ascending, (u,).
        counts: number of rows with each, (u,).
        held_out: p-values of the calibration rows among themselves, (n,), in any order.
    """
    return DriftReference(held_out).drift(p_values, counts) if counts.sum() else None


class DriftReference:
    """The p-values of n calibration rows, to compare with those of several runs.

    Args:
        held_out: p-values of the calibration rows among themselves, (n,), in any order.
    """

    def __init__(self, held_out: Floats) -> None:
        self._held_out, self._cells = np.sort(held_out), _Cells.of(held_out)
        # KS and PSI, (RUNS,) each, of runs without drift of m rows, for the last m
        self._without: tuple[int, Floats, Floats] = (0, np.empty(0), np.empty(0))

    def drift(self, p_values: Floats, counts: Ints) -> Drift:
        """The distances of a run with at least one row. Arguments as in the function `drift`."""
        m, cells = int(counts.sum()), self._cells
        run = cells.counted(p_values, counts)  # (C,)
        ks, psi = _ks(p_values, counts, self._held_out), float(cells.psi(run[None])[0])
        return _compared(m, ks, psi, *self._without_drift(m))

    def _without_drift(self, m: int) -> tuple[Floats, Floats]:
        if self._without[0] != m:
            runs = self._cells.simulated(m, np.random.default_rng(0))  # (RUNS, C); always the same for the same m
            self._without = m, self._cells.ks(runs), self._cells.psi(runs)
        return self._without[1:]


class GroupedDriftReference:
    """The p-values of held-out rows by group, to compare with those of runs with any mix of the groups.

        F(p) = sum_g (m_g / m) F_g(p)        F_g: distribution function of the n_g held-out rows of group g

    A run with m_g rows of each group g is compared with the mixture F, and with simulated runs of as many rows of each
    group, whose cells have their own Dirichlet distribution. So another mix of groups alone is no drift, and the noise
    of small groups counts as much as they do in the run.

    Args:
        held_out: p-values of each group's held-out rows among themselves, (n_g,), in any order.
    """

    def __init__(self, held_out: Mapping[int, Floats]) -> None:
        most = max(LEAST_CELLS, MOST_CELLS // len(held_out))
        self._cells = {group: _Cells.of(own, most) for group, own in held_out.items()}

    def drift(self, groups: Ints, p_values: Floats) -> Drift:
        """The distances of a run with at least one row.

        Args:
            groups: of each row, (m,).
            p_values: of each row within its group, (m,).
        """
        present, rng = np.unique(groups).tolist(), np.random.default_rng(0)
        ends = np.unique(np.concatenate([self._cells[group].ends for group in present]))  # (C,)
        expected, run, runs = np.zeros(len(ends)), np.zeros(len(ends), np.int64), np.zeros((RUNS, len(ends)), np.int64)
        for group in present:
            cells, own = self._cells[group], p_values[groups == group]
            at = np.searchsorted(ends, cells.ends)
            expected[at] += len(own) * cells.held_out / cells.held_out.sum()
            run[at] += cells.counted(own, np.ones(len(own), np.int64))
            runs[:, at] += cells.simulated(len(own), rng)
        mixture = _Cells(ends, expected, _bins(expected))
        both = np.vstack([run[None], runs])
        ks, psi = mixture.ks(both), mixture.psi(both)
        return _compared(len(groups), float(ks[0]), float(psi[0]), ks[1:], psi[1:])


def _bins(expected: Floats) -> Ints:
    """The bin of each cell, (C,), from 0, so that bins have about a tenth of the expected rows each, and some at least.

    Args:
        expected: rows in each cell, (C,).
    """
    upto = np.cumsum(expected)
    tenths = np.ceil(upto * (BINS / upto[-1]) - 1e-9) - 1
    tenths[upto <= 0.0] = tenths[upto > 0.0][0]  # cells before the first held-out row
    return np.unique(tenths, return_inverse=True)[1]


def _compared(m: int, ks: float, psi: float, ks_without: Floats, psi_without: Floats) -> Drift:
    """The distances of a run of m rows beside those of runs without drift, (RUNS,) each."""
    ks_by_chance, psi_by_chance = (_exceeded_by_chance(found) for found in (ks_without, psi_without))
    beyond = 0.0 if psi <= psi_by_chance else psi - float(psi_without.mean())
    reading = _reading(m, ks, ks_by_chance, beyond)
    ks_p_value, psi_p_value = _share_beyond(ks_without, ks), _share_beyond(psi_without, psi)
    return Drift(ks, ks_by_chance, psi, psi_by_chance, reading, ks_p_value, psi_p_value)


@dataclass(frozen=True)
class _Cells:
    """C cells of p-values: the p-values up to and including each end, beyond the end before it."""

    ends: Floats  # (C,), ascending
    held_out: Ints | Floats  # (C,) calibration rows in each; none in the first, the scores above all of theirs
    bins: Ints  # (C,) the bin of each cell, from 0

    @classmethod
    def of(cls, held_out: Floats, most: int = MOST_CELLS) -> _Cells:
        """About `most` cells at most."""
        distinct, tied = np.unique(held_out, return_counts=True)
        n, upto = len(held_out), np.cumsum(tied)  # (u,): calibration rows with at most each p-value
        group = np.ceil(upto * (most / n)).astype(np.int64) if n > most else np.arange(len(distinct))
        last = np.append(np.flatnonzero(np.diff(group)), len(distinct) - 1)  # of each group
        ends = np.concatenate([[distinct[0] - 0.5 / (n + 1)], distinct[last]])
        counts = np.concatenate([[0], np.diff(upto[last], prepend=0)])
        bins = min(BINS, n)
        tenths = (np.cumsum(counts) * bins - 1) // n  # (C,)
        tenths[0] = tenths[1]  # each bin has calibration rows
        return cls(ends, counts, np.unique(tenths, return_inverse=True)[1])

    def counted(self, p_values: Floats, counts: Ints) -> Ints:
        """Number of rows in each cell, (C,), from distinct p-values and the number of rows with each."""
        at = np.minimum(np.searchsorted(self.ends, p_values), len(self.ends) - 1)
        found: Ints = np.bincount(at, counts, minlength=len(self.ends)).astype(np.int64)
        return found

    def simulated(self, m: int, rng: np.random.Generator) -> Ints:
        """Number of rows in each cell for runs of m rows without drift, (RUNS, C)."""
        sizes = rng.standard_gamma(np.maximum(self.held_out, 1), (RUNS, len(self.ends)))
        return rng.multinomial(m, sizes / sizes.sum(axis=1, keepdims=True))

    def ks(self, runs: Ints) -> Floats:
        """KS distance of each run, (R,), from the numbers of rows in the cells, (R, C)."""
        run = np.cumsum(runs, axis=1) / runs.sum(axis=1, keepdims=True)
        found: Floats = np.abs(run - np.cumsum(self.held_out) / self.held_out.sum()).max(axis=1)
        return found

    def psi(self, runs: Ints) -> Floats:
        """PSI of each run, (R,), from the numbers of rows in the cells, (R, C).

        Half a row is added to each bin of the run, so that an empty bin has a finite distance.
        """
        is_in = np.eye(int(self.bins[-1]) + 1)[self.bins]  # (C, B)
        share = (runs @ is_in + 0.5) / (runs.sum(axis=1, keepdims=True) + 0.5 * is_in.shape[1])
        expected = self.held_out @ is_in / self.held_out.sum()
        found: Floats = ((share - expected) * np.log(share / expected)).sum(axis=1)
        return found


def _ks(p_values: Floats, counts: Ints, held_out: Floats) -> float:
    """The KS distance of a run from held-out p-values in ascending order."""
    at = np.union1d(p_values, held_out)
    run = np.concatenate([[0], np.cumsum(counts)])[np.searchsorted(p_values, at, side="right")] / counts.sum()
    return float(np.abs(run - np.searchsorted(held_out, at, side="right") / len(held_out)).max())


def _exceeded_by_chance(distances: Floats) -> float:
    return float(np.quantile(distances, 1.0 - CHANCE, method="higher"))


def _share_beyond(distances: Floats, distance: float) -> float:
    return float(1 + np.count_nonzero(distances >= distance - 1e-12)) / (1 + len(distances))


def _reading(m: int, ks: float, by_chance: float, psi_beyond: float) -> str:
    if ks <= by_chance and m < MIN_ROWS:
        return f"{m} rows are too few to tell drift from chance"
    if ks <= by_chance:
        return "no drift beyond chance for this number of rows"
    if psi_beyond < SMALL:
        return "small drift, but more than by chance"
    if psi_beyond < LARGE:
        return "drift: check recent rows before you rely on p-values"
    return "large drift: many anomalies, or the normal rows have changed"
