"""Reads PNG and JPEG files as pixels, by one rule for training, scoring and the service.

- The image is turned as its EXIF orientation says, so that it is as a viewer shows it.
- An image is grey if it is stored so (modes 1, L, LA), or if red, green and blue are equal in every pixel, as many
  cameras save grey images. Every other one is in colour (RGB).
- Alpha is dropped if every pixel is opaque. Transparent pixels are refused, unless the model has four channels.
- Grey goes into colour as three equal channels; colour never becomes grey.
- Refused: several frames (APNG), more than 8 bits per channel, and metadata that unpack to more than 1 MiB.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec
from vaekit.errors import InputError
from vaekit.tabular.folders import is_hidden

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_METADATA = 2**20  # bytes, unpacked: 50 kB of a compressed chunk may become 40 MB
_PNG = b"\x89PNG\r\n\x1a\n"
_PACKED = (b"zTXt", b"iTXt", b"iCCP")  # chunks of a PNG that may be compressed
_SIZE_AT, _DEPTH_AT = 16, 24  # positions of width and height, and of the bits per channel, in a PNG
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PIECE = 2**16  # bytes of pixels that are unpacked at once to count them
_ORIENTATION = 0x0112  # EXIF tag
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_PALETTES = ("P", "PA")
_GREY = ("1", "L", "LA", "La")


def select(names: Sequence[str]) -> tuple[list[str], str | None]:
    """The images of a folder, in the order of their paths, and a sentence about its other files, if there are any.

    Args:
        names: paths relative to the folder.
    """
    paths = sorted(map(PurePosixPath, names))
    hidden = [path for path in paths if is_hidden(path)]
    images = [path for path in paths if not is_hidden(path) and path.suffix.lower() in SUFFIXES]
    others = [path for path in paths if not is_hidden(path) and path.suffix.lower() not in SUFFIXES]
    said = [
        f"{len(skipped):,} {why} ({skipped[0]}{', ...' if skipped[1:] else ''})"
        for skipped, why in ((hidden, "in names that start with . or _"), (others, f"not {', '.join(SUFFIXES)}"))
        if skipped
    ]
    count = len(hidden) + len(others)
    sentence = f"skipped {count:,} file{'s' if count > 1 else ''}: {'; '.join(said)}"
    return list(map(str, images)), sentence if said else None


def class_of(name: str) -> str | None:
    """The first folder in an image's path, which is its class; None if there is none."""
    first, *rest = PurePosixPath(name).parts
    return first if rest else None


