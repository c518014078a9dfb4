"""The fast path gives the same answers as FastAPI, and runs code of few modules."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import vaekit_service
from vaekit_service.http.fast_path import MAX_PATH_LENGTH, find
from vaekit_service.http.routes import make_handlers, operations_router
from vaekit_service.http.v2.routes import infer_router

pytestmark = pytest.mark.anyio
ROW = [1.0] * 30
INFER = {"inputs": [{"name": "inputs", "shape": [1, 30], "datatype": "FP64", "data": ROW}]}


async def ask(app: Any, path: str, body: bytes, *, root_path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of a POST over plain ASGI. With a root path the request goes through FastAPI."""
    sent: list[Any] = []
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        return next(messages, None) or await asyncio.Event().wait()  # the caller does not disconnect

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", b"same"),
    ]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "query_string": b""}
    await app({**scope, "path": root_path + path, "root_path": root_path, "headers": headers}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/elbo", {"inputs": [ROW]}),
        ("/elbo", {"inputs": [ROW], "log_evidence": False}),
        ("/models/breast-cancer/encode", {"inputs": [ROW]}),
        ("/models/digits/versions/1/sample", {"n": 2, "seed": 3}),
        ("/v2/models/breast-cancer/infer", INFER),
        ("/v2/models/breast-cancer.encode/versions/1/infer", INFER),
        ("/v2/models/nobody/infer", INFER),
        ("/models/nobody/elbo", {"inputs": [ROW]}),
        ("/elbo", {"inputs": [ROW[:3]]}),
        ("/models/" + "x" * MAX_PATH_LENGTH + "/elbo", {}),
    ],
)
async def test_both_paths_give_the_same_answer(service: Any, path: str, body: Any) -> None:
    app = service.app
    fast = await ask(app, path, json.dumps(body).encode(), root_path="")
    slow = await ask(app, path, json.dumps(body).encode(), root_path="/proxied")
    assert fast[0] == slow[0]
    assert fast[1].keys() == slow[1].keys()
    for name in fast[1].keys() - {b"server-timing"}:  # which differs from request to request
        assert fast[1][name] == slow[1][name]
    assert json.loads(fast[2]) == json.loads(slow[2])
    assert [line["route"] for line in service.lines()[-2:]] == [service.lines()[-1]["route"]] * 2


def test_the_fast_path_matches_only_the_paths_of_its_routes(service: Any) -> None:
    routes = operations_router(make_handlers(service.components)).routes
    for path, template in {
        "/decode": "/decode",
        "/models/a/sample": "/models/{name}/sample",
        "/models/a/versions/2/elbo": "/models/{name}/versions/{version}/elbo",
    }.items():
        found = find(routes, path)
        assert found is not None
        assert found["route"].path == template
    assert find(routes, "/elbo", "PUT") is not None
    infer = infer_router(service.components).routes
    assert find(infer, "/v2/models/a.encode/infer") is not None
    assert find(infer, "/v2/models/a/infer", "PUT") is None  # the router answers 405
    for path in ("/", "/models", "/elbo/", "/models/a", "/models/a/versions/elbo", "/healthz", "/encode/elbo"):
        assert find(routes, path) is None


async def test_a_warm_request_runs_code_of_at_most_21_modules(service: Any) -> None:
    body, home = json.dumps({"inputs": [ROW]}).encode(), str(Path(vaekit_service.__file__).parent)
    files = set[str]()

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(home):
            files.add(frame.f_code.co_filename)

    for _ in range(5):
        await ask(service.app, "/elbo", body, root_path="")
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        await ask(service.app, "/elbo", body, root_path="")
    finally:
        sys.setprofile(before)
    assert 10 <= len(files) <= 21, sorted(files)
