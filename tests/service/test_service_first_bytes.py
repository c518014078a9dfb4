"""Files as curl sends them without a word on their type, and JSON as Windows editors write it."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer

from vaekit_service.http.fast_path import METHODS

pytestmark = pytest.mark.anyio
ROW = [1.0] * 30
PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)
UNSTATED = [
    *(None, "", "application/octet-stream", "Application/Octet-Stream; x=y"),
    *("binary/octet-stream", "application/x-www-form-urlencoded"),
]


def image(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, kind)
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([ROW]))
    return out.getvalue()


def table() -> bytes:
    out = io.BytesIO()
    batch = pa.record_batch({name: [1.0] for name in load_breast_cancer().feature_names})
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return out.getvalue()


FILES = {
    "png": ("digits", "image/png", image("PNG")),
    "jpeg": ("digits", "image/jpeg", image("JPEG")),
    "npy": ("breast-cancer", "application/x-npy", npy()),
    "arrow": ("breast-cancer", "application/vnd.apache.arrow.stream", table()),
}


def headers(kind: str | None) -> dict[str, str]:
    return {} if kind is None else {"content-type": kind}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stated", UNSTATED)
@pytest.mark.parametrize("file", FILES)
async def test_a_file_of_no_stated_type_is_known_by_its_first_bytes(
    service: Any, method: str, stated: str | None, file: str
) -> None:
    model, kind, body = FILES[file]
    url = f"/models/{model}/elbo?num_samples=4"
    want = await service.http.post(url, content=body, headers=headers(kind))
    got = await service.http.request(method, url, content=body, headers=headers(stated))
    assert (got.status_code, got.json()) == (want.status_code, want.json())
    assert got.status_code == 200, got.text


@pytest.mark.parametrize(("stated", "file"), [("image/jpg", "jpeg"), ("Image/PJPEG", "jpeg"), ("image/x-png", "png")])
async def test_other_names_of_image_types_mean_the_same(service: Any, stated: str, file: str) -> None:
    got = await service.http.post("/models/digits/elbo", content=FILES[file][2], headers=headers(stated))
    assert got.status_code == 200, got.text


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/elbo", b"", "content-type ''"),
        ("/elbo", b"no file", "content-type ''"),
        ("/elbo", b"GIF89a", "content-type ''"),
        ("/elbo", b' {"inputs": []}', "this body looks like JSON: add the header content-type: application/json"),
        ("/sample", image("PNG"), "/sample"),
        ("/decode", image("PNG"), "/decode"),
    ],
)
async def test_a_body_of_no_stated_type_that_is_no_such_file_is_refused(
    service: Any, path: str, body: bytes, said: str
) -> None:
    reply = await service.http.post(path, content=body)
    assert (reply.status_code, said in reply.json()["detail"]) == (415, True), reply.text


async def test_a_stated_type_is_believed_whatever_the_first_bytes(service: Any) -> None:
    reply = await service.http.post("/models/digits/elbo", content=image("PNG"), headers=headers("application/json"))
    assert reply.status_code == 400
    reply = await service.http.post("/models/digits/elbo", content=image("PNG"), headers=headers("text/plain"))
    assert reply.status_code == 415


@pytest.mark.parametrize("path", ["/elbo", "/models/breast-cancer/elbo", "/models/breast-cancer/versions/1/elbo"])
@pytest.mark.parametrize("root_path", ["", "/proxied"])
async def test_put_is_answered_as_post_is(service: Any, path: str, root_path: str) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps({"inputs": [ROW]}).encode(), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "1.1", "method": "PUT", "scheme": "http", "query_string": b""}
    scope |= {"path": root_path + path, "root_path": root_path, "headers": [(b"content-type", b"application/json")]}
    await service.app(scope, receive, send)
    want = await service.post(path, {"inputs": [ROW]})
    assert (sent[0]["status"], json.loads(sent[1]["body"])) == (200, want.json())
    assert service.lines()[-2]["method"] == "PUT"


@pytest.mark.parametrize("operation", ["elbo", "encode", "decode", "sample"])
async def test_a_byte_order_mark_before_json_is_passed_over(service: Any, operation: str) -> None:
    body = {"decode": {"latents": [[0.0] * 8]}, "sample": {"n": 1, "seed": 0}}.get(operation, {"inputs": [ROW]})
    for text in (json.dumps(body), json.dumps(body, indent=2), "\n" + json.dumps(body)):
        want = await service.post(f"/{operation}", text)
        got = await service.post(f"/{operation}", text.encode("utf-8-sig"))
        assert (got.status_code, got.json()) == (want.status_code, want.json()) == (200, want.json())


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-32"])
async def test_json_in_another_coding_is_refused_by_name(service: Any, coding: str) -> None:
    reply = await service.post("/elbo", "\ufeff".encode(coding) + json.dumps({"inputs": [ROW]}).encode(coding))
    assert reply.status_code == 400
    assert "UTF-8" in reply.json()["detail"], reply.text