def read_pixels(
    data: bytes, where: str, spec: ImageSpec | None = None, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """The pixels of one file, (H, W, C).

    Args:
        data: the content of the file.
        where: the beginning of every message.
        spec: the images of a model, whose size and channels the file must have; None: one channel if grey, else three.
        size: (width, height) to scale to, without a spec; None: the file's own.

    Raises:
        InputError: not a PNG or JPEG image, a damaged one, or one that the rule above or the spec refuses.
    """
    _check_chunks(data, where)
    with _opened(data, where) as image:
        _check_header(image, data, where, spec)
        image.load()
        if data.startswith(_PNG) and _lacks_rows(data):
            raise InputError(f"{where}: damaged image file: it ends before its last row of pixels")
        upright = _in_mode(_upright(image), where, spec)
        x = np.asarray(_sized(upright, where, spec, size), dtype=np.uint8)
        return x if x.ndim == 3 else x[..., None]


def header_size(data: bytes, where: str) -> tuple[int, int]:
    """(width, height) as stored, without unpacking the pixels.

    Raises:
        InputError: not a PNG or JPEG image.
    """
    with _opened(data, where) as image:
        return image.size


@contextmanager
def _opened(data: bytes, where: str) -> Iterator[Image]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            yield image
    except InputError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        why = "" if isinstance(exc, UnidentifiedImageError) else f": {str(exc)[:100]}"
        raise InputError(f"{where}: not a readable PNG or JPEG file{why}") from exc
    except Exception as exc:  # Pillow raises many types for damaged files
        raise InputError(f"{where}: damaged image file: {str(exc)[:100] or type(exc).__name__}") from exc


def _check_chunks(data: bytes, where: str) -> None:
    """Refuse what would cost more than its pixels, before Pillow unpacks it, and pixels that are damaged."""
    left = MOST_METADATA
    for kind, content, checksum in _chunks(data):
        # Pillow does not look at this checksum; without it, a flipped bit may only give other pixels
        if kind == b"IDAT" and len(checksum) == 4 and zlib.crc32(content, zlib.crc32(kind)) != _number(checksum):
            raise InputError(f"{where}: damaged image file: the checksum of its pixels is wrong")
        left -= _unpacked(kind, bytes(content), left + 1) if kind in _PACKED else 0
        if left < 0:
            raise InputError(
                f"{where}: metadata ({kind.decode()}) that unpack to more than {MOST_METADATA:,} bytes: save it without"
            )


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Type, content and checksum of a PNG's chunks; they come in this order after the content's length."""
    view = memoryview(data)
    at = len(_PNG) if data.startswith(_PNG) else len(data)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        yield kind, view[at + 8 : end], view[end : end + 4]
        at = end + 4


def _lacks_rows(png: bytes) -> bool:
    """Whether a PNG holds fewer bytes than its pixels need; Pillow leaves the other rows black."""
    missing, inflate = _filtered_size(*struct.unpack_from(">IIBBxxB", png, _SIZE_AT)), zlib.decompressobj()
    for kind, content, _ in _chunks(png):
        packed: bytes = bytes(content) if kind == b"IDAT" else b""
        while packed and missing > 0 and not inflate.eof:
            missing -= len(inflate.decompress(packed, PIECE))
            packed = inflate.unconsumed_tail
    return missing > 0


def _filtered_size(width: int, height: int, depth: int, colour: int, interlaced: int) -> int:
    """Bytes of a PNG's pixels before compression: rows of one byte for the filter, and the pixels."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    sizes = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in _ADAM7]
    return sum(h * (1 + -(-w * bits // 8)) for w, h in (sizes if interlaced else [(width, height)]) if w > 0 < h)


def _number(four_bytes: memoryview) -> int:
    return int.from_bytes(four_bytes, "big")


def _unpacked(kind: bytes, content: bytes, most: int) -> int:
    """Size of a chunk's text or profile, in bytes, at most `most`."""
    _, _, rest = content.partition(b"\0")  # after the name
    packed = rest[1:]  # after the method
    if kind == b"iTXt":
        language_and_text = rest[2:]  # after the flag and the method
        packed = language_and_text.partition(b"\0")[2].partition(b"\0")[2]
        if rest[:1] != b"\1":
            return min(len(packed), most)
    try:
        return len(zlib.decompressobj().decompress(packed, most))
    except zlib.error:
        return 0


def _check_header(image: Image, data: bytes, where: str, spec: ImageSpec | None) -> None:
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a photograph and its thumbnails
    if frames != 1:
        raise InputError(f"{where}: image of {frames} frames, expected one frame")
    deep = data.startswith(_PNG) and data[_DEPTH_AT] > 8
    if deep or image.mode.startswith(("I", "F")):
        raise InputError(f"{where}: more than 8 bits per channel (mode {image.mode}): save it with 8")
    if spec is not None and not spec.resize and sorted(image.size) != sorted((spec.width, spec.height)):
        raise _of_another_size(image, where, spec)


def _upright(image: Image) -> Image:
    """The image as its EXIF orientation says; as stored if the EXIF is absent or damaged."""
    from PIL.Image import Exif, Transpose

    exif = Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  Pillow raises many types for damaged EXIF, and the pixels are sound
        return image
    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(ways[orientation]) if orientation in ways else image


def _in_mode(image: Image, where: str, spec: ImageSpec | None) -> Image:
    """The image as L, RGB or RGBA: as the spec's channels, or as it is."""
    if spec is not None and spec.channels == 4:
        return image.convert("RGBA")
    has_alpha = {"A", "a"} & set(image.getbands()) or "transparency" in image.info
    if has_alpha and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise InputError(f"{where}: has transparent pixels (mode {image.mode}): save it on a background")
    if image.mode in _GREY:
        plain = image.convert("L")
    else:
        colour = image.convert("RGBA" if image.mode in _PALETTES else "RGB").convert("RGB")
        plain = colour if spec is not None and spec.channels == 3 else _grey_if_equal(colour)
    if spec is None:
        return plain
    if spec.channels == 1 and plain.mode != "L":
        raise InputError(f"{where}: image of mode {image.mode} is in colour, but the model's images are grey")
    return plain.convert(_MODES[spec.channels])


def _grey_if_equal(colour: Image) -> Image:
    """An RGB image as L if red, green and blue are equal in every pixel."""
    x = np.asarray(colour)
    return colour.getchannel("R") if (x == x[..., :1]).all() else colour


def _sized(image: Image, where: str, spec: ImageSpec | None, size: tuple[int, int] | None) -> Image:
    from PIL.Image import Resampling

    if spec is not None:
        size = (spec.width, spec.height)
    if size is None or image.size == size:
        return image
    if spec is not None and not spec.resize:
        raise _of_another_size(image, where, spec)
    return image.resize(size, Resampling.BILINEAR)  # averages over the pixels that it joins


def _of_another_size(image: Image, where: str, spec: ImageSpec) -> InputError:
    width, height = image.size
    return InputError(
        f"{where}: image of {width} x {height} pixels, expected {spec.width} x {spec.height} (width x height)"
    )
