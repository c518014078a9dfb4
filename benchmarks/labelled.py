"""Folders of labelled sets: files NAME.npz that hold X (n, D) and y (n,). Knows files, not what is done with rows."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


def names(folder: Path) -> list[str]:
    """The sets of a folder, smallest first by their cells.

    Raises:
        SystemExit: there is none.
    """
    found = {path.stem: _cells(path) for path in sorted(folder.glob("*.npz"))}
    if not found:
        raise SystemExit(f"{folder}: no .npz file with X and y")
    return sorted(found, key=lambda name: found[name])


def normals(folder: Path, name: str, most: int, seed: int = 0) -> NDArray[np.float64]:
    """The rows that are no anomalies, (n, D), in the order of the file; a random subset of so many at most."""
    with np.load(folder / f"{name}.npz") as arrays:
        x: NDArray[np.float64] = np.asarray(arrays["X"], np.float64)[np.ravel(arrays["y"]) == 0]
    if len(x) > most:
        x = x[np.sort(np.random.default_rng(seed).choice(len(x), most, replace=False))]
    return x


def _cells(path: Path) -> int:
    """How many cells X has, by its header."""
    with zipfile.ZipFile(path) as archive, archive.open("X.npy") as file:
        version = npy.read_magic(file)
        shape, _, _ = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    return int(np.prod(shape))
