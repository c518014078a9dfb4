"""Request bodies: read with a cap, a deadline and a budget. Knows bytes, not what they mean."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from service.errors import Disconnected, Overloaded, SlowBody, TooLarge, Unparsable


class Intake:
    """Reads bodies, and bounds what all of them hold together."""

    def __init__(self, *, max_body_bytes: int, max_inflight_bytes: int, body_seconds: float) -> None:
        self._max_body = max_body_bytes
        self._max_total = max(max_inflight_bytes, max_body_bytes)  # else the largest body would never fit
        self._seconds = body_seconds
        self.held = 0  # bytes of all requests in flight

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Room for one request's body, given back at the end of the block."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.held -= reservation.size

    async def read(self, request: Request, room: Reservation) -> bytearray:
        """The whole body.

        What Content-Length declares is refused or reserved before a byte is read; a body sent in chunks is counted as
        it comes.

        Raises:
            TooLarge: the body is over the cap.
            Overloaded: the bodies in flight leave no room for it.
            SlowBody: it did not arrive in time.
            Disconnected: the caller hung up.
        """
        room.grow_to(self._declared(request))
        try:
            async with asyncio.timeout(self._seconds):
                return await self._collect(request, room)
        except TimeoutError:
            raise SlowBody(f"the body did not arrive within {self._seconds:g} s") from None
        except ClientDisconnect:
            raise Disconnected("the caller hung up while sending its body") from None

    def _declared(self, request: Request) -> int:
        text = request.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()):
            raise Unparsable(f"content-length: not a length: {text[:40]!r}")
        return self.check(int(text[:20]))

    def check(self, size: int) -> int:
        """The size itself, where a body may have it."""
        if size > self._max_body:
            raise TooLarge(f"body: more than {self._max_body} bytes, the most that one request may have")
        return size

    async def _collect(self, request: Request, room: Reservation) -> bytearray:
        body = bytearray()
        async for chunk in request.stream():
            self.check(len(body) + len(chunk))
            room.grow_to(len(body) + len(chunk))
            body += chunk
        return body

    def take(self, size: int) -> None:
        """Count bytes in; Reservation gives them back."""
        if self.held + size > self._max_total:
            raise Overloaded(f"{self.held} bytes of requests are in flight, no room for {size} more")
        self.held += size


class Reservation:
    """How many bytes one request holds of the intake's budget."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size = 0

    def grow_to(self, size: int) -> None:
        """Hold at least so many bytes.

        Raises:
            Overloaded: the budget has no room for them.
        """
        if size > self.size:
            self._intake.take(size - self.size)
            self.size = size
