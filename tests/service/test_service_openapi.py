"""The OpenAPI document is pinned, and every reply of a running service matches it, including problem documents.

openapi_before.json is the handwritten document that FastAPI's replaced. Everything in it must still be there.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from vaekit.bundle.manifest import FORMAT
from vaekit.runtime import device
from vaekit_service.app import create_app
from vaekit_service.http.routes import PREFIXES
from vaekit_service.messages import OPERATIONS
from vaekit_service.settings import Settings

pytestmark = pytest.mark.anyio

PINNED = Path(__file__).with_name("openapi.json")
FORMAT_THEN, FORMAT_NOW = '"default": "1.2"', f'"default": "{FORMAT}"'  # of a bundle; it grows
BEFORE = json.loads(Path(__file__).with_name("openapi_before.json").read_text().replace(FORMAT_THEN, FORMAT_NOW))
RENAMED = {  # schemas of the manifest and of requests
    "ElboObjects": "ElboMixedObjects",
    "ElboRows": "ElboMixedRows",
    "EncodeObjects": "EncodeMixedObjects",
    "EncodeRows": "EncodeMixedRows",
    "Draws": "DrawsFile",
    "File": "SignedFile",
    "Half": "Float16Graphs",
    "Likelihood": "LikelihoodSpec",
    "OddCell": "AnomalousCell",
    "Prior": "PriorSpec",
}
OPERATIONS_BEFORE = [(path, method) for path, item in BEFORE["paths"].items() for method in item]
RENEW = "if the change is meant: python tests/service/test_service_openapi.py"
ROW = [1.0] * 30


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document; it does not depend on the models."""
    return create_app(Settings(models=Path("nowhere"))).openapi()


def schema_of(reply: httpx.Response, template: str) -> dict[str, Any]:
    """The schema of the document for a route, a status and a content type."""
    method = reply.request.method.lower()
    status = str(reply.status_code)
    promised = document()["paths"][template][method]["responses"][status]
    media_type = reply.headers["content-type"].split(";")[0]
    return {**promised["content"][media_type]["schema"], "components": document()["components"]}


def check(reply: httpx.Response, template: str, status: int) -> None:
    assert reply.status_code == status, reply.text
    assert "x-request-id" in reply.headers
    Draft202012Validator(schema_of(reply, template)).validate(reply.json())


def test_the_openapi_document_is_the_pinned_one() -> None:
    assert json.loads(PINNED.read_text()) == document(), RENEW


def test_every_schema_of_the_openapi_document_is_valid() -> None:
    for schema in document()["components"]["schemas"].values():
        validator_for(schema, default=Draft202012Validator).check_schema(schema)


