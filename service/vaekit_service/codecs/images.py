"""Decodes PNG and JPEG files to pixels. Size and mode are checked from the header, before the pixels are decoded."""

from __future__ import annotations

import binascii
import io
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vaekit.bundle.input_spec import ImageSpec
from vaekit.errors import InputError
from vaekit_service.codecs.validation_messages import show

_SPARE = 64 * 1024  # bytes of a file for metadata and colour profiles, besides its pixels
_PNG = b"\x89PNG\r\n\x1a\n"
_COMPRESSED = {b"zTXt", b"iTXt", b"iCCP"}  # chunks of metadata that Pillow decompresses: 50 kB can become 40 MB

# Modes that convert to the model's channels without loss: grey becomes three equal channels, but colour never grey.
MODES = {1: ("L", "1"), 3: ("RGB", "L", "1"), 4: ("RGBA",)}
_TARGET = {1: "L", 3: "RGB", 4: "RGBA"}


def read_images(files: Sequence[str], spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (N, H, W, C) of base64 strings.

    Raises:
        InputError: not base64, not a PNG or JPEG, another size, several frames, a colour mode that cannot be converted
            without loss, or far more bytes than the pixels need; the message names the row.
    """
    x = np.empty((len(files), *spec.row_shape), dtype=np.uint8)
    for row, text in enumerate(files):
        x[row] = read_image(row, _decoded(row, text), spec)
    return x


def _decoded(row: int, text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InputError(f"row {row}: {show(text)} is not base64; expected a PNG or JPEG file in base64") from None


def read_image(row: int, data: bytes, spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (H, W, C) of one file.

    Raises:
        InputError: see read_images, except for base64.
    """
    _check_file(row, data, spec)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            _check(row, image, spec)
            image.load()
            mode = _TARGET[spec.channels]
            pixels = image if image.mode == mode else image.convert(mode)
            return np.asarray(pixels, dtype=np.uint8).reshape(spec.row_shape)
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise InputError(f"row {row}: not a readable PNG or JPEG file: {type(exc).__name__}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as exc:
        if isinstance(exc, InputError):
            raise
        raise InputError(f"row {row}: damaged image file: {str(exc)[:100]}") from None


def _check_file(row: int, data: bytes, spec: ImageSpec) -> None:
    """Refuse files that are much larger than their pixels, or would be once their metadata are decompressed."""
    most = 4 * spec.dim + _SPARE
    if len(data) > most:
        raise InputError(f"row {row}: image file of {len(data)} bytes; files for this model may have at most {most}")
    if data.startswith(_PNG) and (bad := _COMPRESSED & set(_chunks(data))):
        raise InputError(
            f"row {row}: PNG with compressed metadata (chunk {min(bad).decode()}); save the image without metadata"
        )


def _chunks(data: bytes) -> Iterator[bytes]:
    """The types of a PNG's chunks. A chunk consists of length, type, content and checksum."""
    at = len(_PNG)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind
        at += size + 12


def _check(row: int, image: Any, spec: ImageSpec) -> None:
    if image.size != (spec.width, spec.height):
        raise InputError(
            f"row {row}: image of {image.size[0]} x {image.size[1]} pixels, "
            f"expected {spec.width} x {spec.height} (width x height)"
        )
    if getattr(image, "n_frames", 1) != 1:
        raise InputError(f"row {row}: image of {image.n_frames} frames, expected one frame")
    if image.mode not in MODES[spec.channels] or "transparency" in image.info:
        transparent = " with transparency" if "transparency" in image.info else ""
        raise InputError(
            f"row {row}: image of mode {image.mode}{transparent}; a model of {spec.channels} channel(s) accepts "
            f"{', '.join(MODES[spec.channels])} without transparent colours"
        )
