"""What an image file is: one rule, and training, scoring and the service read the same pixels by it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vaekit.bundle import ImageSpec
from vaekit.errors import InputError
from vaekit.scoring.files.sources import open_source
from vaekit.tabular.image_files import _ADAM7, class_of, read_pixels, select
from vaekit_service.codecs.image.files import read_image
from vaekit_training.data.sources import read

H, W = 6, 9
GREY = (np.arange(H * W, dtype=np.uint8).reshape(H, W) * 4)[::-1]
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)
OPAQUE = np.full((H, W), 255, np.uint8)
ORIENTED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {  # stored as shown, undone
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: lambda a: np.rot90(a, -1),
}


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(pixels: NDArray[Any], **options: Any) -> bytes:
    return saved(Image.fromarray(np.ascontiguousarray(pixels)), **options)


def palette(pixels: NDArray[Any], **options: Any) -> bytes:
    colours, index = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    image = Image.fromarray(index.reshape(H, W).astype(np.uint8), "P")
    image.putpalette([*colours.ravel().tolist(), 200, 10, 60])  # one more colour, which no pixel has
    return saved(image, **options)


def turned(pixels: NDArray[Any], orientation: int, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    return saved(Image.fromarray(np.ascontiguousarray(ORIENTED[orientation](pixels))), kind, exif=exif, **options)


def chunked(kind: bytes, content: bytes) -> bytes:
    data, chunk = png(GREY), kind + content
    return data[:33] + len(content).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[33:]


def text(content: bytes) -> bytes:
    """A compressed text chunk's content."""
    return b"Comment\0\0" + zlib.compress(content)


