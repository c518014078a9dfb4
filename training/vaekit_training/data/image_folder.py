"""Reads a folder of images as one array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.folders import files_below
from vaekit.tabular.image_files import SUFFIXES, class_of, read_pixels, select

MOST_NAMED = 5  # files that an error lists
FOLDER = "folder"  # name of the label: the subfolder in which an image lies


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, in the order of their paths."""

    pixels: NDArray[np.uint8]  # (N, H, W, C): grey if all are, otherwise RGB
    columns: dict[str, NDArray[np.object_]]  # FOLDER (N,), each image's subfolder or None; empty without subfolders
    names: NDArray[np.object_]  # (N,), the path of each file below the folder
    remarks: tuple[str, ...]  # which files were skipped


def image_folder(folder: Path, size: tuple[int, int] | None = None) -> ImageFolder:
    """All images below the folder, sorted by path.

    Args:
        folder: its path.
        size: (width, height) to scale every image to; None: all have one size.

    Raises:
        InputError: there is no image, or an image cannot be read or has another size; the message names the file.
    """
    names, remark = select(files_below(folder))
    if not names:
        also = f" ({remark})" if remark else ""
        raise InputError(f"data {str(folder)!r}: no {', '.join(SUFFIXES)} files below this folder{also}")
    found = _read_all(folder, names, size)
    channels = max(x.shape[-1] for x in found)
    pixels = np.stack([np.broadcast_to(x, (*x.shape[:2], channels)) for x in found])
    classes = np.array([class_of(name) for name in names], dtype=object)
    remarks = tuple(said for said in (remark, _mixed_colour(names, found)) if said)
    columns = {FOLDER: classes} if any(classes) else {}
    return ImageFolder(pixels, columns, np.array(names, dtype=object), remarks)


def _read_all(folder: Path, names: Sequence[str], size: tuple[int, int] | None) -> list[NDArray[np.uint8]]:
    """The pixels of every file, each (H, W, C) of one size.

    Raises:
        InputError: files cannot be read or have another size than most; the message names the first ones and says how
            many there are.
    """
    found: dict[str, NDArray[np.uint8]] = {}
    faults: list[str] = []
    for name in names:
        try:
            found[name] = _read(folder / name, size)
        except InputError as exc:
            faults.append(str(exc))
    if faults:
        said = _listed(faults, f"{len(faults):,} of {len(names):,} images cannot be read")
        raise InputError(f"{said}; move {'it' if len(faults) == 1 else 'them'} out of the folder")
    sizes = Counter((x.shape[1], x.shape[0]) for x in found.values())
    (width, height), count = sizes.most_common(1)[0]
    if len(sizes) > 1:
        others = [
            f"{folder / name}: {x.shape[1]} x {x.shape[0]} pixels"
            for name, x in found.items()
            if x.shape[:2] != (height, width)
        ]
        rest = f"but {count:,} of {len(names):,} images have {width} x {height} (width x height)"
        how = f"scale all to one size with --resize {width}x{height} (data.resize), or move these out"
        raise InputError(f"{_listed(others, f'{len(others):,} have another size')}, {rest}; {how}")
    return list(found.values())


def _listed(faults: Sequence[str], count: str) -> str:
    """The only fault, or the first ones and how many there are."""
    if len(faults) == 1:
        return faults[0]
    more = "; ..." if len(faults) > MOST_NAMED else ""
    return f"{count}: {'; '.join(faults[:MOST_NAMED])}{more}"


def _mixed_colour(names: Sequence[str], found: Sequence[NDArray[np.uint8]]) -> str | None:
    """A sentence about images in colour among grey ones; None if all are alike."""
    coloured = [name for name, x in zip(names, found, strict=True) if x.shape[-1] > 1]
    if not coloured or len(coloured) == len(names):
        return None
    is_are, first = ("is", coloured[0]) if len(coloured) == 1 else ("are", f"{coloured[0]}, ...")
    return (
        f"{len(coloured):,} of {len(names):,} images {is_are} in colour ({first}): all get three channels; for a "
        "model of grey images save these as grey or move them away"
    )


def _read(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path}: {exc.strerror}") from exc
    return read_pixels(data, str(path), size=size)
