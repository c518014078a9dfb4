"""Reads request bodies, within the limits on size and memory, and the query."""

from __future__ import annotations

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope

from vaekit.errors import InputError
from vaekit_service.errors import Disconnected, Unparsable
from vaekit_service.http.request_context import RequestContext
from vaekit_service.messages import Body


async def read_body(scope: Scope, receive: Receive) -> Body:
    """Read the whole body.

    The declared Content-Length is checked before a byte is read. Memory is reserved only as bytes arrive, because a
    caller can declare any length.

    Raises:
        Unparsable: Content-Length is not a number of bytes.
        TooLarge: the body is larger than the limit for one request.
        Overloaded: the other bodies and replies in flight leave no room for it.
        Disconnected: the caller closed the connection.
    """
    context = RequestContext.of(scope)
    declared, memory = context.headers.get(b"content-length", b"0"), context.memory
    if not declared.isdigit():
        raise Unparsable(f"content-length: {declared[:40].decode('latin-1')!r} is not a number of bytes")
    memory.check_body(int(declared[:20]))
    body, is_whole = await _next_bytes(receive)
    memory.hold_body(len(body))
    if is_whole:
        return body
    whole = bytearray(body)
    while not is_whole:
        body, is_whole = await _next_bytes(receive)
        memory.hold_body(len(whole) + len(body))
        whole += body
    return whole


async def _next_bytes(receive: Receive) -> tuple[bytes, bool]:
    """The next bytes of a body, and whether they are its last."""
    message = await receive()
    if message["type"] != "http.request":
        raise Disconnected("the caller closed the connection while sending its body")
    return message.get("body", b""), not message.get("more_body", False)


def query(scope: Scope) -> dict[str, str]:
    """The query parameters by name.

    Raises:
        InputError: a parameter is given more than once.
    """
    if not scope["query_string"]:
        return {}
    given = QueryParams(scope["query_string"])
    for name in given:
        if (times := len(given.getlist(name))) > 1:
            raise InputError(f"query parameter {name[:64]!r}: given {times} times, expected once")
    return dict(given)
