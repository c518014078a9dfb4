"""What goes the short way in is answered as by the long one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vaekit_service.http.fast_path import LONGEST_PATH, find
from vaekit_service.http.routes import inference_routes

pytestmark = pytest.mark.anyio
ROW = [1.0] * 30


async def ask(app: Any, path: str, body: bytes, *, root_path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of a POST, by ASGI itself; with a root path the request goes the long way."""
    sent: list[Any] = []
    messages = iter([{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

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
        ("/models/nobody/elbo", {"inputs": [ROW]}),
        ("/elbo", {"inputs": [ROW[:3]]}),
        ("/models/" + "x" * LONGEST_PATH + "/elbo", {}),
    ],
)
async def test_both_ways_in_lead_to_the_same_answer(service: Any, path: str, body: Any) -> None:
    app = service.http._transport.app
    short = await ask(app, path, json.dumps(body).encode(), root_path="")
    long = await ask(app, path, json.dumps(body).encode(), root_path="/proxied")
    assert short[0] == long[0]
    assert short[1] == long[1]
    assert json.loads(short[2]) == json.loads(long[2])
    assert [line["route"] for line in service.lines()[-2:]] == [service.lines()[-1]["route"]] * 2


def test_the_short_way_knows_the_paths_of_its_routes_and_no_others(service: Any) -> None:
    routes = inference_routes(service.api)
    for path, template in {
        "/decode": "/decode",
        "/models/a/sample": "/models/{name}/sample",
        "/models/a/versions/2/elbo": "/models/{name}/versions/{version}/elbo",
    }.items():
        found = find(routes, path)
        assert found is not None
        assert found["route"].path == template
    for path in ("/", "/models", "/elbo/", "/models/a", "/models/a/versions/elbo", "/healthz", "/encode/elbo"):
        assert find(routes, path) is None
