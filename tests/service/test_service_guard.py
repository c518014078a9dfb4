"""Every route with every kind of key: who is let in, what the others are told, and what is done for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.routing import iter_route_contexts

from tests.service.keyed import KEYS, TEXT, bearer
from vaekit_service.http.access import SCOPE_OF, AccessTable, needs
from vaekit_service.keys import keyring as keyring_module

pytestmark = pytest.mark.anyio

ROW = [1.0] * 30
BODIES = {
    "encode": {"inputs": [ROW]},
    "decode": {"latents": [[0.0] * 8]},
    "sample": {"n": 1},
    "elbo": {"inputs": [ROW]},
    "infer": {"inputs": [{"name": "inputs", "shape": [1, 30], "datatype": "FP64", "data": ROW}]},
}
V1 = {"{name}:predict": {"instances": [ROW]}}
OPERATIONS = [name for name in BODIES if name != "infer"]
MODEL = {"name": "breast-cancer", "model": "breast-cancer", "version": 1, "region": "r"}
PREFIXES = ("", "/models/{name}", "/models/{name}/versions/{version}")
READ = [
    "/models",
    *PREFIXES[1:],
    *(f"{prefix}/{what}" for prefix in PREFIXES[1:] for what in ("health", "calibration")),
    "/metrics",
    "/docs",
    "/openapi.json",
]
PAGE = ["/", "/page/{path:path}"]
V2_MODEL = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
V2_READ = [
    *("/v2", "/v2/", "/v2/models", "/v2/models/stats"),
    *(f"{path}{what}" for path in V2_MODEL for what in ("", "/config", "/ready", "/stats")),
    *(f"/v2/{kind}sharedmemory/status" for kind in ("system", "cuda")),
]
V2_SETTINGS = ["/v2/logging", "/v2/trace/setting", "/v2/models/{model}/trace/setting"]
V2_MEMORY = [
    f"/v2/{kind}sharedmemory/{path}"
    for kind in ("system", "cuda")
    for path in ("region/{region}/register", "region/{region}/unregister", "unregister")
]
V2_REGIONS = [f"/v2/{kind}sharedmemory/region/{{region}}/status" for kind in ("system", "cuda")]
NOT_DONE = {*V2_SETTINGS, *V2_MEMORY, *V2_REGIONS}  # 501
ADMIN = [
    "keys/reload",
    "models/reload",
    "models/{name}/unpin",
    *(f"models/{{name}}/versions/{{version}}/{action}" for action in ("pin", "load", "unload")),
]
# (method, path template, scope that it needs; None: public)
ROUTES: list[tuple[str, str, str | None]] = [
    *(
        (method, f"{prefix}/{name}", "infer")
        for prefix in PREFIXES
        for name in OPERATIONS
        for method in ("POST", "PUT")
    ),
    *((method, path, "read") for path in READ for method in ("GET", "HEAD")),
    *((method, path, None) for path in ("/healthz", "/readyz", *PAGE) for method in ("GET", "HEAD")),
    *(("GET", path, "read") for path in (*V2_READ, *V2_SETTINGS, *V2_REGIONS)),
    *(("GET", f"/v2/health/{path}", None) for path in ("live", "ready")),
    *(("POST", f"{path}/infer", "infer") for path in V2_MODEL),
    *(("POST", path, "read") for path in ("/v2/repository/index", *V2_SETTINGS, *V2_MEMORY)),
    *(("POST", f"/v2/repository/models/{{model}}/{action}", "admin") for action in ("unload", "load")),
    *(("POST", f"/admin/{path}", "admin") for path in ADMIN),
    ("GET", "/v1/models", "read"),
    ("GET", "/v1/models/{name}", "read"),
    ("POST", "/v1/models/{name}:predict", "infer"),
]
WRONG = ["", "vae_", KEYS["all"][:-1], KEYS["all"] + "x", KEYS["all"].swapcase(), KEYS["all"].upper(), "x" * 8000]


@pytest.fixture(scope="module")
async def guarded(start: Any, models_dir: Path, anyio_backend: str) -> AsyncIterator[Any]:
    """A service with keys and admin routes."""
    assert anyio_backend == "asyncio"
    async with start(models_dir, default_model="breast-cancer", keys=TEXT, admin=True) as running:
        yield running


async def ask(running: Any, method: str, template: str, headers: dict[str, str]) -> Any:
    body = {**BODIES, **V1}.get(template.rpartition("/")[2])
    template = template.replace("{path:path}", "js/main.js")
    return await running.http.request(method, template.format(**MODEL), json=body, headers=headers)


def refused(reply: Any, status: int, title: str, challenge: str) -> None:
    assert reply.status_code == status
    assert reply.headers["www-authenticate"] == f'Bearer realm="vaekit"{challenge}'
    if reply.request.url.path.startswith(("/v1", "/v2")):
        assert reply.headers["content-type"] == "application/json"
        assert list(reply.json()) == ["error"]
    elif reply.request.method != "HEAD":
        assert reply.headers["content-type"] == "application/problem+json"
        problem = reply.json()
        assert (problem["status"], problem["title"]) == (status, title)


async def test_the_table_has_every_route_of_the_app(guarded: Any) -> None:
    routes = {(method, one.path) for one in iter_route_contexts(guarded.app.routes) for method in one.methods or ()}
    assert routes == {(method, path) for method, path, _ in ROUTES}


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_a_route_is_open_to_keys_of_its_scope_only(
    guarded: Any, method: str, path: str, scope: str | None
) -> None:
    for name in ("all", "infer", "read", "admin"):
        reply = await ask(guarded, method, path, bearer(KEYS[name]))
        if scope in (None, name) or name == "all":
            is_serving = path.startswith("/admin") and path.endswith("/unload")  # the only version
            expected = 409 if is_serving else 501 if path in NOT_DONE else 200
            assert reply.status_code == expected, (name, reply.text)
        else:
            refused(reply, 403, "Missing scope", f', error="insufficient_scope", scope="{scope}"')
    for headers in ({}, {"authorization": "Basic dTpw"}, {"authorization": "Bearer"}, bearer("")):
        reply = await ask(guarded, method, path, headers)
        if scope is None:
            assert reply.status_code == 200
        else:
            refused(reply, 401, "Key required", "")
    for key in (*WRONG[1:], KEYS["expired"]):
        reply = await ask(guarded, method, path, bearer(key))
        if scope is None:
            assert reply.status_code == 200
        else:
            refused(reply, 401, "Invalid key", ', error="invalid_token"')


async def test_the_replies_to_an_unknown_and_to_an_expired_key_are_the_same(guarded: Any) -> None:
    replies = [await guarded.http.get("/models", headers=bearer(key)) for key in (WRONG[2], KEYS["expired"])]
    unknown, expired = ({**reply.json(), **reply.headers, "x-request-id": "", "instance": ""} for reply in replies)
    assert unknown == expired
    assert [(line["error"], line.get("key")) for line in guarded.lines()[-2:]] == [
        ("UnknownKey", None),
        ("ExpiredKey", "expired"),
    ]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_of_a_key_may_have_any_case(guarded: Any, scheme: str) -> None:
    headers = {"authorization": f"{scheme} {KEYS['read']}"}
    assert (await guarded.http.get("/models", headers=headers)).status_code == 200


TRAVERSALS = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2fetc",
    "a%00",
    "a\\b",
    "%c0%ae",
    ".",
    "%",
    "x" * 300,
    "%0d%0a",
]


@pytest.mark.parametrize("name", TRAVERSALS)
async def test_no_name_in_a_path_tells_callers_without_a_key_anything(guarded: Any, name: str) -> None:
    """The same 401 for all paths, of models that exist or not; with a key a 404."""
    known = await guarded.http.get("/models/breast-cancer")
    for path in (f"/models/{name}", f"/models/breast-cancer/versions/{name}", f"/{name}", f"/admin/{name}"):
        reply = await ask_raw(guarded.app, "GET", path, None)
        assert reply[0] == 401
        assert {**json.loads(reply[1]), "instance": ""} == {**known.json(), "instance": ""}
        status, content = await ask_raw(guarded.app, "GET", path, KEYS["all"])
        assert status == 404
        assert b"root:" not in content
    for operation in OPERATIONS:
        for path in (f"/models/{name}/{operation}", f"/models/breast-cancer/versions/{name}/{operation}"):
            assert (await ask_raw(guarded.app, "POST", path, None))[0] == 401
            assert (await ask_raw(guarded.app, "POST", path, KEYS["read"]))[0] in (403, 404)
            assert (await ask_raw(guarded.app, "POST", path, KEYS["all"]))[0] == 404


async def ask_raw(app: Any, method: str, path: str, key: str | None, **more: Any) -> tuple[int, bytes]:
    """Status and body over plain ASGI with the path as a server decodes it. Reading the body is an error."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if key is None else [(b"authorization", b"Bearer " + key.encode())]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"10")]
    scope = {"type": "http", "http_version": "1.1", "method": method, "scheme": "http", "query_string": b""}
    raw = {"path": unquote(path, errors="replace"), "raw_path": path.encode(), "root_path": ""}
    await app({**scope, **raw, "headers": headers, **more}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("root_path", ["", "/proxied"], ids=["fast path", "FastAPI"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_body_of_a_refused_request_is_not_read(guarded: Any, name: str, root_path: str) -> None:
    for key, status in ((None, 401), ("vae_wrong", 401), (KEYS["expired"], 401), (KEYS["read"], 403)):
        path = f"{root_path}/models/breast-cancer/{name}"
        assert (await ask_raw(guarded.app, "POST", path, key, root_path=root_path))[0] == status
    assert (await ask_raw(guarded.app, "POST", path, KEYS["infer"], root_path=root_path))[0] == 500  # reads it


@pytest.mark.parametrize(
    "authorization",
    [None, b"Bearer", b"Bearer vae_wrong", *(f"Bearer {key}".encode() for key in KEYS.values())],
    ids=["missing", "empty", "wrong", *KEYS],
)
def test_each_request_is_compared_with_every_key_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, authorization: bytes | None
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = keyring_module.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(keyring_module, "compare_digest", compare)
    ring = keyring_module.Keyring(TEXT, log=None)  # type: ignore[arg-type]  # it does not log
    ring.identify(authorization)
    assert len(compared) == len(KEYS)
    assert {(len(one), len(other)) for one, other in compared} == {(32, 32)}


async def test_public_access_is_what_the_setting_lists(start: Any, models_dir: Path) -> None:
    async def status(running: Any, path: str) -> int:
        return int((await running.http.get(path)).status_code)

    async with start(models_dir, keys=TEXT, public="metrics, read") as running:
        assert [await status(running, path) for path in ("/healthz", "/metrics", "/models", "/docs", "/none")] == [
            401,
            200,
            200,
            401,
            401,
        ]
        assert (await running.http.get("/healthz", headers=bearer(KEYS["read"]))).status_code == 200
    async with start(models_dir, keys=TEXT, public="nothing") as running:
        assert [await status(running, path) for path in ("/healthz", "/readyz")] == [401, 401]
    async with start(models_dir, keys=TEXT, public="infer", default_model="breast-cancer") as running:
        assert (await running.post("/elbo", BODIES["elbo"])).status_code == 200
        assert (await running.http.post("/elbo", json=BODIES["elbo"], headers=bearer("wrong"))).status_code == 200
        assert running.lines()[-1].get("key") is None
        await running.http.post("/elbo", json=BODIES["elbo"], headers=bearer(KEYS["infer"]))
        assert running.lines()[-1]["key"] == "infer"


async def test_readyz_names_no_model_to_callers_without_a_key(start: Any, copied: Path) -> None:
    for graph in (copied / "breast-cancer" / "1").glob("*.onnx"):
        graph.write_bytes(b"")
    async with start(copied, keys=TEXT) as running:
        keys = {"none": "x", "expired": KEYS["expired"], "read": KEYS["read"]}
        replies = {name: await running.http.get("/readyz", headers=bearer(key)) for name, key in keys.items()}
    assert {reply.status_code for reply in replies.values()} == {503}
    assert [name for name, reply in replies.items() if "breast-cancer" in reply.text] == ["read"]


async def test_readyz_lists_models_only_to_callers_that_may_read(start: Any, models_dir: Path) -> None:
    async with start(models_dir, keys=TEXT) as running:
        for key in ("x", KEYS["expired"]):
            assert (await running.http.get("/readyz", headers=bearer(key))).json() == {"status": "ready"}
        listed = (await running.http.get("/readyz", headers=bearer(KEYS["read"]))).json()
    assert (listed["ready"], listed["not_ready"]) == (["breast-cancer", "digits"], {})


async def test_without_keys_everybody_may_infer_and_read_but_not_administrate(service: Any) -> None:
    for method, path, scope in ROUTES:
        reply = await ask(service, method, path, {})
        assert reply.status_code == (404 if scope == "admin" else 501 if path in NOT_DONE else 200), path


async def test_refusals_are_counted_by_reason(start: Any, models_dir: Path) -> None:
    async with start(models_dir, keys=TEXT) as running:
        for key, times in {"": 1, "wrong": 2, KEYS["expired"]: 3, KEYS["infer"]: 4}.items():
            for _ in range(times):
                await running.http.get("/models", headers=bearer(key))
        text = (await running.http.get("/metrics", headers=bearer(KEYS["read"]))).text
    for reason, count in {"MissingKey": 1, "UnknownKey": 2, "ExpiredKey": 3, "MissingScope": 4}.items():
        assert f'vae_key_refusals_total{{reason="{reason}"}} {count}.0' in text


async def test_the_log_has_the_names_of_keys_and_never_a_key(start: Any, models_dir: Path) -> None:
    async with start(models_dir, keys=TEXT, admin=True, default_model="breast-cancer") as running:
        for key in (*KEYS.values(), WRONG[2]):
            await ask(running, "POST", "/elbo", bearer(key))
            await ask(running, "GET", "/models", bearer(key))
            await ask(running, "POST", "/admin/keys/reload", bearer(key))
            await running.http.get(f"/models/{key}?key={key}", headers=bearer(key))
        log = running.log.getvalue()
        names = Counter(line.get("key") for line in running.lines() if line["event"] == "request")
    assert names == dict.fromkeys((*KEYS, None), 4)
    assert not [key for key in (*KEYS.values(), WRONG[2]) if key in log]


async def test_each_call_of_an_admin_route_writes_an_audit_line(start: Any, models_dir: Path) -> None:
    async with start(models_dir, keys=TEXT, admin=True) as running:
        for key in ("", KEYS["read"], KEYS["admin"]):
            await ask(running, "POST", "/admin/keys/reload", bearer(key))
        await running.http.get("/models", headers=bearer(KEYS["read"]))
        audit = [line for line in running.lines() if line["event"] == "audit"]
    found = [(line["key"], line["status"], line["error"], line["client"]) for line in audit]
    assert found == [
        (None, 401, "MissingKey", "127.0.0.1"),
        ("read", 403, "MissingScope", "127.0.0.1"),
        ("admin", 200, None, "127.0.0.1"),
    ]
    assert {(line["method"], line["route"]) for line in audit} == {("POST", "/admin/keys/reload")}


async def test_admin_routes_are_closed_to_everybody_in_an_app_without_keys(start: Any, models_dir: Path) -> None:
    """`vae serve` does not start such an app."""
    async with start(models_dir, admin=True) as running:
        for headers in ({}, bearer(KEYS["admin"])):
            assert (await ask(running, "POST", "/admin/keys/reload", headers)).status_code == 401


async def test_admin_routes_do_not_exist_by_default(start: Any, models_dir: Path) -> None:
    async with start(models_dir, keys=TEXT) as running:
        assert (await ask(running, "POST", "/admin/keys/reload", bearer(KEYS["admin"]))).status_code == 404
        assert (await ask(running, "POST", "/admin/keys/reload", {})).status_code == 401


def test_a_route_that_declares_no_access_stops_the_start() -> None:
    from fastapi import APIRouter

    router = APIRouter()
    router.add_api_route("/open", lambda: None, dependencies=needs("read"))
    assert AccessTable(router.routes).declared["/open", "GET"] == "read"
    router.add_api_route("/forgotten", lambda: None)
    with pytest.raises(AssertionError, match="/forgotten: declare what access it needs"):
        AccessTable(router.routes)


async def test_the_openapi_document_names_the_scope_of_each_operation(guarded: Any) -> None:
    scopes = {path: scope for _, path, scope in ROUTES}
    document = guarded.app.openapi()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation.get("security") == ([] if scopes[path] is None else [{"key": [scopes[path]]}]), path
    assert set(SCOPE_OF.values()) == {"infer", "read", "admin"}


async def test_only_keys_that_may_read_learn_names_of_models(guarded: Any) -> None:
    asked = [("/models/nothing/elbo", 404), ("/models/breast-cancer/versions/7/elbo", 404), ("/nothing/at/all", 404)]
    for path, status in asked:
        for name, learns in (("infer", False), ("all", True)):
            reply = await guarded.http.post(path, json={"inputs": [[1.0]]}, headers=bearer(KEYS[name]))
            told = reply.json()["detail"].replace(path, "").replace("model 'breast-cancer'", "")
            assert (reply.status_code, "digits" in told or "versions: 1" in told) == (status, learns), told
