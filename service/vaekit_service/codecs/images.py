"""Decode PNG and JPEG files to pixels. Size and mode are checked from the header, before anything is unpacked."""

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

# What a file may have beyond its pixels: metadata and colour profiles, as they are stored, never unpacked.
_SPARE = 64 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"
_COMPRESSED = {b"zTXt", b"iTXt", b"iCCP"}  # chunks that Pillow unpacks beside the pixels: 50 kB become 40 MB

# Modes that become the model's channels without loss: grey goes into colour as three equal channels, never back.
MODES = {1: ("L", "1"), 3: ("RGB", "L", "1"), 4: ("RGBA",)}
_TARGET = {1: "L", 3: "RGB", 4: "RGBA"}


def read_images(files: Sequence[str], spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (N, H, W, C) of base64 strings.

    Raises:
        InputError: no base64, no PNG or JPEG, another size, several frames, a colour mode that would lose something,
            or far more bytes than the pixels need; the message names the row.
    """
    x = np.empty((len(files), *spec.row_shape), dtype=np.uint8)
    for row, text in enumerate(files):
        x[row] = read_image(row, _decoded(row, text), spec)
    return x


def _decoded(row: int, text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InputError(f"row {row}: not base64: {show(text)}") from None


def read_image(row: int, data: bytes, spec: ImageSpec) -> NDArray[np.uint8]:
    """Pixels (H, W, C) of one file.

    Raises:
        InputError: as read_images, but for base64.
    """
    _check_file(row, data, spec)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            _check(row, picture, spec)
            picture.load()
            mode = _TARGET[spec.channels]
            pixels = picture if picture.mode == mode else picture.convert(mode)
            return np.asarray(pixels, dtype=np.uint8).reshape(spec.row_shape)
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise InputError(f"row {row}: not a PNG or JPEG image that can be read: {type(exc).__name__}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as exc:
        if isinstance(exc, InputError):
            raise
        raise InputError(f"row {row}: a damaged picture: {str(exc)[:100]}") from None


def _check_file(row: int, data: bytes, spec: ImageSpec) -> None:
    """Refuse by sizes alone what would cost more than its pixels."""
    most = 4 * spec.dim + _SPARE
    if len(data) > most:
        raise InputError(f"row {row}: a picture file of {len(data)} bytes, more than the {most} that this size needs")
    if data.startswith(_PNG) and (bad := _COMPRESSED & set(_chunks(data))):
        raise InputError(f"row {row}: a PNG with compressed metadata, {min(bad).decode()}: save it without")


def _chunks(data: bytes) -> Iterator[bytes]:
    """The types of a PNG's chunks; each is a length, a type, the content and a checksum."""
    at = len(_PNG)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind
        at += size + 12


def _check(row: int, picture: Any, spec: ImageSpec) -> None:
    if picture.size != (spec.width, spec.height):
        raise InputError(
            f"row {row}: a picture of {picture.size[0]} x {picture.size[1]} pixels, "
            f"expected {spec.width} x {spec.height} (width x height)"
        )
    if getattr(picture, "n_frames", 1) != 1:
        raise InputError(f"row {row}: a picture of {picture.n_frames} frames, expected one")
    if picture.mode not in MODES[spec.channels] or "transparency" in picture.info:
        raise InputError(
            f"row {row}: a picture of mode {picture.mode}, the model's {spec.channels} channel(s) take "
            f"{', '.join(MODES[spec.channels])}"
        )
