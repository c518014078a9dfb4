"""Loads labelled data sets from a folder, and splits them into training and test rows."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

BOOTSTRAP = 1000  # protocol file-order: smaller sets are sampled with replacement up to this number of rows
HALVES = ("tuning", "checking")
PROTOCOLS = ("clean", "file-order")


@dataclass(frozen=True)
class Split:
    """Training rows, all normal, and test rows with their labels; in raw units."""

    train: NDArray[np.float64]  # (n, D)
    test: NDArray[np.float64]  # (m, D)
    is_anomaly: NDArray[np.bool_]  # (m,)

    def standardised(self) -> Split:
        """The split, standardised by means and deviations of the training rows; constant columns keep their scale."""
        mean, scale = self.train.mean(axis=0), self.train.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        return Split((self.train - mean) / scale, (self.test - mean) / scale, self.is_anomaly)


def names(folder: Path) -> list[str]:
    """The sets of a folder, sorted by their number of cells: files NAME.npz with X (n, D) and y (n,).

    Raises:
        SystemExit: the folder has no such file.
    """
    found = {path.stem: _cells(path) for path in sorted(folder.glob("*.npz"))}
    if not found:
        raise SystemExit(f"{folder}: no .npz file with X and y")
    return sorted(found, key=lambda name: found[name])


def half(sets: Sequence[str], which: str) -> list[str]:
    """The sets whose labels may be used to choose settings, or those on which the choice is checked.

    The sets are sorted by a hash of their name without its number; the first half, rounded down, is for tuning.

    Args:
        sets: names of all sets.
        which: one of HALVES.
    """

    def key(name: str) -> str:
        head, _, rest = name.partition("_")
        return hashlib.sha256((rest if head.isdigit() else name).encode()).hexdigest()

    tuning = set(sorted(sets, key=key)[: len(sets) // 2])
    return [name for name in sets if (name in tuning) == (which == HALVES[0])]


def _cells(path: Path) -> int:
    """The number of cells of X, from its header."""
    with zipfile.ZipFile(path) as archive, archive.open("X.npy") as file:
        version = npy.read_magic(file)
        shape, _, _ = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    return int(np.prod(shape))


def load(folder: Path, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """X (n, D) and whether each row is an anomaly (n,)."""
    with np.load(folder / f"{name}.npz") as arrays:
        return np.asarray(arrays["X"], np.float64), np.asarray(arrays["y"]).ravel() != 0


def split(x: NDArray[Any], y: NDArray[np.bool_], seed: int, *, protocol: str, most_rows: int) -> Split:
    """One split of a set.

    clean        shuffled; half of the normal rows are for training, the other half and all anomalies for testing
    file-order   as in the published tables: the first half of the normal rows in file order is for training. Sets below
                 1,000 rows are first sampled with replacement up to 1,000, so that training and test rows overlap

    Args:
        x: rows, (n, D).
        y: whether each row is an anomaly, (n,).
        seed: seed of the shuffle, and of the sample of a large set.
        protocol: one of PROTOCOLS.
        most_rows: larger sets are replaced by a random sample of this size with the same share of anomalies.
    """
    rng = np.random.default_rng(seed)
    kept = np.arange(len(x))
    if len(x) > most_rows:
        kept = np.sort(
            np.concatenate([_sample(rng, np.flatnonzero(y == label), most_rows / len(x)) for label in (False, True)])
        )
    if protocol == "file-order" and len(x) < BOOTSTRAP:
        kept = rng.choice(len(x), BOOTSTRAP, replace=True)
    if protocol == "clean":
        kept = rng.permutation(kept)
    normal, anomalies = kept[~y[kept]], kept[y[kept]]
    half = len(normal) // 2
    tested = np.concatenate([normal[half:], anomalies])
    return Split(x[normal[:half]], x[tested], y[tested])


def _sample(rng: np.random.Generator, rows: NDArray[np.intp], share: float) -> NDArray[np.intp]:
    """A random sample of this share of the rows, at least one."""
    return rng.choice(rows, max(1, round(share * len(rows))), replace=False)
