"""Which row is for what. Knows row numbers and keys, not what a row holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit_training.data.rows import Rows
from vaekit_training.sections import DataConfig

FEWEST = 20  # normal rows; with fewer, no part says anything
PARTS = ("train", "validation", "calibration", "test")

BY_FOLDS = (
    "Each fold is a random part of the normal rows, scored by the model that was trained without it: up to the factor "
    "of their guarantee, p-values are valid for rows that are exchangeable with them."
)
ASSUMPTIONS = {
    "random": "The calibration rows are a random part of the normal rows: p-values are valid for rows that are "
    "exchangeable with them.",
    "time": "The calibration rows are later than the training rows and earlier than the test rows: p-values are valid "
    "as far as the rows to come are like that stretch of time.",
    "group": "No group of rows is in two parts: p-values are valid for rows of new groups as far as those are like the "
    "calibration groups; rows of one group are not independent, so the false-alarm rate varies more than its law says.",
}


@dataclass(frozen=True)
class Parts:
    """Row numbers of each part; anomalies are in none of the four, and are tested apart.

    Of streamed rows they are the numbers of those that are held.
    """

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    calibration: NDArray[np.intp]
    test: NDArray[np.intp]
    anomalies: NDArray[np.intp]
    counts: dict[str, int] = field(default_factory=dict)  # rows of each part, where not all are held
    folds: tuple[NDArray[np.intp], ...] = ()  # that the training part is dealt into, where calibration is by folds

    def sizes(self) -> dict[str, int]:
        """Rows of each part."""
        return self.counts or {name: len(getattr(self, name)) for name in (*PARTS, "anomalies")}

    @property
    def told_by(self) -> int:
        """Calibration rows whose number says how small a p-value can be: of folds the middle one's."""
        return sorted(map(len, self.folds or (self.calibration,)))[len(self.folds) // 2]

    @property
    def trained_on(self) -> int:
        """Rows that a model trains on, of fold models the fewest."""
        return self.sizes()["train"] - max(map(len, self.folds), default=0)

    def without(self, fold: int) -> Parts:
        """The parts of the model that this fold is held out of."""
        others = [rows for f, rows in enumerate(self.folds) if f != fold]
        return replace(self, train=np.sort(np.concatenate(others)), calibration=self.folds[fold], folds=())


def split(rows: Rows, config: DataConfig, seed: int) -> Parts:
    """Deal the normal rows out by the config's fractions, at random, by time or by group.

    Raises:
        InputError: too few normal rows, or too few groups, for every part to get one.
    """
    if rows.streamed is not None:
        held = rows.streamed.held  # dealt out while they were read
        train, validation, calibration, test, anomalies = (held[name] for name in (*PARTS, "anomalies"))
        return Parts(train, validation, calibration, test, anomalies, counts=rows.streamed.counts)
    normal = np.flatnonzero(~rows.anomaly)
    if len(normal) < FEWEST:
        raise InputError(f"too few rows: {len(normal)} normal ones, at least {FEWEST} are needed")
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
    pieces = np.split(order, edges)
    for name, piece in zip(PARTS, pieces, strict=True):
        if len(piece) == 0:
            raise InputError(f"too few {'groups' if kind == 'group' else 'rows'}: none is left for the {name} part")
    train, validation, calibration, test = (np.sort(piece) for piece in pieces)
    parts = Parts(train, validation, calibration, test, anomalies=np.flatnonzero(rows.anomaly))
    return parts if config.folds is None else _dealt(parts, config.folds, seed)


def _dealt(parts: Parts, count: int, seed: int) -> Parts:
    """Train and calibration part in folds of equal size, or one more."""
    rows = np.union1d(parts.train, parts.calibration)
    if len(rows) < 2 * count:
        raise InputError(f"too few rows: data.folds = {count} takes at least {2 * count} to train on, not {len(rows)}")
    order = np.random.default_rng((seed, count)).permutation(rows)
    folds = tuple(np.sort(fold) for fold in np.array_split(order, count))
    return replace(parts, train=rows, calibration=rows[:0], folds=folds)


def _by_group(
    rows: Rows, normal: NDArray[np.intp], rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows ordered by shuffled groups, and each row's group by its place among them; groups count, not rows."""
    assert rows.split_key is not None
    _, group = np.unique(rows.split_key[normal].astype(str), return_inverse=True)
    place = rng.permutation(int(group.max()) + 1)[group]
    order = np.argsort(place, kind="stable")
    return normal[order], place[order]
