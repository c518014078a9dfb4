"""Splits windows of series so that no time step is in two splits, and thins the held-out ones until none overlap.

N windows of W steps. Time is cut into four stretches, and between two of them W - 1 steps are in no split. Windows of
calibration and test share no step with each other either, because overlapping windows are nearly copies: n such windows
would pass for more evidence than they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaekit_training.data.rows import PlaceInSeries
from vaekit_training.sections import DataConfig

Ints = NDArray[np.intp]
BLOCK = 5  # windows that are left out together, in W


def split_windows(place: PlaceInSeries, normal: NDArray[np.bool_], config: DataConfig, seed: int) -> list[Ints]:
    """The windows (n,) of train, validation, calibration and test, each ascending.

    Args:
        place: where the N windows are in their series.
        normal: which windows are normal, (N,); the others are in no split.
        config: how to split, and the shares of the splits.
        seed: of the order of groups, and of the distances between held-out windows.
    """
    fractions = config.fractions
    shares = np.cumsum([fractions.train, fractions.validation, fractions.calibration])
    kind = config.split.partition(":")[0]
    if kind == "group":
        of_split = _of_series(place, shares, seed)
    elif kind == "time":
        of_split = _of_times(place, shares)
    else:
        of_split = _of_places(place, shares)
    found = [np.flatnonzero((of_split == s) & normal) for s in range(4)]
    rng = np.random.default_rng((seed, place.window.steps))
    return [*found[:2], *(apart(place, index, rng) for index in found[2:])]


def apart(place: PlaceInSeries, index: Ints, rng: np.random.Generator) -> Ints:
    """As many of these windows (n,) as share no time step, ascending.

    The distance from one to the next is W steps and a random number of 0 to W - 1 more. Windows at a fixed distance
    would all be at the same hour of the day if that distance were a day.
    """
    width = place.window.steps
    kept = []
    for series in np.unique(place.series[index]):
        own = index[place.series[index] == series]
        own = own[np.argsort(place.end[own])]
        ends, at = place.end[own], 0
        while at < len(own):
            kept.append(own[at])
            at = int(np.searchsorted(ends, ends[at] + width + rng.integers(width)))
    return np.sort(np.array(kept, dtype=np.intp))


def blocks_left_out(
    place: PlaceInSeries, index: Ints, splits: int, share: float, most: int, rng: np.random.Generator
) -> list[tuple[Ints, Ints]]:
    """Splits of windows into (those that are kept, those left out), as places in `index`; no split is empty.

    Blocks of BLOCK W windows that follow each other are left out together. Windows that share a time step with one of
    them are in neither part.

    Args:
        place: where all windows are in their series.
        index: the windows to split, (n,), in any order.
        splits: number of splits; each leaves other blocks out.
        share: of the windows that one split leaves out.
        most: largest number of windows that one split leaves out.
        rng: chooses the blocks.
    """
    width = place.window.steps
    series, end = place.series[index], place.end[index]
    _, block = np.unique(np.stack([series, end // (BLOCK * width)]), axis=1, return_inverse=True)
    count = int(block.max()) + 1
    if count < 2:  # one short stretch: its later part is left out
        block, count = (end >= np.quantile(end, 1 - share)).astype(np.intp), 2
        shuffled = np.array([1, 0])
    else:
        shuffled = rng.permutation(count)
    each = max(1, min(round(share * count), round(most * count / len(index))))
    found = []
    for s in range(min(splits, count // each)):
        out = np.isin(block, shuffled[s * each : (s + 1) * each])
        near = _near(series, end, out, width)
        if out.any() and (~out & ~near).any():
            found.append((np.flatnonzero(~out & ~near), np.flatnonzero(out)[:most]))
    return found


def _near(series: Ints, end: Ints, out: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Which windows (n,) share a time step with one of those that are left out."""
    near = np.zeros(len(end), dtype=bool)
    for s in np.unique(series[out]):
        there = np.sort(end[out & (series == s)])
        own = np.flatnonzero(series == s)
        at = np.searchsorted(there, end[own])
        after = there[np.minimum(at, len(there) - 1)] - end[own]
        before = end[own] - there[np.maximum(at - 1, 0)]
        near[own] = ((after >= 0) & (after < width)) | ((before >= 0) & (before < width))
    return near


def _of_places(place: PlaceInSeries, shares: NDArray[np.float64]) -> Ints:
    """The split of each window, (N,), 0 to 3; -1: none. Each series is cut at the same shares of its steps."""
    width = place.window.steps
    cuts = np.rint(shares[:, None] * place.lengths[place.series]).astype(np.intp)  # (3, N)
    last = (place.end >= cuts).sum(axis=0)
    first = (place.end - (width - 1) >= cuts + (width - 1)).sum(axis=0)
    return np.where(first == last, first, -1)


def _of_times(place: PlaceInSeries, shares: NDArray[np.float64]) -> Ints:
    """As _of_places, but all series are cut at the same times, and W - 1 usual steps of time are in no split."""
    assert place.time is not None
    assert place.begin is not None
    cuts = np.quantile(place.time, shares)[:, None]  # (3, 1)
    between = float(np.median(place.time - place.begin))  # the time of W - 1 steps
    last = (place.time >= cuts).sum(axis=0)
    first = (place.begin >= cuts + between).sum(axis=0)
    return np.where(first == last, first, -1)


def _of_series(place: PlaceInSeries, shares: NDArray[np.float64], seed: int) -> Ints:
    """The split of each window; all windows of a series are in one split. Shares count series."""
    count = len(place.lengths)
    position = np.random.default_rng(seed).permutation(count)  # (S,)
    cuts = np.rint(shares * count)[:, None]
    return np.asarray((position[place.series] >= cuts).sum(axis=0))
