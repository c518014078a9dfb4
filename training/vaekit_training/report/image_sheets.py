"""Arranges small images on a sheet, as a PNG file or as an <img> element with embedded data."""

from __future__ import annotations

import base64
import io

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

GAP = 1  # pixels between the images of a sheet
SHOWN = 40  # approximate width of an image on the page in CSS pixels, to which small images are enlarged
GREY = 128  # colour of the gaps
PIXELS = 2**15  # largest number of pixels per sheet, to limit the size of a page
LARGEST = 64  # largest side of an image in pixels; larger images are shrunk


def fitting(shape: tuple[int, ...], most: int, pixels: int = PIXELS) -> int:
    """Number of images of an array of this shape (n, H, W, C) that fit on a sheet, from 1 to `most`."""
    n, height, width, _ = shape
    return max(1, min(n, most, pixels // (min(height, LARGEST) * min(width, LARGEST))))


def sheet(images: NDArray[np.floating] | NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """The sheet (h, w, C) uint8 of images (n, H, W, C), 0..255, with `columns` images per line."""
    shown = _shrunk(np.rint(np.clip(images, 0, 255)).astype(np.uint8))
    n, height, width, channels = shown.shape
    lines = -(-n // columns)
    out = np.full((lines * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), GREY, dtype=np.uint8)
    for i, image in enumerate(shown):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        out[top : top + height, left : left + width] = image
    return out


def _shrunk(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images shrunk so that the longer side is at most LARGEST pixels."""
    height, width = images.shape[1:3]
    factor = max(height, width) / LARGEST
    if factor <= 1:
        return images
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = [
        [np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BOX)) for channel in np.moveaxis(p, -1, 0)]
        for p in images
    ]
    return np.moveaxis(np.array(small, dtype=np.uint8), 1, -1)


def png(sheet: NDArray[np.uint8], zoom: int = 1) -> bytes:
    """A sheet (h, w, C) as the content of a PNG file; colour images are reduced to 128 colours to save space."""
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    image = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
    if sheet.shape[-1] == 3:
        image = image.quantize(128)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def embedded(images: NDArray[np.floating] | NDArray[np.uint8], columns: int, alt: str, shown: int = SHOWN) -> Markup:
    """An <img> element with a sheet of images (n, H, W, C) as embedded data.

    Args:
        images: the images, 0..255.
        columns: images per line.
        alt: description of the images.
        shown: approximate width of an image on the page, in CSS pixels.
    """
    whole = sheet(images, columns)
    data = base64.b64encode(png(whole)).decode()
    zoom = max(1, round(shown / min(images.shape[2], LARGEST)))
    width, height = whole.shape[1] * zoom, whole.shape[0] * zoom
    return Markup('<img src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">').format(
        Markup(data), escape(alt), width, height
    )
