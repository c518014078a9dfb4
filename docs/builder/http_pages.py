"""The pages of the HTTP routes, made from the pinned OpenAPI document of the service."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.builder import http_examples, http_schemas
from docs.builder.http_schemas import escaped, shown_type

FOLDER = "reference/http"
DOCUMENT = Path(__file__).resolve().parents[2] / "tests" / "service" / "openapi.json"
NOT_SUPPORTED = "not supported"
NOT_JSON = "for bodies that are an array, a table or an image: "  # the start of descriptions of parameters
REFUSED = "v2-not-supported"  # the page of the routes that answer 501
V2, V2_PATHS = "v2-routes", r"^/v2"
GROUPS = {  # the groups of the index: title, and whether a path belongs to it
    "Rows in, scores out": r"^/(models/\{name\}/(versions/\{version\}/)?)?(encode|decode|sample|elbo)$",
    "Models": r"^/models",
    "State of the service": r"^/(healthz|readyz|metrics)$",
    "Open Inference Protocol, V2": V2_PATHS,
    "KServe V1": r"^/v1",
    "Other routes": r"",
}


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    loaded: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return loaded


def pages() -> dict[str, str]:
    """One page for each kind of route, one for the objects of JSON, and their index."""
    found = families(document())
    replies = http_examples.examples(one[0][:2] for name, one in found.items() if name != REFUSED)
    made = {f"{FOLDER}/{name}.md": _page(operations, replies) for name, operations in found.items()}
    made[f"{FOLDER}/objects.md"] = http_schemas.page(document()["components"]["schemas"])
    made[f"{FOLDER}/index.md"] = _index(found)
    made[f"{FOLDER}/{V2}.md"] = f"# Routes under /v2\n\n{_table(found, V2_PATHS)}\n{_children(_v2(found))}"
    return made


def families(of: Mapping[str, Any]) -> dict[str, list[tuple[str, str, Any]]]:
    """The operations (method, path, description) that share a page, by the name of the page."""
    found: dict[str, list[tuple[str, str, Any]]] = {}
    for path, item in of["paths"].items():
        for method, operation in item.items():
            found.setdefault(_family(method, path, operation), []).append((method.upper(), path, operation))
    return found


def _family(method: str, path: str, operation: Any) -> str:
    if NOT_SUPPORTED in operation["summary"]:
        return REFUSED
    short = path.replace("/versions/{version}", "")
    if re.search(r"/(encode|decode|sample|elbo)$", short):
        short = short.rsplit("/", 1)[1]
    words = re.sub(r"[^a-z0-9]+", "-", short.lower()).strip("-")
    return f"{method}-{words}"


def _index(found: Mapping[str, list[tuple[str, str, Any]]]) -> str:
    parts = [
        "# Every route\n\nOne page for each route of the service, made from its OpenAPI document, which a running "
        "service serves at `/openapi.json`. [Wire](../wire.md) describes what all routes share.",
    ]
    parts += [f"## {title}\n\n{_table(found, pattern)}" for title, pattern in GROUPS.items() if _rows(found, pattern)]
    parts.append("[Objects](objects.md) lists the fields of every JSON object.")
    under = set(_v2(found))
    return "\n\n".join(parts) + _children([*(name for name in found if name not in under), V2, "objects"])


def _v2(found: Mapping[str, list[tuple[str, str, Any]]]) -> list[str]:
    return [name for name, operations in found.items() if re.search(V2_PATHS, operations[0][1])]


def _children(names: list[str]) -> str:
    lines = "\n".join(names)
    return f"\n\n```{{toctree}}\n:hidden:\n\n{lines}\n```\n"


def _table(found: Mapping[str, list[tuple[str, str, Any]]], pattern: str) -> str:
    return "| route | what it answers |\n|---|---|\n" + "\n".join(_rows(found, pattern))


def _rows(found: Mapping[str, list[tuple[str, str, Any]]], pattern: str) -> list[str]:
    """The routes whose group is that of a pattern; a route belongs to the first group that matches."""
    return [
        f"| [{_heading(operations)}]({name}.md) | {_summary(operations)} |"
        for name, operations in found.items()
        if next(one for one in GROUPS.values() if re.search(one, operations[0][1])) == pattern
    ]


def _heading(operations: list[tuple[str, str, Any]]) -> str:
    if len(operations) > 3:
        return "Routes that answer 501"
    method, path, _ = operations[0]
    return f"{method} {path}"


def _summary(operations: list[tuple[str, str, Any]]) -> str:
    text = operations[0][2]["summary"]
    words = str(text).removeprefix("V2: ").removeprefix("KServe V1: ")
    return escaped(words[0].upper() + words[1:])


def _page(operations: list[tuple[str, str, Any]], replies: Mapping[tuple[str, str], http_examples.Example]) -> str:
    operation = (operations[-1] if len(operations) <= 3 else operations[0])[2]
    addresses = "\n".join(f"- `{m} {p}`{_which(o)}" for m, p, o in operations)
    security: list[dict[str, list[str]]] = operation.get("security") or [{}]
    scope = security[0].get("key")
    needs = (
        f"Where the service has [keys](../../how-to/keys.md), the key needs the scope `{scope[0]}`." if scope else ""
    )
    parts = [f"# {_heading(operations)}", _summary(operations) + ".", addresses, needs]
    parts += [http_examples.section(replies.get(operations[0][:2]))]
    parts += [_parameters(operation), _body(operation), _replies(operation)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _which(operation: Any) -> str:
    described = str(operation.get("description") or "").strip()
    return f": {escaped(described[0].lower() + described[1:].rstrip('.'))}" if described else ""


def _parameters(operation: Any) -> str:
    rows = []
    for one in operation.get("parameters", []):
        schema = one.get("schema") or next(iter(one["content"].values()))["schema"]
        said = escaped(
            str(one.get("description", "")).removeprefix("for bodies that are an array, a table or an image: ")
        )
        rows.append(f"| `{one['name']}` | {said} | {shown_type(schema)} | {one['in']} |")
    if not rows:
        return ""
    note = ""
    if any(str(one.get("description", "")).startswith(NOT_JSON) for one in operation["parameters"]):
        note = "Query parameters are for bodies that are an array, a table or an image: JSON has them as fields.\n\n"
    return f"## Parameters\n\n{note}| name | meaning | type | in |\n|---|---|---|---|\n" + "\n".join(rows)


def _body(operation: Any) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return f"## Body\n\n{_contents(content)}" if content else ""


def _contents(content: Mapping[str, Any]) -> str:
    rows = [f"| `{kind}` | {_described(one.get('schema', {}))} |" for kind, one in content.items()]
    return "| content type | what it holds |\n|---|---|\n" + "\n".join(rows)


def _described(schema: Any) -> str:
    if schema.get("contentEncoding") == "binary":
        return escaped(schema.get("description", "bytes"))
    if "properties" in schema:
        fields = ", ".join(f"`{name}`" for name in schema["properties"])
        return f"{escaped(schema.get('description', ''))} Fields: {fields}".strip()
    return shown_type(schema) if schema else "JSON"


def _replies(operation: Any) -> str:
    good = "\n\n".join(
        f"`{status}`: {escaped(reply['description'])}\n\n{_contents(reply['content'])}"
        for status, reply in operation["responses"].items()
        if status.startswith("2") and reply.get("content")
    )
    rows = [
        f"| `{status}` | {escaped(reply['description'])} | {_kind(reply)} |"
        for status, reply in operation["responses"].items()
        if not status.startswith("2")
    ]
    problems = "### Problems\n\n| status | when | body |\n|---|---|---|\n" + "\n".join(rows) if rows else ""
    return "\n\n".join(part for part in ("## Replies", good, problems) if part)


def _kind(reply: Any) -> str:
    return ", ".join(shown_type(one["schema"]) for one in reply.get("content", {}).values())
