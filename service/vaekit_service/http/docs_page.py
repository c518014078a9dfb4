"""/openapi.json, and /docs: the OpenAPI document as plain HTML that loads no scripts, fonts or other hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from vaekit_service.http.access import needs

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
code, pre { font: 14px/1.4 ui-monospace, monospace; background: #f4f4f4; border-radius: 4px }
code { padding: 0 .25em } pre { padding: .75rem; overflow-x: auto } pre code { padding: 0 }
section { border-top: 1px solid #ddd; margin-top: 1.5rem } summary { cursor: pointer }
th, td { text-align: left; vertical-align: top; padding: 0 1rem .25rem 0 }
"""


def docs_router() -> APIRouter:
    """The routes /openapi.json and /docs.

    They replace FastAPI's openapi_url and docs_url: FastAPI's page loads scripts from another host, and the access log
    finds the path of a route only if it is declared on a router. FastAPI runs these endpoints in threads.
    """
    router = APIRouter()
    for path, endpoint in (("/openapi.json", _document), ("/docs", _page)):
        router.add_api_route(
            path, endpoint, methods=["GET", "HEAD"], include_in_schema=False, dependencies=needs("docs")
        )
    return router


def _document(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


def _page(request: Request) -> HTMLResponse:
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
    return HTMLResponse(render(request.app.openapi()), headers=headers)


def render(document: dict[str, Any]) -> str:
    """The HTML page of an OpenAPI document."""
    info = document["info"]
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width, initial-scale=1'>",
            f"<title>{escape(info['title'])} {escape(info['version'])}</title><style>{_STYLE}</style>",
            f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
            f"<p>{escape(info['description'])}</p>",
            "<p>OpenAPI document: <a href='openapi.json'>openapi.json</a>. Models: <a href='models'>models</a>.</p>",
            *_operations(document),
            "<h2>Schemas</h2>",
            *_schemas(document["components"]["schemas"]),
        ]
    )


def _operations(document: dict[str, Any]) -> Iterator[str]:
    """One section per operation, with its three routes: for the default model, for a model, and for a version."""
    sections: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            sections.setdefault(operation["summary"], []).append((method.upper(), path, operation))
    for summary, routes in sections.items():
        yield f"<section><h2>{escape(summary)}</h2>"
        yield "<pre>" + "\n".join(f"<code>{method} {escape(path)}</code>" for method, path, _ in routes) + "</pre>"
        yield from _bodies(routes[0][2])
        yield "</section>"


def _bodies(operation: dict[str, Any]) -> Iterator[str]:
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        forms = body["schema"].get("anyOf", [])
        yield f"<p>Body <code>{escape(media_type)}</code> {' or '.join(map(_link, forms))}</p>"
    yield "<table>"
    for status, response in operation["responses"].items():
        forms = [content["schema"] for content in response["content"].values() if "$ref" in content["schema"]]
        links = " ".join(map(_link, forms))
        yield f"<tr><th>{status}<td>{escape(response['description'])}<td>{links}"
    yield "</table>"


def _link(reference: dict[str, str]) -> str:
    name = escape(reference["$ref"].rpartition("/")[2])
    return f"<a href='#{name}'>{name}</a>"


def _schemas(schemas: dict[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        text = escape(json.dumps(schema, indent=2, ensure_ascii=False))
        yield f"<details id='{escape(name)}'><summary>{escape(name)}</summary><pre><code>{text}</code></pre></details>"
