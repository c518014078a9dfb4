"""Replies on their way out, in pieces where they are large. Knows bytes, not what they mean."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Send

PIECE = 64 * 1024  # the server waits for a slow reader between two pieces, so no more than this lies in its buffer


async def send_content(send: Send, content: bytes, media_type: str, headers: Mapping[str, str]) -> None:
    """A reply of status 200."""
    lines = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(content))]
    lines += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": lines})
    if len(content) > PIECE:
        for at in range(0, len(content), PIECE):
            await send({"type": "http.response.body", "body": content[at : at + PIECE], "more_body": True})
        content = b""
    await send({"type": "http.response.body", "body": content, "more_body": False})