INK = saved(Image.fromarray(np.dstack([GREY, 255 - GREY, OPAQUE // 4, OPAQUE // 8]), "CMYK"), "JPEG", quality=100)


NO_ORIENTATION = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0"
GREY_AS_COLOUR = np.stack([GREY] * 3, axis=-1)
NEARLY_GREY = GREY_AS_COLOUR.copy()
NEARLY_GREY[1, 2, 2] ^= 1
READ: dict[str, tuple[bytes, NDArray[Any]]] = {
    "grey": (png(GREY), GREY),
    "black and white": (saved(Image.fromarray(GREY > 99)), np.where(GREY > 99, 255, 0)),
    "grey palette": (palette(GREY_AS_COLOUR), GREY),
    "grey stored as RGB": (png(GREY_AS_COLOUR), GREY),
    "grey stored as RGBA": (png(np.dstack([GREY_AS_COLOUR, OPAQUE])), GREY),
    "colour palette": (palette(COLOUR), COLOUR),
    "opaque palette": (palette(COLOUR, transparency=bytes([255] * 40)), COLOUR),
    "opaque LA": (png(np.dstack([GREY, OPAQUE])), GREY),
    "opaque RGBA": (png(np.dstack([COLOUR, OPAQUE])), COLOUR),
    "RGB": (png(COLOUR), COLOUR),
    "grey but for one pixel": (png(NEARLY_GREY), NEARLY_GREY),
    "CMYK": (INK, np.asarray(Image.open(io.BytesIO(INK)).convert("RGB"))),
    "a small profile": (chunked(b"iCCP", b"sRGB\0\0" + zlib.compress(bytes(3000))), GREY),
    "a small text": (chunked(b"zTXt", text(b"nobody")), GREY),
    "damaged EXIF": (png(GREY, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), GREY),
    "no such orientation": (png(GREY, exif=NO_ORIENTATION), GREY),
    **{f"orientation {o}": (turned(COLOUR, o), COLOUR) for o in ORIENTED},
    "orientation of a grey image": (turned(GREY, 6), GREY),
}  # fmt: skip

NOISE = np.random.default_rng(0).bytes(3_000_000)
MANY = chunked(b"zTXt", text(bytes(700_000)))
TWICE = MANY[:33] + 2 * MANY[33 : len(MANY) - len(png(GREY)) + 33] + MANY[len(MANY) - len(png(GREY)) + 33 :]
ANIMATION = saved(Image.fromarray(GREY), save_all=True, append_images=[Image.fromarray(GREY[::-1])])
GLASS = np.where(GREY > 99, 255, 254).astype(np.uint8)
REFUSED: dict[str, tuple[bytes, str]] = {
    "APNG": (ANIMATION, "image of 2 frames"),
    "transparent LA": (png(np.dstack([GREY, GLASS])), r"has transparent pixels \(mode LA\)"),
    "transparent RGBA": (png(np.dstack([COLOUR, GLASS])), "has transparent pixels"),
    "transparent palette": (palette(COLOUR, transparency=0), "has transparent pixels"),
    "transparent grey": (png(GREY, transparency=0), "has transparent pixels"),
    "16 bits": (png(GREY.astype(np.uint16) * 256), "more than 8 bits per channel"),
    "GIF": (saved(Image.fromarray(GREY), "GIF"), "not a readable PNG or JPEG file"),
    "text": (b"no image", "not a readable PNG or JPEG file"),
    "nothing": (b"", "not a readable PNG or JPEG file"),
    "half a file": (png(GREY)[:48], "damaged image file"),
    "half a JPEG": (saved(Image.fromarray(COLOUR), "JPEG")[:400], "damaged image file"),
    "2 MB of text": (chunked(b"zTXt", text(bytes(2_000_000))), r"metadata \(zTXt\) that unpack to"),
    "2 MB of Unicode": (chunked(b"iTXt", b"C\0\1\0\0\0" + zlib.compress(bytes(2_000_000))), r"metadata \(iTXt\)"),
    "2 MB of plain Unicode": (chunked(b"iTXt", b"C\0\0\0\0\0" + bytes(2_000_000)), r"metadata \(iTXt\)"),
    "a profile of 3 MB": (chunked(b"iCCP", b"p\0\0" + zlib.compress(NOISE)), r"metadata \(iCCP\)"),
    "many texts": (TWICE, r"metadata \(zTXt\)"),
}  # fmt: skip


def spec_of(pixels: NDArray[Any], **more: Any) -> ImageSpec:
    return ImageSpec(height=H, width=W, channels=3 if pixels.ndim == 3 else 1, **more)


@pytest.mark.parametrize("case", READ)
def test_training_scoring_and_the_service_read_the_same_pixels(case: str, tmp_path: Path) -> None:
    data, want = READ[case]
    want = want.reshape(H, W, -1)
    (tmp_path / "one.png").write_bytes(data)
    trained = read(str(tmp_path)).images
    assert trained is not None
    np.testing.assert_array_equal(trained[0], want)
    spec = ImageSpec(height=H, width=W, channels=want.shape[-1])
    (chunk,) = open_source(tmp_path, spec, 4).chunks()
    assert chunk.pixels is not None
    np.testing.assert_array_equal(chunk.pixels[0], want)
    np.testing.assert_array_equal(read_image(data, spec), want)
    for channels in (3, 4):
        more = read_image(data, ImageSpec(height=H, width=W, channels=channels))
        np.testing.assert_array_equal(more[..., :3], np.broadcast_to(want, (H, W, 3)))
        assert (more[..., 3:] == 255).all()


@pytest.mark.parametrize("orientation", ORIENTED)
def test_a_photograph_is_turned_as_a_viewer_shows_it(orientation: int) -> None:
    ramp = np.add.outer(np.arange(24), 3 * np.arange(40))
    smooth = np.stack([ramp, ramp + 30, ramp + 60], axis=-1).astype(np.uint8)
    x = read_pixels(turned(smooth, orientation, "JPEG"), "one.jpg")
    assert x.shape == (24, 40, 3)
    assert np.abs(x.astype(int) - smooth).max() < 12  # JPEG loses a little
    spec = ImageSpec(height=24, width=40, channels=3)
    np.testing.assert_array_equal(read_image(turned(smooth, orientation, "JPEG"), spec), x)


def test_a_grey_photograph_that_is_stored_in_colour_is_grey() -> None:
    data = saved(Image.fromarray(np.repeat(np.repeat(GREY_AS_COLOUR, 8, 0), 8, 1)), "JPEG", quality=80)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
    assert read_pixels(data, "one.jpg").shape == (8 * H, 8 * W, 1)


def test_the_first_image_of_a_photograph_with_its_thumbnails_is_read() -> None:
    data = saved(Image.fromarray(COLOUR), "MPO", save_all=True, append_images=[Image.fromarray(COLOUR[:3, :3])])
    assert read_pixels(data, "one.jpg").shape == (H, W, 3)


@pytest.mark.parametrize("case", REFUSED)
def test_training_scoring_and_the_service_refuse_the_same_files(case: str, tmp_path: Path) -> None:
    data, said = REFUSED[case]
    path = tmp_path / "folder" / "one.png"
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"^{path}: {said}"):
        read(str(path.parent))
    for channels in (1, 3):
        spec = ImageSpec(height=H, width=W, channels=channels)  # type: ignore[arg-type]  # one of the literals
        (chunk,) = open_source(path.parent, spec, 4).chunks()
        assert chunk.faults[0] is not None
        with pytest.raises(InputError, match=rf"^one\.png: {said}"):
            raise InputError(f"one.png: {chunk.faults[0]}")
        if len(data) <= 4 * spec.dim + 65_536:  # the service refuses larger files unread
            with pytest.raises(InputError, match=f"^row 0: {said}"):
                read_image(data, spec)


def test_a_16_bit_colour_image_is_refused_although_pillow_cuts_it_to_8() -> None:
    rows = b"".join(b"\0" + bytes(6 * W) for _ in range(H))
    header = W.to_bytes(4, "big") + H.to_bytes(4, "big") + b"\x10\2\0\0\0"
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(c).to_bytes(4, "big") + k + c + zlib.crc32(k + c).to_bytes(4, "big") for k, c in chunks
    )
    with pytest.raises(InputError, match="more than 8 bits per channel"):
        read_pixels(data, "one.png")


def test_a_flipped_bit_in_the_pixels_of_a_png_is_found() -> None:
    data = png(np.random.default_rng(0).integers(0, 8, (30, 30), dtype=np.uint8) * 32)
    start = data.index(b"IDAT") + 4
    for at in range(start, len(data) - 12):  # up to the end of the checksum
        flipped = data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]
        with pytest.raises(InputError, match=r"^one\.png: damaged image file: the checksum of its pixels is wrong$"):
            read_pixels(flipped, "one.png")


@pytest.mark.parametrize("data", [png(COLOUR), palette(COLOUR), INK, png(np.dstack([COLOUR, OPAQUE]))])
def test_colour_never_becomes_grey(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^row 0: image of mode \w+ is in colour, but the model's images are grey$"):
        read_image(data, spec_of(GREY))


def test_transparency_is_read_by_a_model_that_has_it() -> None:
    spec = ImageSpec(height=H, width=W, channels=4)
    np.testing.assert_array_equal(read_image(png(np.dstack([COLOUR, GLASS])), spec)[..., 3], GLASS)


def test_another_size_is_refused_or_scaled() -> None:
    large = np.repeat(np.repeat(COLOUR, 4, axis=0), 4, axis=1)
    with pytest.raises(InputError, match=r"^row 0: image of 36 x 24 pixels, expected 9 x 6 \(width x height\)$"):
        read_image(png(large), spec_of(COLOUR))
    with pytest.raises(InputError, match="image of 6 x 9 pixels, expected 9 x 6"):
        read_image(png(np.swapaxes(COLOUR, 0, 1)), spec_of(COLOUR))
    scaled = read_image(png(large), spec_of(COLOUR, resize=True))
    np.testing.assert_array_equal(scaled, read_pixels(png(large), "one.png", size=(W, H)))
    assert np.abs(scaled.astype(int) - COLOUR).mean() < 20
    np.testing.assert_array_equal(read_image(png(COLOUR), spec_of(COLOUR, resize=True)), COLOUR)


def test_the_service_bounds_the_pixels_that_it_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    import base64

    from vaekit_service.codecs.image import files as images

    monkeypatch.setattr(images, "MOST_PIXELS", 3 * H * W)
    files = [base64.b64encode(png(GREY)).decode()] * 4
    spec = spec_of(GREY, resize=True)
    assert images.read_images(files[:3], spec).shape == (3, H, W, 1)
    with pytest.raises(
        InputError, match=r"^row 3: image of 9 x 6 pixels; with it, the images of the request have more"
    ):
        images.read_images(files, spec)
    assert images.read_images(files, spec_of(GREY)).shape == (4, H, W, 1)


def test_hidden_and_other_files_are_skipped_and_counted() -> None:
    names = [
        "b.png",
        "a/c.JPG",
        ".ipynb_checkpoints/b.png",
        "._b.png",
        "_old/x.jpeg",
        "b.bmp",
        "a/notes.txt",
        "a/.x/y.png",
    ]
    images, said = select(names)
    assert images == ["a/c.JPG", "b.png"]
    assert said == (
        "skipped 6 files: 4 in names that start with . or _ (._b.png, ...); 2 not .png, .jpg, .jpeg (a/notes.txt, ...)"
    )
    assert select(["b.png"]) == (["b.png"], None)
    assert select(["b.png", "x.bmp"])[1] == "skipped 1 file: 1 not .png, .jpg, .jpeg (x.bmp)"


@pytest.mark.parametrize(("name", "label"), [("a.png", None), ("good/a.png", "good"), ("good/1/a.png", "good")])
def test_a_class_is_the_first_folder_of_a_path(name: str, label: str | None) -> None:
    assert class_of(name) == label


def written(pixels: NDArray[Any], rows: int, *, interlaced: bool = False) -> bytes:
    """A PNG whose complete zlib stream has the bytes of only the first rows; Pillow cannot write interlaced ones."""
    height, width, channels = pixels.shape
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in passes]
    lines = [b"\0" + row.tobytes() for part in parts if part.size for row in part]
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, int(interlaced))
    lines = lines[: rows if not interlaced else len(lines) - (height - rows)]
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")]
    framed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(c, zlib.crc32(k))) for k, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    "pixels", [GREY[..., None], COLOUR, GREY[:2, :1, None], np.full((400, 300, 3), [0, 0, 1], np.uint8)]
)
def test_a_png_that_ends_before_its_last_row_is_refused(pixels: NDArray[Any], interlaced: bool) -> None:
    h, w, c = pixels.shape
    whole = written(pixels, h, interlaced=interlaced)
    np.testing.assert_array_equal(read_pixels(whole, "one.png"), pixels)
    spec = ImageSpec(height=h, width=w, channels=c)
    for reader in (lambda data: read_pixels(data, "row 0"), lambda data: read_image(data, spec)):
        with pytest.raises(InputError, match=r"^row 0: damaged image file: it ends before its last row of pixels$"):
            reader(written(pixels, h - 1, interlaced=interlaced))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 31])
def test_a_whole_png_of_any_mode_and_width_is_read(mode: str, width: int) -> None:
    image = Image.new("RGBA", (width, 5), (9, 9, 9, 255)).convert(mode)
    assert read_pixels(saved(image), "one.png").shape[:2] == (5, width)
