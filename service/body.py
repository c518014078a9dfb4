"""Bodies, read with a cap and a deadline, and the budget that they share with replies. Knows bytes, no meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from service.errors import Disconnected, Overloaded, SlowBody, TooLarge, Unparsable


class Intake:
    """Reads bodies, and bounds what all of them and the replies hold together."""

    def __init__(self, *, max_body_bytes: int, max_inflight_bytes: int, body_seconds: float) -> None:
        self._max_body = max_body_bytes
        self._max_total = max_inflight_bytes
        self._seconds = body_seconds
        self.held = 0  # bytes of all bodies and replies in flight

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Room for one request's body and then its reply, given back at the end of the block."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.held -= reservation.size

    async def read(self, request: Request, room: Reservation) -> bytearray:
        """The whole body.

        What Content-Length declares is held against the cap before a byte is read; room is taken as bytes come, since
        a declaration costs its sender nothing.

        Raises:
            TooLarge: the body is over the cap.
            Overloaded: the bodies in flight leave no room for it.
            SlowBody: it did not arrive in time.
            Disconnected: the caller hung up.
        """
        self.check(self._declared(request))
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
        return int(text[:20])

    def check(self, size: int) -> None:
        """
        Raises:
            TooLarge: a body may not have the size.
        """
        if size > self._max_body:
            raise TooLarge(f"body: more than {self._max_body} bytes, the most that one request may have")

    async def _collect(self, request: Request, room: Reservation) -> bytearray:
        body = bytearray()
        async for chunk in request.stream():
            self.check(len(body) + len(chunk))
            room.hold(len(body) + len(chunk))
            body += chunk
        return body

    def change(self, old: int, new: int) -> None:
        """Count one request's bytes as `new` in place of `old`.

        A request that is alone always has room: else the largest replies would never fit.
        """
        others = self.held - old
        if new > old and others and others + new > self._max_total:
            raise Overloaded(f"{others} bytes of other requests are in flight, no room for {new} more")
        self.held = others + new


class Reservation:
    """How many bytes one request holds of the intake's budget."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size = 0

    def hold(self, size: int) -> None:
        """Hold so many bytes from here on.

        Raises:
            Overloaded: the budget has no room for them.
        """
        self._intake.change(self.size, size)
        self.size = size
