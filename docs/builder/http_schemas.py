"""Types of the OpenAPI document as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PAGE = "objects.md"
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def page(schemas: Mapping[str, Any]) -> str:
    """The page with the fields of every object."""
    parts = ["# Objects", "The JSON objects of requests and replies, by name. Required fields are in bold."]
    parts += [f"## {name}\n\n{_object(schema)}" for name, schema in sorted(schemas.items())]
    return "\n\n".join(parts) + "\n"


def shown_type(schema: Any) -> str:
    """The type of a value, with a link where it is an object of the page."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}]({PAGE}#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(shown_type(one) for one in schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return _plain(schema)


def _plain(schema: Any) -> str:
    kind = schema.get("type", "any JSON")
    if kind == "array":
        inner = shown_type(schema.get("items", {}))
        return f"list of ({inner})" if " or " in inner else f"list of {inner}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"object of {shown_type(values)}" if isinstance(values, dict) and values else "object"
    limits = [f"{words} {schema[key]}" for key, words in LIMITS.items() if key in schema]
    return " ".join([str(kind), ", ".join(limits)]).strip()


def escaped(text: str) -> str:
    """Text of a description as Markdown in a cell of a table."""
    words = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"([|<*_\[\]{}~^$])", r"\\\1", words)


def _object(schema: Any) -> str:
    described = escaped(schema.get("description", ""))
    required = set(schema.get("required", []))
    rows = [
        f"| {f'**`{name}`**' if name in required else f'`{name}`'} | {shown_type(field)} | {_meaning(field)} |"
        for name, field in schema.get("properties", {}).items()
    ]
    table = "| field | type | meaning |\n|---|---|---|\n" + "\n".join(rows) if rows else ""
    return "\n\n".join(part for part in (described, table) if part)


def _meaning(field: Any) -> str:
    said = escaped(field.get("description", ""))
    default = field.get("default")
    return said if default is None or default in ({}, []) else f"{said}; default `{default}`".removeprefix("; ")
