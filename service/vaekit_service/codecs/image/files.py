"""Decodes the image files of a request. Sizes are checked from headers, before anything is unpacked."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import RowId
from vaekit.errors import InputError
from vaekit.tabular.checked_rows import InvalidRow
from vaekit.tabular.image_files import header_size, read_pixels
from vaekit.tabular.pixels import encode_images
from vaekit_service.codecs.validation_messages import show

_SPARE = 64 * 1024  # bytes that a file may have beyond its pixels: metadata and colour profiles
MOST_PIXELS = 2**25  # unpacked for one request, if the model scales images: about half a second of one core
_ROW = "image"  # where messages of one file begin


@dataclass(frozen=True)
class ImagesRead:
    """The images of a request, without those that could not be read."""

    x: NDArray[np.uint8]  # (n, H, W, C)
    sizes: NDArray[np.int64]  # (n, 2), width and height of each file; the model's if it scales none
    invalid: Sequence[InvalidRow]


def read_images(files: Iterable[str | bytes], spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (N, H, W, C) of files, given as bytes or as base64.

    Raises:
        InputError: not base64, an image that `vaekit.tabular.image_files` refuses, far more bytes than its pixels need,
            or too many pixels to scale; the message names the row.
    """
    return read_each(files, spec, report=False).x


def read_image(data: bytes, spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (H, W, C) of one file, which is row 0.

    Raises:
        InputError: as read_images.
    """
    x: NDArray[np.uint8] = read_images([data], spec)[0]
    return x


def read_each(
    files: Iterable[str | bytes], spec: ImageSpec, *, report: bool, ids: Sequence[RowId] | None = None
) -> ImagesRead:
    """Pixels of files as in read_images; if `report`, the files that cannot be read are left out with the reason.

    ids: of the files, for the message; None: it names the row alone.
    """
    found, invalid, sizes, left = [], [], [], MOST_PIXELS
    for row, file in enumerate(files):
        try:
            data = _decoded(file) if isinstance(file, str) else file
            size = header_size(data, _ROW) if spec.resize else (spec.width, spec.height)
            left = _check_cost(data, spec, size, left)
            found.append(encode_images(read_pixels(data, _ROW, spec)[None], spec))
            sizes.append(size)
        except InputError as exc:
            invalid.append(InvalidRow(row, _reason(exc), id=None if ids is None else ids[row]))
            if not report:
                raise InputError(str(invalid[0])) from exc
    x = np.concatenate(found) if found else np.empty((0, *spec.row_shape), dtype=np.uint8)
    return ImagesRead(x, np.array(sizes, dtype=np.int64).reshape(-1, 2), invalid)


def _reason(error: InputError) -> str:
    """The message of one file without where it is."""
    return str(error).removeprefix(f"{_ROW}: ").removeprefix("row 0, ")


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InputError(f"{show(text)} is not base64; expected a PNG or JPEG file in base64") from None


def _check_cost(data: bytes, spec: ImageSpec, size: tuple[int, int], left: int) -> int:
    """Refuse by sizes alone what would cost more than its pixels; returns how many pixels may still be scaled."""
    cells = spec.dim
    if spec.resize:
        width, height = size
        left -= width * height
        if left < 0:
            raise InputError(
                f"image of {width} x {height} pixels; with it, the images of the request have more than "
                f"{MOST_PIXELS:,} pixels in total; send fewer images, or smaller ones"
            )
        cells = max(cells, 4 * width * height)
    most = 4 * cells + _SPARE
    if len(data) > most:
        raise InputError(f"image file of {len(data)} bytes; files for this model may have at most {most}")
    return left
