"""Forms of many image files, images of other sizes, and replies that are a sheet of images."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.service.conftest import Run, Running
from vaekit.client.wire import CSV_TYPE, NDJSON_TYPE, NPY_TYPE, PNG_TYPE, ElboReply
from vaekit.errors import VaeError
from vaekit.runtime import Model
from vaekit_service.codecs.image import form as form_codec
from vaekit_service.codecs.image import sheet as sheet_codec
from vaekit_service.errors import TooLarge
from vaekit_service.messages import Target

pytestmark = pytest.mark.anyio
ELBO, ENCODE = "/models/digits/elbo", "/models/digits/encode"


def png(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> bytes:
    image = Image.fromarray(pixels[..., 0])
    file = io.BytesIO()
    (image if size is None else image.resize(size, Image.Resampling.NEAREST)).save(file, "PNG")
    return file.getvalue()


def form(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (name, content, "image/png")) for name, content in files]


@pytest.fixture
async def digits_only(start: Run, models_dir: Path) -> AsyncIterator[Running]:
    async with start(models_dir, default_model="digits", max_rows=3) as service:
        yield service


async def test_each_file_of_a_form_is_a_row_with_its_name_as_id(service: Any, digit_images: Any) -> None:
    files = form(*((f"digit {i}.png", png(digit_images[i])) for i in range(3)))
    want = (await service.post(ELBO, {"inputs": digit_images[:3].tolist()})).json()
    reply = await service.http.post(ELBO, files=files)
    assert reply.status_code == 200, reply.text
    assert ElboReply.model_validate(reply.json()).elbo == want["elbo"]
    assert reply.json()["ids"] == ["digit 0.png", "digit 1.png", "digit 2.png"]
    lines = (await service.http.post(ELBO, files=files, headers={"accept": NDJSON_TYPE})).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == reply.json()["ids"]
    found = np.load(io.BytesIO((await service.http.post(ENCODE, files=files, headers={"accept": NPY_TYPE})).content))
    assert found["id"].tolist() == reply.json()["ids"]
    own = (await service.http.post(f"{ELBO}?ids=[1,2,3]&alpha=0.2", files=files)).json()
    assert (own["ids"], own["alpha"]) == ([1, 2, 3], 0.2)


async def test_a_part_without_a_file_name_has_the_name_of_its_field(service: Any, digit_images: Any) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="left"\r\nContent-Type: image/png\r\n\r\n'
        + png(digit_images[0])
        + b"\r\n--b--\r\n"
    )
    headers = {"content-type": 'multipart/form-data; boundary="b"'}
    reply = await service.http.put(ELBO, content=body, headers=headers)
    assert reply.json()["ids"] == ["left"]


async def test_invalid_files_of_a_form_are_reported_with_their_names(service: Any, digit_images: Any) -> None:
    files = form(("good.png", png(digit_images[0])), ("bad.png", b"GIF89a"), ("big.png", png(digit_images[1], (9, 9))))
    refused = await service.http.post(ELBO, files=files)
    assert refused.json()["detail"] == "row 1 (bad.png): not a readable PNG or JPEG file"
    reply = (await service.http.post(f"{ELBO}?errors=report", files=files)).json()
    assert [(one["id"], one["reason"]) for one in reply["errors"]] == [
        ("bad.png", "not a readable PNG or JPEG file"),
        ("big.png", "image of 9 x 9 pixels, expected 8 x 8 (width x height)"),
    ]
    assert reply["ids"] == ["good.png", None, None]


@pytest.mark.parametrize(
    ("files", "data", "status", "said"),
    [
        ([("a", ("a.png", b"", "image/png"))], {}, 422, "row 0 (a.png): "),
        ([], {"alpha": "0.1"}, 415, "content-type"),
        ([("a", ("a.png", b"x", "image/png"))], {"alpha": "0.1"}, 422, "field 'alpha': expected an image file"),
        ([("a", ("x" * 129, b"x", "image/png"))], {}, 422, "a file name of more than 128 characters"),
        ([("a", ("a.png", b"x", "image/png"))] * 4, {}, 413, "more than 3 files"),
    ],
)
async def test_what_is_no_file_is_refused(digits_only: Any, files: Any, data: Any, status: int, said: str) -> None:
    reply = await digits_only.http.post("/elbo", files=files, data=data)
    assert (reply.status_code, said in reply.json()["detail"]) == (status, True), reply.text


async def test_a_form_is_for_images_and_needs_its_boundary(service: Any) -> None:
    reply = await service.http.post("/elbo", files=form(("a.png", b"x")))
    assert (reply.status_code, "not images" in reply.json()["detail"]) == (415, True)
    headers = {"content-type": "multipart/form-data"}
    reply = await service.http.post(ELBO, content=b"x", headers=headers)
    assert (reply.status_code, "boundary is missing" in reply.json()["detail"]) == (415, True)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for body in (b"", b"--b", b"nonsense", b"--b\r\n\r\nx"):
        reply = await service.http.post(ELBO, content=body, headers=headers)
        assert reply.status_code in (400, 422), (body, reply.text)


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"--b", b"--b--", b"\r\n", b":"]),
            st.just(b'Content-Disposition: form-data; name="a"; filename="b"'),
        ),
        max_size=12,
    )
)
def test_whatever_a_form_holds_is_read_or_refused(digits: Model, parts: list[bytes]) -> None:
    target = Target("elbo", digits.manifest, 3)
    for body in (b"".join(parts), b"--b\r\n" + b"\r\n".join(parts) + b"\r\n--b--\r\n"):
        try:
            form_codec.read(b"b", body, {}, target)
        except VaeError:
            continue


async def test_images_of_another_size_are_scaled_on_request(service: Any, digit_images: Any) -> None:
    large = png(digit_images[0], (16, 16))
    headers = {"content-type": PNG_TYPE}
    refused = await service.http.put(ELBO, content=large, headers=headers)
    assert "image of 16 x 16 pixels, expected 8 x 8" in refused.json()["detail"]
    want = (await service.post(ELBO, {"inputs": digit_images[:1].tolist()})).json()
    reply = await service.http.put(f"{ELBO}?resize=true", content=large, headers=headers)
    assert ElboReply.model_validate(reply.json()).image_size == [[16, 16]]
    assert reply.json()["resize"] == "bilinear"
    assert "resize" not in want
    np.testing.assert_allclose(reply.json()["elbo"], want["elbo"], atol=15)  # averaged pixels, not the same ones
    same = await service.http.put(f"{ELBO}?resize=true", content=png(digit_images[0]), headers=headers)
    assert (same.json()["image_size"], same.json()["elbo"]) == ([[8, 8]], want["elbo"])
    reply = await service.http.put(f"{ELBO}?resize=true", content=large, headers={**headers, "accept": CSV_TYPE})
    assert reply.headers["vae-resize"] == "bilinear"
    assert "image_size.0,image_size.1" in reply.text.splitlines()[0]


async def test_files_in_json_and_ndjson_are_scaled_as_in_training(service: Any, digit_images: Any) -> None:
    import base64

    from vaekit.tabular.image_files import read_pixels

    file = png(digit_images[3], (13, 21))
    pixels = read_pixels(file, "it", size=(8, 8))  # what training with --resize reads
    want = (await service.post(ELBO, {"inputs": [pixels.tolist()]})).json()["elbo"]
    text = base64.b64encode(file).decode()
    reply = (await service.post(ELBO, {"inputs": [text], "resize": True})).json()
    assert (reply["elbo"], reply["image_size"]) == (want, [[13, 21]])
    headers = {"content-type": NDJSON_TYPE, "accept": NDJSON_TYPE}
    body = json.dumps(text) + "\n" + json.dumps(digit_images[0].tolist())
    reply = await service.http.post(f"{ELBO}?resize=true", content=body, headers=headers)
    first, second = map(json.loads, reply.text.splitlines())
    assert (first["elbo"], first["image_size"], second["image_size"]) == (want[0], [13, 21], [8, 8])
    reply = await service.post(ELBO, {"inputs": [text, "!"], "resize": True, "errors": "report"})
    assert reply.json()["image_size"] == [[13, 21], None]
    refused = await service.post("/elbo", {"inputs": [[1.0] * 30], "resize": True})
    assert refused.json()["detail"] == "resize: this model accepts rows, not images; leave it out"


def opened(reply: httpx.Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == PNG_TYPE
    return Image.open(io.BytesIO(reply.content))


async def test_samples_and_decoded_images_can_be_one_sheet(service: Any) -> None:
    body = {"n": 5, "seed": 1}
    drawn = (await service.post("/models/digits/sample", body)).json()
    reply = await service.http.post("/models/digits/sample", json=body, headers={"accept": PNG_TYPE})
    sheet = opened(reply)
    assert reply.headers["vae-seed"] == "1"
    at = sheet.crop((6, 6, 6 + 96, 6 + 96)).resize((8, 8), Image.Resampling.NEAREST).convert("L")
    np.testing.assert_array_equal(np.asarray(at), np.rint(np.array(drawn["samples"][0])[..., 0]))
    latents = {"latents": drawn["latents"]}
    opened(await service.http.post("/models/digits/decode", json=latents, headers={"accept": "image/*"}))


async def test_a_sheet_of_elbo_shows_where_an_image_is_surprising(service: Any, digit_images: Any) -> None:
    odd = digit_images[0].copy()
    odd[0, 7] = 255  # a corner that is always black
    body = {"inputs": [odd.tolist()], "features": True}
    surprise = -np.array((await service.post(ELBO, body)).json()["feature_log_likelihood"])[0, ..., 0]
    assert np.unravel_index(surprise.argmax(), (8, 8)) == (0, 7)
    sheet = opened(await service.http.post(ELBO, json={"inputs": [odd.tolist()]}, headers={"accept": PNG_TYPE}))
    shown, decoded, heat = (
        np.asarray(sheet.crop((6 + j * 99, 6, 102 + j * 99, 102)).resize((8, 8), Image.Resampling.NEAREST))
        for j in range(3)
    )
    np.testing.assert_array_equal(shown[..., 0], odd[..., 0])
    mu = (await service.post(ENCODE, {"inputs": [odd.tolist()]})).json()["mu"]
    mean = (await service.post("/models/digits/decode", {"latents": mu})).json()["mean"]
    np.testing.assert_allclose(decoded[..., 0], np.array(mean)[0, ..., 0], atol=1)
    np.testing.assert_array_equal(heat, sheet_codec.heatmap(surprise, surprise.min(), surprise.max()))
    assert heat[0, 7].tolist() == [252, 255, 164]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (ENCODE, {"inputs": []}, "/encode answers latent vectors, which are no images"),
        ("/sample", {"n": 1}, "model 'breast-cancer' has rows of 30 columns, not images"),
        ("/elbo", {"inputs": []}, "model 'breast-cancer' has rows of 30 columns, not images"),
    ],
)
async def test_what_is_no_image_has_no_sheet(service: Any, path: str, body: Any, said: str) -> None:
    refused = await service.http.post(path, json=body, headers={"accept": PNG_TYPE})
    assert (refused.status_code, said in refused.json()["detail"]) == (406, True)
    assert "reply types are application/json" in refused.json()["detail"]


async def test_a_browser_that_prefers_images_gets_json_of_a_table(service: Any) -> None:
    accept = "image/avif,image/webp,image/png,*/*;q=0.8"
    reply = await service.http.post("/sample", json={"n": 1}, headers={"accept": accept})
    assert reply.headers["content-type"] == "application/json"


async def test_a_sheet_has_no_place_for_reasons(service: Any, digit_images: Any) -> None:
    body = {"inputs": digit_images[:1].tolist(), "errors": "report"}
    refused = await service.http.post(ELBO, json=body, headers={"accept": PNG_TYPE})
    assert refused.status_code == 406


def test_a_sheet_shrinks_its_images_until_they_fit() -> None:
    assert sheet_codec._layout(1, 1, 8, 8) == (12, 1)
    times, columns = sheet_codec._layout(10_000, 1, 28, 28)
    assert times == 1
    assert 50 <= columns <= 200
    with pytest.raises(TooLarge, match="do not fit on a sheet"):
        sheet_codec._layout(10_000, 3, 224, 224)


def test_colours_get_lighter_with_the_surprise() -> None:
    colours = sheet_codec.heatmap(np.linspace(0.0, 1.0, 50), 0.0, 1.0) @ [0.299, 0.587, 0.114]
    assert (np.diff(colours) > 0).all()
    assert sheet_codec.heatmap(np.zeros((2, 2)), 0.0, 0.0).shape == (2, 2, 3)
