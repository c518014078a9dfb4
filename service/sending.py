"""Replies on their way out: in pieces, and held in the budget until they are sent. Knows bytes, not what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE = 64 * 1024  # the server waits for a slow reader between two pieces, so no more than this lies in its buffer


class Held(Response):
    """A reply that gives back what is held for it once it is sent, or once nobody takes it any more."""

    def __init__(self, content: bytes, held: ExitStack, *, headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI passes it
        with self._held:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if len(self.body) <= PIECE:
                await send({"type": "http.response.body", "body": self.body, "more_body": False})
                return
            for at in range(0, len(self.body), PIECE):
                await send({"type": "http.response.body", "body": self.body[at : at + PIECE], "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
