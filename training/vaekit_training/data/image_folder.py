"""Reads a folder of images as one array."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_images(folder: Path) -> NDArray[np.uint8]:
    """All images below the folder, (N, H, W, C) uint8, sorted by path; C is 1 if all are grey, otherwise 3 (RGB).

    Raises:
        InputError: there is no image, or an image cannot be read or has another size; the message names the file.
    """
    from PIL import Image, UnidentifiedImageError

    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"data {str(folder)!r}: no {', '.join(SUFFIXES)} files below this folder")
    found = []
    for path in paths:
        try:
            with Image.open(path, formats=["PNG", "JPEG"]) as image:
                found.append(np.asarray(image.convert(_mode(image, path))))
        except (UnidentifiedImageError, OSError) as exc:
            raise InputError(f"{path}: not an image: {exc}") from exc
        if found[-1].shape[:2] != found[0].shape[:2]:
            a, b = found[-1].shape, found[0].shape
            raise InputError(
                f"{path}: {a[0]} x {a[1]} pixels, but {paths[0].name} has {b[0]} x {b[1]} (height x width); "
                "all images must have one size"
            )
    colour = any(p.ndim == 3 for p in found)
    stacked = [np.repeat(p[..., None], 3, axis=-1) if colour and p.ndim == 2 else p for p in found]
    x = np.stack(stacked)
    return x if colour else x[..., None]


def _mode(image: Any, path: Path) -> Literal["L", "RGB"]:
    """The mode that an image converts to without loss: grey or RGB.

    Raises:
        InputError: more than 8 bits per channel, or transparent pixels.
    """
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: more than 8 bits per channel (mode {image.mode}): save it with 8 bits")
    if "transparency" in image.info or "A" in image.getbands():
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            raise InputError(f"{path}: has transparent pixels (mode {image.mode}): save it without transparency")
    return "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
