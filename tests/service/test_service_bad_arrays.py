"""Error replies to bad images and npy arrays."""

from __future__ import annotations

import base64
import io
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vaekit_service.codecs.image import options as image_options

pytestmark = pytest.mark.anyio


def png(array: NDArray[np.uint8], **options: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", **options)
    return base64.b64encode(file.getvalue()).decode()


def two_frames() -> str:
    file = io.BytesIO()
    first, second = (Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in (0, 255))
    first.save(file, "PNG", save_all=True, append_images=[second])
    return base64.b64encode(file.getvalue()).decode()


def huge_header() -> str:
    """A PNG whose header declares 4 gigapixels."""
    data = bytearray(base64.b64decode(png(np.zeros((8, 8), np.uint8))))
    data[16:24] = (65535).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return base64.b64encode(bytes(data)).decode()


def with_chunk(kind: bytes, content: bytes) -> str:
    """A valid PNG with another chunk before its pixels."""
    data = base64.b64decode(png(np.zeros((8, 8), np.uint8)))
    chunk = kind + content
    chunk = len(content).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return base64.b64encode(data[:33] + chunk + data[33:]).decode()


UNPACKS = zlib.compress(bytes(2**20 + 1))
GIF = base64.b64encode(b"GIF89a\x08\x00\x08\x00\x80\x00\x00").decode()
PICTURES: dict[str, tuple[Callable[[], Any], str]] = {
    "another size": (lambda: png(np.zeros((9, 8), np.uint8)), "image of 8 x 9 pixels, expected 8 x 8"),
    "colour for grey": (
        lambda: png(np.full((8, 8, 3), [9, 0, 0], np.uint8)),
        "mode RGB is in colour, but the model's images are grey",
    ),
    "two frames": (two_frames, "image of 2 frames, expected one"),
    "a bomb": (huge_header, "not a readable PNG or JPEG file"),
    "another format": (lambda: GIF, "not a readable PNG or JPEG"),
    "half a file": (lambda: png(np.zeros((8, 8), np.uint8))[:60], "damaged image file"),
    "compressed text": (
        lambda: with_chunk(b"zTXt", b"a\0\0" + UNPACKS),
        "metadata (zTXt) that unpack to more than 1,048,576 bytes",
    ),
    "compressed Unicode": (
        lambda: with_chunk(b"iTXt", b"a\0\1\0\0\0" + UNPACKS),
        "metadata (iTXt) that unpack to more than",
    ),
    "a compressed profile": (
        lambda: with_chunk(b"iCCP", b"a\0\0" + UNPACKS),
        "metadata (iCCP) that unpack to more than",
    ),
    "much besides the pixels": (lambda: with_chunk(b"tEXt", b"a\0" + b"b" * 2**17), "image file of 131"),
    "no base64": (lambda: "not base64!", 'row 0: "not base64!" is not base64'),
    "a data URI": (lambda: "data:image/png;base64,AAAA", "is not base64"),
    "pixels of another size": (lambda: [[[0]] * 8] * 9, "expected (N, 8, 8, 1)"),
    "a pixel of 256": (lambda: [[[256]] + [[0]] * 7] + [[[0]] * 8] * 7, "row 0, pixel (0, 0, 0): should be less"),
    "a pixel of 1.5": (lambda: [[[1.5]] + [[0]] * 7] + [[[0]] * 8] * 7, "row 0, pixel (0, 0, 0): not an integer"),
    "a pixel that is true": (lambda: [[[True]] + [[0]] * 7] + [[[0]] * 8] * 7, "row 0, pixel (0, 0, 0): not an"),
}


@pytest.mark.parametrize("case", PICTURES)
async def test_a_bad_image_gets_an_error_that_names_the_row(service: Any, case: str) -> None:
    make, detail = PICTURES[case]
    reply = await service.post("/models/digits/encode", {"inputs": [make()]})
    assert reply.status_code == 422
    assert detail in reply.json()["detail"]


async def test_uncompressed_metadata_is_ignored(service: Any) -> None:
    body = {"inputs": [with_chunk(b"tEXt", b"Author\0nobody")]}
    assert (await service.post("/models/digits/encode", body)).status_code == 200


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
async def test_compressed_metadata_of_ordinary_size_are_ignored(service: Any, kind: bytes) -> None:
    head = b"a\0\1\0\0\0" if kind == b"iTXt" else b"a\0\0"
    body = {"inputs": [with_chunk(kind, head + zlib.compress(bytes(50_000)))]}
    assert (await service.post("/models/digits/encode", body)).status_code == 200


async def test_images_are_decoded_in_a_thread_within_the_deadline(
    start: Any, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = threading.Event()

    def held(*_: Any, **__: Any) -> Any:
        assert leave.wait(30)

    monkeypatch.setattr(image_options, "read_each", held)
    async with start(models_dir, default_model="digits", answer_seconds=0.01) as service:
        reply = await service.post("/encode", {"inputs": [png(np.zeros((8, 8), np.uint8))]})
        leave.set()
        assert reply.status_code == 504
        assert service.components.memory.held == 0


def npy(array: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def lying_header(shape: str) -> bytes:
    return npy(np.zeros((1, 30))).replace(b"(1, 30)", shape.encode())


def headed(header: str) -> bytes:
    """An npy file with this header and eight bytes of data."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)


ARRAYS: dict[str, tuple[bytes, int, str]] = {
    "another width": (npy(np.zeros((2, 29))), 422, "shape (2, 29), expected (N, 30)"),
    "no rows": (npy(np.zeros((0, 30))), 422, "no rows"),
    "NaN": (npy(np.full((1, 30), np.nan)), 422, "row 0, feature 'mean radius': not finite: nan"),
    "text": (npy(np.array([["1.5"] * 30])), 422, "dtype <U3 is not numeric"),
    "objects": (npy(np.array([[None] * 30]), allow_pickle=True), 422, "dtype |O is not numeric"),
    "records": (npy(np.zeros(3, [("a", "f8")])), 422, "is not numeric"),
    "half the data": (npy(np.zeros((1, 30)))[:-8], 400, "232 bytes of data; an array (1, 30) of float64 has 240"),
    "a shape of terabytes": (lying_header("(10**12,30)"), 400, "not an npy file"),
    "a shape beyond its data": (lying_header("(9, 30)"), 400, "an array (9, 30) of float64 has 2160"),
    "a negative size": (lying_header("(-1,30)"), 400, "not an npy file: its shape is '(-1,30)'"),
    "a size beyond 64 bits": (lying_header("(99999999999999999999, 0)"), 400, "not an npy file: its shape"),
    "a size of all 64 bits": (lying_header("(0, 9223372036854775807)"), 400, "not an npy file: its shape"),
    "a hundred axes": (headed(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {(1,) * 100}}}"), 400, "its shape"),
    "five axes": (headed("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1)}"), 400, "its shape"),
    "no axes": (headed("{'descr': '<f8', 'fortran_order': False, 'shape': ()}"), 400, "its shape is '()'"),
    "a size that is true": (lying_header("(True, 30)"), 400, "its shape is '(True, 30)'"),
    "sizes of Python 2": (lying_header("(1L,30L)"), 400, "its shape is '(1L,30L)'"),
    "a header of minus signs": (headed("-" * 3900 + "1"), 400, "not an npy file: its header is '----"),
    "a header of brackets": (headed("[" * 3500), 400, "not an npy file: its header is '[[[["),
    "a header without end": (b"\x93NUMPY\x01\x00\xff\xff{'descr'", 400, "npy file: its header ends at byte 65545"),
    "a field too many": (
        headed("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'a': True}"),
        400,
        "its header",
    ),
    "a type that is a tuple": (headed("{'descr': ('a',), 'fortran_order': False, 'shape': (1,)}"), 422, "dtype 'a',"),
    "numbers of 24 bits": (headed("{'descr': '<f3', 'fortran_order': False, 'shape': (1,)}"), 422, "dtype <f3 is not"),
    "version 3": (b"\x93NUMPY\x03\x00", 400, "not an npy file of version 1.0 or 2.0"),
    "no npy": (b"PK\x03\x04 and the rest", 400, "not an npy file"),
    "nothing": (b"", 400, "not an npy file"),
}


@pytest.mark.parametrize("case", ARRAYS)
async def test_a_bad_array_gets_an_error_that_says_what_is_wrong(service: Any, case: str) -> None:
    body, status, detail = ARRAYS[case]
    reply = await service.http.post("/elbo?strict=true", content=body, headers={"content-type": "application/x-npy"})
    assert reply.status_code == status
    assert detail in reply.json()["detail"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("num_sample=16", "num_sample: unknown field"),
        ("alpha=nan", "query parameter 'alpha': \"nan\" is not a number, true or false"),
        ("seed=x", "query parameter 'seed': \"x\" is not a number, true or false"),
        ("seed=1_0", "query parameter 'seed': \"1_0\" is not a number, true or false"),
        ("seed=true", "seed: not an integer: true"),
        ("num_samples=8.0", "num_samples: not an integer: 8.0"),
        ("features=yes", "query parameter 'features': \"yes\" is not a number, true or false"),
        ("features=1", "features: not true or false: 1"),
        ("alpha=0.1&alpha=0.2", "query parameter 'alpha': given 2 times, expected once"),
    ],
)
async def test_a_bad_query_option_gets_an_error_that_names_it(service: Any, query: str, detail: str) -> None:
    content, headers = npy(np.ones((1, 30))), {"content-type": "application/x-npy"}
    reply = await service.http.post(f"/elbo?{query}", content=content, headers=headers)
    assert (reply.status_code, reply.json()["detail"][: len(detail)]) == (422, detail)


async def test_latents_that_are_not_numeric_are_refused(service: Any) -> None:
    headers = {"content-type": "application/x-npy"}
    reply = await service.http.post("/decode", content=npy(np.ones((1, 8), bool)), headers=headers)
    assert (reply.status_code, reply.json()["detail"]) == (
        422,
        "latents: dtype |b1 is not numeric; expected integers or floats",
    )
