"""Sends the body of a reply in a task of its own, so that a caller may send its whole body before it reads."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import Send

from vaekit_service.http.access_log import ReplyNotRead
from vaekit_service.http.request_context import RequestTimer

AT_ONCE = 64 * 1024  # bytes that the caller must read in `seconds`
LARGEST = 4 * 2**20  # bytes that wait for a caller that does not read; beyond it no more of its body is read


class OutputBuffer:
    """The part of a reply that was not sent yet.

    Args:
        send: of ASGI; the reply has begun.
        timer: cancels the request if the caller does not read.
        seconds: in which the caller must read each AT_ONCE bytes.
    """

    def __init__(self, send: Send, timer: RequestTimer, seconds: float) -> None:
        self._send, self._timer, self._seconds = send, timer, seconds
        self._parts: deque[bytes] = deque()
        self._changed = asyncio.Event()  # a part has come or gone
        self._is_whole = False
        self.size = 0  # bytes that wait
        self._task = asyncio.create_task(self._run(), name="reply")

    async def put(self, part: bytes) -> None:
        """Add a part. Waits while too many bytes wait for the caller."""
        if part:
            self._parts.append(part)
            self.size += len(part)
            self._changed.set()
        while self.size > LARGEST:
            await self._wait()

    async def drain(self) -> None:
        """Wait until all parts are sent."""
        while self.size:
            await self._wait()

    async def finish(self) -> None:
        """Send what is left, and the end of the reply."""
        self._is_whole = True
        self._changed.set()
        await self._task

    def cancel(self) -> None:
        """Stop sending."""
        self._task.cancel()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _send_part(self, part: bytes) -> None:
        for at in range(0, len(part), AT_ONCE):
            some = part[at : at + AT_ONCE]
            async with asyncio.timeout(self._seconds):
                await self._send({"type": "http.response.body", "body": some, "more_body": True})
            self.size -= len(some)
            self._changed.set()

    async def _run(self) -> None:
        try:
            while True:
                while self._parts:
                    await self._send_part(self._parts.popleft())
                if self._is_whole:
                    break
                await self._wait()
            async with asyncio.timeout(self._seconds):
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            self._timer.end(ReplyNotRead())
