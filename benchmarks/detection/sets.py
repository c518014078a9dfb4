"""Folders of labelled sets, and who of a set trains and who is tested. Knows arrays and protocols, not detectors."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

BOOTSTRAP = 1000  # rows that smaller sets are drawn up to under the published tables' protocol
PROTOCOLS = ("clean", "file-order")


@dataclass(frozen=True)
class Split:
    """Training rows, all normal, and test rows with their labels; in the set's own units."""

    train: NDArray[np.float64]  # (n, D)
    test: NDArray[np.float64]  # (m, D)
    is_anomaly: NDArray[np.bool_]  # (m,)

    def standardised(self) -> Split:
        """Both parts less the training rows' mean, over their standard deviation; constant columns keep their scale."""
        mean, scale = self.train.mean(axis=0), self.train.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        return Split((self.train - mean) / scale, (self.test - mean) / scale, self.is_anomaly)


def names(folder: Path) -> list[str]:
    """The sets of a folder, smallest first by their cells: files NAME.npz that hold X (n, D) and y (n,).

    Raises:
        SystemExit: there is none.
    """
    found = {path.stem: _cells(path) for path in sorted(folder.glob("*.npz"))}
    if not found:
        raise SystemExit(f"{folder}: no .npz file with X and y")
    return sorted(found, key=lambda name: found[name])


def _cells(path: Path) -> int:
    """How many cells X has, by its header."""
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

    clean        shuffle; half of the normal rows train, the other half and all anomalies test
    file-order   the published tables' way: sets below 1,000 rows are drawn with replacement up to 1,000 first, so that
                 both parts share rows, and the first half of the normal rows in the order of the file trains

    Args:
        x, y: rows (n, D) and whether each is an anomaly (n,).
        seed: of the shuffle, and of what is left out of large sets.
        protocol: of PROTOCOLS.
        most_rows: a random part of so many rows, with the set's share of anomalies, stands for a larger set.
    """
    rng = np.random.default_rng(seed)
    kept = np.arange(len(x))
    if len(x) > most_rows:
        kept = np.sort(
            np.concatenate([_part(rng, np.flatnonzero(y == odd), most_rows / len(x)) for odd in (False, True)])
        )
    if protocol == "file-order" and len(x) < BOOTSTRAP:
        kept = rng.choice(len(x), BOOTSTRAP, replace=True)
    if protocol == "clean":
        kept = rng.permutation(kept)
    normal, odd = kept[~y[kept]], kept[y[kept]]
    half = len(normal) // 2
    tested = np.concatenate([normal[half:], odd])
    return Split(x[normal[:half]], x[tested], y[tested])


def _part(rng: np.random.Generator, rows: NDArray[np.intp], share: float) -> NDArray[np.intp]:
    """So large a share of the rows, at random, and at least one."""
    return rng.choice(rows, max(1, round(share * len(rows))), replace=False)
