"""Splits rows into train, validation, calibration and test."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit_training.data.rows import PlaceInSeries, Rows
from vaekit_training.data.window_split import split_windows
from vaekit_training.sections import DataConfig

FEWEST = 20  # smallest number of normal rows that can be split
MOST_VALIDATED = 200  # validation rows of a model that they do not stop
SPLITS = ("train", "validation", "calibration", "test")

BY_FOLDS = (
    "Each fold is a random subset of the normal rows and is scored by the model that was trained without it. P-values "
    "are valid, up to the factor of their guarantee, for rows that are exchangeable with the normal rows."
)
RUNS = "Windows that overlap have similar p-values, so false alarms come in runs."
LATER = (
    "The calibration windows are later than the training windows and earlier than the test windows, and share no time "
    "step with them or with each other. The p-value of a window is valid as far as the series is stationary and "
    f"windows that are far apart are nearly independent. {RUNS}"
)
ASSUMPTIONS = {
    "random": "The calibration rows are a random subset of the normal rows: p-values are valid for rows that are "
    "exchangeable with them.",
    "time": "The calibration rows are later than the training rows and earlier than the test rows: p-values are valid "
    "as far as future rows are like the rows of that period.",
    "blocks": LATER,
    "windows by time": LATER,
    "windows by group": "No series is in two splits, and calibration windows share no time step. P-values are valid "
    "for windows of new series as far as series are alike. If each series has its own level, the number of calibration "
    "series counts, not that of their windows, and few of them give more false alarms than alpha, because a new series "
    f"may be unlike all of them. {RUNS}",
    "group": "No group of rows is in two splits: p-values are valid for rows of new groups as far as they are like the "
    "calibration groups; rows of one group are not independent, so the false-alarm rate varies more than usual, and is "
    "above alpha on average if few groups calibrate and groups are unlike.",
}


def assumption(config: DataConfig) -> str:
    """What p-values assume about calibration rows and scored rows."""
    kind = config.split.partition(":")[0]
    return ASSUMPTIONS[kind if config.window is None or kind == "blocks" else f"windows by {kind}"]


@dataclass(frozen=True)
class Splits:
    """Row indices of each split. Anomalies are in none of the four splits and are tested separately.

    For streamed rows these are indices of the sampled rows.
    """

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    calibration: NDArray[np.intp]
    test: NDArray[np.intp]
    anomalies: NDArray[np.intp]
    counts: dict[str, int] = field(default_factory=dict)  # full size of each split, if rows are sampled
    folds: tuple[NDArray[np.intp], ...] = ()  # folds of the training split, if the config has folds
    are_windows: bool = False  # whether rows are windows, which overlap

    def sizes(self) -> dict[str, int]:
        """Number of rows in each split."""
        return self.counts or {name: len(getattr(self, name)) for name in (*SPLITS, "anomalies")}

    @property
    def held_out(self) -> tuple[NDArray[np.intp], ...]:
        """The calibration split, or each fold."""
        return self.folds or (self.calibration,)

    @property
    def rows_per_p_value(self) -> int:
        """Number of calibration rows; with folds, in the median fold. It limits how small a p-value can be."""
        return sorted(map(len, self.held_out))[len(self.folds) // 2]

    @property
    def trained_on(self) -> int:
        """Number of rows that a model trains on; for fold models, the smallest of these numbers."""
        return self.sizes()["train"] - max(map(len, self.folds), default=0)

    @property
    def trains(self) -> list[NDArray[np.intp]]:
        """The training rows of each fold model, or of the only model."""
        return [self.without(f).train for f in range(len(self.folds))] or [self.train]

    def with_few_validation_rows(self) -> Splits:
        """The splits for a model that validation rows do not stop: most of these rows go to the training split.

        Not if they are windows: those that go would overlap with those that stay.
        """
        if self.counts or self.folds or self.are_windows:
            return self
        every = -(-len(self.validation) // min(MOST_VALIDATED, max(2, len(self.validation) // 4)))
        kept = self.validation[::every]
        return replace(self, train=np.union1d(self.train, np.setdiff1d(self.validation, kept)), validation=kept)

    def without(self, fold: int) -> Splits:
        """The splits for the model that is trained without this fold and calibrated on it."""
        others = [rows for f, rows in enumerate(self.folds) if f != fold]
        return replace(self, train=np.sort(np.concatenate(others)), calibration=self.folds[fold], folds=())


def split(rows: Rows, config: DataConfig, seed: int) -> Splits:
    """Split the normal rows by the config's fractions: at random, by time or by group.

    Raises:
        InputError: there are too few normal rows or groups, so that a split would be empty.
    """
    if rows.streamed is not None:
        sampled = rows.streamed.sampled  # the rows were split while they were read
        train, validation, calibration, test, anomalies = (sampled[name] for name in (*SPLITS, "anomalies"))
        return Splits(train, validation, calibration, test, anomalies, counts=rows.streamed.counts)
    normal = np.flatnonzero(~rows.anomaly)
    if len(normal) < FEWEST:
        raise InputError(f"too few rows: {len(normal)} normal ones; at least {FEWEST} are needed")
    if rows.place is not None:
        return _of_windows(rows, rows.place, config, seed)
    rng = np.random.default_rng(seed)
    kind = config.split.partition(":")[0]
    if kind == "random":
        order, units = rng.permutation(normal), np.arange(len(normal))
    elif kind == "time":
        assert rows.split_key is not None
        order, units = normal[np.argsort(rows.split_key[normal], kind="stable")], np.arange(len(normal))
    else:
        order, units = _by_group(rows, normal, rng)
    fractions = config.fractions
    shares = np.cumsum([fractions.train, fractions.validation, fractions.calibration])
    edges = np.searchsorted(units, np.rint(shares * (units[-1] + 1)), side="left")
    ordered = np.split(order, edges)
    for name, part in zip(SPLITS, ordered, strict=True):
        if len(part) == 0:
            few = "groups" if kind == "group" else "rows"
            raise InputError(f"too few {few}: the {name} split would be empty; raise data.fractions.{name}")
    train, validation, calibration, test = (np.sort(part) for part in ordered)
    splits = Splits(train, validation, calibration, test, anomalies=np.flatnonzero(rows.anomaly))
    return splits if config.folds is None else _with_folds(splits, config.folds, seed)


def _of_windows(rows: Rows, place: PlaceInSeries, config: DataConfig, seed: int) -> Splits:
    found = split_windows(place, ~rows.anomaly, config, seed)
    for name, part in zip(SPLITS, found, strict=True):
        if len(part) == 0:
            raise InputError(
                f"too few time steps: no normal window of {place.window.steps} steps is in the {name} split, and "
                f"{place.window.steps - 1} steps between two splits are in none; raise data.fractions.{name}, or give "
                "longer series"
            )
    train, validation, calibration, test = found
    return Splits(train, validation, calibration, test, anomalies=np.flatnonzero(rows.anomaly), are_windows=True)


def _with_folds(splits: Splits, count: int, seed: int) -> Splits:
    """Divides the train and calibration splits into folds whose sizes differ by at most one row."""
    rows = np.union1d(splits.train, splits.calibration)
    if len(rows) < 2 * count:
        raise InputError(
            f"too few rows: data.folds = {count} needs at least {2 * count} train and calibration rows, not {len(rows)}"
        )
    order = np.random.default_rng((seed, count)).permutation(rows)
    folds = tuple(np.sort(fold) for fold in np.array_split(order, count))
    return replace(splits, train=rows, calibration=rows[:0], folds=folds)


def _by_group(
    rows: Rows, normal: NDArray[np.intp], rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row indices sorted by shuffled group, and the position of each row's group; fractions count groups, not rows."""
    assert rows.split_key is not None
    _, group = np.unique(rows.split_key[normal].astype(str), return_inverse=True)
    position = rng.permutation(int(group.max()) + 1)[group]
    order = np.argsort(position, kind="stable")
    return normal[order], position[order]
