"""Decodes the image files of a request. Sizes are checked from headers, before anything is unpacked."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec
from vaekit.errors import InputError
from vaekit.tabular.image_files import header_size, read_pixels
from vaekit_service.codecs.validation_messages import show

_SPARE = 64 * 1024  # bytes that a file may have beyond its pixels: metadata and colour profiles
MOST_PIXELS = 2**25  # unpacked for one request, if the model scales images: about half a second of one core


def read_images(files: Sequence[str], spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (N, H, W, C) of base64 strings.

    Raises:
        InputError: not base64, an image that `vaekit.tabular.image_files` refuses, far more bytes than its pixels need,
            or too many pixels to scale; the message names the row.
    """
    return read_files((_decoded(row, text) for row, text in enumerate(files)), len(files), spec)


def read_files(files: Iterable[bytes], n: int, spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (n, H, W, C) of n files.

    Raises:
        InputError: as read_images.
    """
    x = np.empty((n, *spec.row_shape), dtype=np.uint8)
    left = MOST_PIXELS
    for row, data in enumerate(files):
        left = _check_cost(row, data, spec, left)
        x[row] = read_pixels(data, f"row {row}", spec)
    return x


def read_image(data: bytes, spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (H, W, C) of one file, which is row 0.

    Raises:
        InputError: as read_images.
    """
    _check_cost(0, data, spec, MOST_PIXELS)
    return read_pixels(data, "row 0", spec)


def _decoded(row: int, text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InputError(f"row {row}: {show(text)} is not base64; expected a PNG or JPEG file in base64") from None


def _check_cost(row: int, data: bytes, spec: ImageSpec, left: int) -> int:
    """Refuse by sizes alone what would cost more than its pixels; returns how many pixels may still be scaled."""
    cells = spec.dim
    if spec.resize:
        width, height = header_size(data, f"row {row}")
        left -= width * height
        if left < 0:
            raise InputError(
                f"row {row}: image of {width} x {height} pixels; with it, the images of the request have more than "
                f"{MOST_PIXELS:,} pixels in total; send fewer images, or smaller ones"
            )
        cells = max(cells, 4 * width * height)
    most = 4 * cells + _SPARE
    if len(data) > most:
        raise InputError(f"row {row}: image file of {len(data)} bytes; files for this model may have at most {most}")
    return left
