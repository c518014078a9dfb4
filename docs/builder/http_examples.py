"""Example requests of the routes in curl, with the replies of the service on the models of the repository."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
HOST = "http://127.0.0.1:8000"
MODEL = "breast-cancer"
LATENTS = '{"latents": [[0, 0, 0, 0, 0, 0, 0, 0]]}'
SAMPLE = '{"n": 1, "seed": 1}'
BODIES = {  # the body of a POST request, by the path; @: a file of the repository
    "/elbo": "@examples/rows.json",
    "/encode": "@examples/rows.json",
    "/decode": LATENTS,
    "/sample": SAMPLE,
    "/v2/models/{model}/infer": '{"parameters": {"n": 1, "seed": 1}}',
    "/v2/repository/index": "{}",
}
SHORT = ("/elbo", "/encode", "/decode", "/sample")  # answered by the default model; shown for a model by name
LINES = 60  # of a reply that are shown
TOGETHER = 4  # values of a list that are shown
WAIT = 60.0  # seconds for the models to load


@dataclass(frozen=True)
class Example:
    """A request, its command, and the reply's type and text."""

    command: str
    kind: str
    reply: str


def examples(routes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Example]:
    """An example for each route (method, path) that has one, from a service in this process."""
    return asyncio.run(_examples(list(routes)))


def section(example: Example | None) -> str:
    """The example as Markdown; empty if there is none."""
    if example is None:
        return ""
    language = "json" if "json" in example.kind else "text"
    reply = f"\n\n```{language}\n{example.reply}\n```" if example.reply else ""
    return f"## Example\n\n```sh\n{example.command}\n```{reply}"


async def _examples(routes: list[tuple[str, str]]) -> dict[tuple[str, str], Example]:
    from vaekit_service.app import create_app
    from vaekit_service.settings import Settings

    app = create_app(Settings(models=ROOT / "models", device="cpu", log_level="error"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=HOST, timeout=WAIT) as client:
            await _ready(client)
            return {route: await _example(client, *route) for route in routes if _has_example(*route)}


async def _ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(WAIT):
        while (await client.get("/readyz")).status_code != httpx.codes.OK:
            await asyncio.sleep(0.05)


def _has_example(method: str, path: str) -> bool:
    return path in BODIES if method == "POST" else not path.startswith(("/v1/models/{", "/page"))


async def _example(client: httpx.AsyncClient, method: str, path: str) -> Example:
    address = f"/models/{MODEL}{path}" if path in SHORT else path
    address = address.replace("{model}/infer", "digits.sample/infer")
    address = address.format(name=MODEL, model=MODEL, version=1)
    if method == "GET":
        reply = await client.get(address)
        command = f"curl {HOST}{address}"
    else:
        body = BODIES[path]
        content = (ROOT / body[1:]).read_text(encoding="utf-8") if body.startswith("@") else body
        reply = await client.post(address, content=content, headers={"content-type": "application/json"})
        command = f"curl {HOST}{address} --json {body if body.startswith('@') else repr(body)}"
    if reply.status_code != httpx.codes.OK:
        raise RuntimeError(f"{method} {address}: {reply.status_code} {reply.text}")
    kind = reply.headers.get("content-type", "")
    return Example(command, kind, _shown(reply.text, kind))


def _shown(text: str, kind: str) -> str:
    """The first lines of a reply, with long lists cut and numbers rounded."""
    if "json" in kind and text:
        text = _written(json.loads(text), 0)
    elif "html" in kind:
        return ""
    lines, most = text.strip().splitlines(), LINES if "json" in kind else 8
    return "\n".join([*lines[:most], *(["..."] if len(lines) > most else [])])


def _written(value: Any, depth: int) -> str:
    """JSON with two spaces per level; lists of plain values are on one line."""
    space, inner = "  " * depth, "  " * (depth + 1)
    if isinstance(value, dict) and value:
        fields = [f"{inner}{json.dumps(name)}: {_written(one, depth + 1)}" for name, one in value.items()]
        return "{\n" + ",\n".join(fields) + f"\n{space}}}"
    if isinstance(value, list) and value:
        shown = [_written(one, depth + 1) for one in value[:TOGETHER]] + ["..."] * (len(value) > TOGETHER)
        if any("\n" in one for one in shown):
            return "[\n" + ",\n".join(inner + one for one in shown) + f"\n{space}]"
        return f"[{', '.join(shown)}]"
    if isinstance(value, float):
        return json.dumps(float(f"{value:.6g}"))
    return json.dumps(value, ensure_ascii=False)
