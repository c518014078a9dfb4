"""Example requests of the routes, in curl."""

from __future__ import annotations

from typing import Any

HOST = "http://127.0.0.1:8000"
VALUES = {"name": "digits", "model": "breast-cancer", "version": "1"}
ROWS = "examples/rows.json"
FILES = {  # a file of the repository that is a good body, by the last word of the path
    "elbo": ROWS,
    "encode": ROWS,
}
BODIES = {  # a body, by the path
    "/decode": '{"latents": [[0, 0, 0, 0, 0, 0, 0, 0]]}',
    "/sample": '{"n": 2, "seed": 1}',
}


def section(operations: list[tuple[str, str, Any]]) -> str:
    """A shell block with a request that works on the models of the repository; empty where there is none."""
    command = _command(operations)
    return f"## Example\n\n```sh\n{command}\n```" if command else ""


def _command(operations: list[tuple[str, str, Any]]) -> str:
    method, path, _ = operations[0]
    if len(operations) > 3:
        return ""
    last = path.rsplit("/", 1)[-1]
    if last in FILES:
        return f"curl {HOST}/models/breast-cancer/{last} --json @{FILES[last]}"
    if path in BODIES:
        return f"curl {HOST}/models/breast-cancer{path} --json '{BODIES[path]}'"
    if method == "GET":
        return f"curl {HOST}{path.format(name='breast-cancer', model='breast-cancer', version=1, region='none')}"
    return ""
