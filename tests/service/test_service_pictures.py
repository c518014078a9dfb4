"""Bodies that are one image file, as curl --data-binary @file sends them."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.anyio

PIXELS = (np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)[::-1]


def file(kind: str = "PNG", pixels: Any = PIXELS) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


async def post(service: Any, path: str, body: bytes, kind: str = "image/png") -> httpx.Response:
    return await service.http.post(path, content=body, headers={"content-type": kind})


@pytest.mark.parametrize("operation", ["encode", "elbo"])
@pytest.mark.parametrize(("kind", "name"), [("image/png", "PNG"), ("image/jpeg", "JPEG")])
async def test_an_image_body_gets_the_same_reply_as_base64_in_json(
    service: Any, operation: str, kind: str, name: str
) -> None:
    body = file(name)
    raw = await post(service, f"/models/digits/{operation}", body, kind)
    assert raw.status_code == 200, raw.text
    as_json = await service.post(f"/models/digits/{operation}", {"inputs": [base64.b64encode(body).decode()]})
    assert raw.json() == as_json.json()


async def test_an_image_body_takes_query_options_and_may_get_an_npy_reply(service: Any) -> None:
    headers = {"content-type": "image/png", "accept": "application/x-npy"}
    url = "/models/digits/elbo?num_samples=8&features=true"
    reply = await service.http.post(url, content=file(), headers=headers)
    records = np.load(io.BytesIO(reply.content))
    assert reply.headers["vae-num-samples"] == "8"
    assert records.shape == (1,)
    assert records["feature_log_likelihood"].shape == (1, 8, 8, 1)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/models/breast-cancer/elbo", file(), 415, "model 'breast-cancer' accepts rows of 30 columns, not images"),
        ("/models/digits/decode", file(), 415, "/decode accepts application/json, application/x-npy"),
        ("/models/digits/sample", file(), 415, "/sample accepts application/json"),
        ("/models/digits/elbo", file(pixels=PIXELS[:, :7]), 422, "row 0: image of 7 x 8 pixels, expected 8 x 8"),
        (
            "/models/digits/elbo",
            file(pixels=np.stack([PIXELS, PIXELS, 255 - PIXELS], -1)),
            422,
            "row 0: image of mode RGB",
        ),
        ("/models/digits/elbo", b"no image", 422, "row 0: not a readable PNG or JPEG file"),
        ("/models/digits/elbo", b"", 422, "row 0: not a readable PNG or JPEG file"),
        ("/models/digits/elbo", file()[:50], 422, "row 0: damaged image file"),
        ("/models/digits/elbo?draws=3", file(), 422, "draws"),
        ("/models/digits/elbo?num_samples=many", file(), 422, "'num_samples': \"many\" is not a number"),
    ],
)
async def test_an_image_that_the_model_does_not_accept_is_refused(
    service: Any, path: str, body: bytes, status: int, said: str
) -> None:
    reply = await post(service, path, body)
    assert (reply.status_code, said in reply.json()["detail"]) == (status, True), reply.text