def resolved(schema: Any, of: dict[str, Any]) -> Any:
    """A schema with its references replaced, without titles and descriptions, which may be reworded, and without null
    defaults, which FastAPI leaves out.
    """
    if isinstance(schema, list):
        return [resolved(one, of) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        kind, name = schema["$ref"].split("/")[-2:]
        return resolved(of["components"][kind][name], of)
    kept = {name: value for name, value in schema.items() if (name, value) != ("default", None)}
    words = {name for name in ("title", "description") if isinstance(kept.get(name), str)}
    return {name: resolved(value, of) for name, value in kept.items() if name not in words}


def promised(operation: dict[str, Any], of: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """The facts of the document about one operation: name, parameters, contents by type, statuses."""
    said: dict[tuple[str, ...], Any] = {("operationId",): operation.get("operationId")}
    for parameter in operation.get("parameters", []):
        said["parameter", parameter["in"], parameter["name"]] = resolved(parameter, of)
    body = operation.get("requestBody", {})
    said["body", "required"] = body.get("required")
    for media_type, content in body.get("content", {}).items():
        said["body", media_type] = resolved(content, of)
    for status, response in operation["responses"].items():
        found = resolved(response, of)
        said["status", status] = {"headers": found["headers"]}
        for media_type, content in found["content"].items():
            said["status", status, media_type] = content
    return said


def holds(old: Any, new: Any) -> bool:
    """Whether a schema says all that an older one said: more fields, and more types or values, are allowed."""
    if isinstance(old, dict) and len(old.get("anyOf", ())) == 1 and (not isinstance(new, dict) or "anyOf" not in new):
        return holds(old["anyOf"][0], new)
    if isinstance(new, dict) and "anyOf" in new and (not isinstance(old, dict) or "anyOf" not in old):
        return any(holds(old, one) for one in new["anyOf"])
    if isinstance(old, dict) and isinstance(new, dict):
        if "const" in old and "const" not in new:
            old = {**{name: value for name, value in old.items() if name != "const"}, "enum": [old["const"]]}
        return all(name in new and holds(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return all(any(holds(one, other) for other in new) for one in old)
    return bool(old == new)


def test_more_fields_and_types_are_held_and_fewer_are_not() -> None:
    old = {"properties": {"a": {"type": "number"}}, "required": ["a"]}
    more = {"properties": {"a": {"anyOf": [{"type": "number"}, {"type": "boolean"}]}, "b": {}}, "required": ["a", "b"]}
    assert holds(old, more)
    assert not holds(more, old)
    assert not holds(old, {**more, "required": ["b"]})
    assert not holds(old, {**more, "properties": {"a": {"type": "string"}}})
    assert holds({"const": "a"}, {"enum": ["a", "b"]})
    assert not holds({"const": "a"}, {"enum": ["b"]})


ADDED = {
    ("/models/{name}/calibration", "get"),
    ("/models/{name}/versions/{version}/calibration", "get"),
    ("/models/{name}/health", "get"),
    ("/models/{name}/versions/{version}/health", "get"),
    ("/v1/models", "get"),
    ("/v1/models/{name}", "get"),
    ("/v1/models/{name}:predict", "post"),
}


@pytest.mark.parametrize(("path", "method"), OPERATIONS_BEFORE)
def test_the_openapi_document_still_has_all_contents_of_its_first_version(path: str, method: str) -> None:
    before = promised(BEFORE["paths"][path][method], BEFORE)
    now = promised(document()["paths"][path][method], document())
    assert [point for point in before if not holds(before[point], now.get(point))] == []


def test_the_openapi_document_still_has_the_operations_and_schemas_of_its_first_version() -> None:
    now_there = [(path, method) for path, item in document()["paths"].items() for method in item]
    assert [one for one in now_there if one not in ADDED and not one[0].startswith("/v2")] == OPERATIONS_BEFORE
    assert set(now_there) >= ADDED
    before, now = BEFORE["components"]["schemas"], document()["components"]["schemas"]
    for name, schema in before.items():
        assert holds(resolved(schema, BEFORE), resolved(now[RENAMED.get(name, name)], document())), name


async def test_the_openapi_document_is_served_and_names_every_route(service: Any) -> None:
    served = (await service.http.get("/openapi.json")).json()
    assert served == document()
    routes = {route.path for route in iter_route_contexts(service.app.routes)}
    assert set(served["paths"]) == routes - {"/openapi.json", "/docs", "/v2/", "/", "/page/{path:path}"}


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_every_reply_matches_the_openapi_document(service: Any, prefix: str, digit_images: Any) -> None:
    name = "breast-cancer"
    home = prefix.format(name=name, version=1)
    codes = (await service.post(f"{home}/encode", {"inputs": [ROW]})).json()["mu"]
    bodies: dict[str, list[dict[str, Any]]] = {
        "encode": [{"inputs": [ROW, ROW]}],
        "decode": [{"latents": codes}],
        "sample": [{"n": 2}, {"n": 1, "observe": True}],
        "elbo": [{"inputs": [ROW]}, {"inputs": [ROW], "features": True}, {"inputs": [ROW], "num_samples": 3}],
    }
    assert set(bodies) == set(OPERATIONS)
    for operation, some in bodies.items():
        for body in some:
            check(await service.post(f"{home}/{operation}", body), f"{prefix}/{operation}", 200)
    if prefix:
        digits = prefix.format(name="digits", version=1)
        for operation in ("encode", "elbo"):
            body = {"inputs": digit_images[:2].tolist()}
            check(await service.post(f"{digits}/{operation}", body), f"{prefix}/{operation}", 200)
        check(await service.post(f"{digits}/sample", {"n": 2}), f"{prefix}/sample", 200)


async def test_the_replies_of_status_routes_match_the_openapi_document(service: Any) -> None:
    for path, template in [
        ("/models", "/models"),
        ("/models/digits", "/models/{name}"),
        ("/models/breast-cancer/versions/1", "/models/{name}/versions/{version}"),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/v1/models", "/v1/models"),
        ("/v1/models/digits", "/v1/models/{name}"),
    ]:
        check(await service.http.get(path), template, 200)


async def test_predictions_and_errors_of_v1_match_the_openapi_document(service: Any) -> None:
    path, template = "/v1/models/breast-cancer:predict", "/v1/models/{name}:predict"
    check(await service.post(path, {"instances": [ROW]}), template, 200)
    refused = await service.post(path, {"instances": []})
    promised = document()["paths"][template]["post"]["responses"]["default"]["content"]["application/json"]["schema"]
    Draft202012Validator({**promised, "components": document()["components"]}).validate(refused.json())
    assert refused.status_code == 400


async def test_problem_documents_match_the_openapi_document(service: Any, start: Any, tmp_path: Path) -> None:
    check(await service.post("/elbo", "{"), "/elbo", 400)
    check(await service.post("/models/nobody/elbo", {}), "/models/{name}/elbo", 404)
    check(await service.http.get("/models/nobody"), "/models/{name}", 404)
    headers = {"content-type": "application/json", "accept": "text/html"}
    check(await service.http.post("/elbo", content=b"{}", headers=headers), "/elbo", 406)
    check(await service.post("/elbo", "1" * (32 * 2**20 + 1)), "/elbo", 413)
    check(await service.http.post("/elbo", content=b"{}"), "/elbo", 415)
    check(await service.post("/elbo", {"inputs": []}), "/elbo", 422)
    async with start(tmp_path) as empty:
        check(await empty.post("/elbo", {"inputs": [ROW]}), "/elbo", 503)
        check(await empty.http.get("/readyz"), "/readyz", 503)


async def test_the_models_route_returns_the_manifest_and_the_device(service: Any) -> None:
    shown = (await service.http.get("/models/breast-cancer")).json()
    assert (shown["name"], shown["version"], shown["latent_dim"]) == ("breast-cancer", 1, 8)
    assert (shown["device"], shown["providers"]) == ("cpu", ["CPUExecutionProvider"])
    assert shown["device_memory_bytes"] is None
    assert shown["default_alpha"] == 0.05
    assert shown["graphs"].keys() == shown["operations"].keys()
    for graph in shown["graphs"].values():
        assert (graph["providers"], graph["threads"]) == (["CPUExecutionProvider"], device.default_threads())
        assert graph["nodes"].keys() == {"CPUExecutionProvider"}
    listed = (await service.http.get("/models")).json()
    assert listed["default"] == "breast-cancer"
    assert [model["state"] for model in listed["models"]] == ["ready", "ready"]


async def test_the_docs_page_loads_nothing_from_other_hosts(service: Any) -> None:
    reply = await service.http.get("/docs")
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in reply.text
    assert "http://" not in reply.text
    assert "https://" not in reply.text
    for path in document()["paths"]:
        assert path in reply.text


if __name__ == "__main__":
    PINNED.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
