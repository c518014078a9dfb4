"""Reads a folder of images as one array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.folders import files_below
from vaekit.tabular.image_files import SUFFIXES, class_of, read_pixels, select

FOLDER = "folder"  # name of the label: the subfolder in which an image lies


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, in the order of their paths."""

    pixels: NDArray[np.uint8]  # (N, H, W, C): grey if all are, otherwise RGB
    columns: dict[str, NDArray[np.object_]]  # FOLDER (N,), each image's subfolder or None; empty without subfolders
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
    found: list[NDArray[np.uint8]] = []
    for name in names:
        found.append(_read(folder / name, size))
        if found[-1].shape[:2] != found[0].shape[:2]:
            (h, w), (height, width) = found[-1].shape[:2], found[0].shape[:2]
            raise InputError(
                f"{folder / name}: {w} x {h} pixels, but {names[0]} has {width} x {height} (width x height); scale all "
                f"to one size with --resize {width}x{height} (data.resize)"
            )
    channels = max(x.shape[-1] for x in found)
    pixels = np.stack([np.broadcast_to(x, (*x.shape[:2], channels)) for x in found])
    classes = np.array([class_of(name) for name in names], dtype=object)
    return ImageFolder(pixels, {FOLDER: classes} if any(classes) else {}, (remark,) if remark else ())


def _read(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path}: {exc.strerror}") from exc
    return read_pixels(data, str(path), size=size)
