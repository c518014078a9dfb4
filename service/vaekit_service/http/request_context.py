"""What the layers share about one request: its id, headers, timer, memory, and the facts for its log line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Receive, Scope

from vaekit_service.engine.limits import Reservation
from vaekit_service.errors import Disconnected

LISTEN_AFTER = 0.05  # seconds; most answers are ready by then, and listening for a hang-up takes a task
CONNECTION, CONTEXT = "connection", "context"  # keys of the scope's state: what the server leaves, what we add


class ServerConnection(Protocol):
    """What a server of ours (protocol.py) offers beyond ASGI."""

    def abort(self) -> None:
        """Cut the connection off, without waiting for the caller to read what was sent."""

    def is_closing(self) -> bool:
        """Whether the caller has hung up."""


@dataclass(slots=True, eq=False)
class RequestContext:
    """One request, from its first byte to its log line. The access log makes it, once."""

    id: str
    headers: dict[bytes, bytes]  # of headers that are given twice, the first
    timer: RequestTimer
    memory: Reservation  # bytes of its body, then of its reply; released when the exchange ends
    connection: ServerConnection | None  # None under another server
    model: str | None = None
    rows: int | None = None
    error: str | None = None

    @staticmethod
    def of(scope: Scope) -> RequestContext:
        """The context of the request that a scope belongs to."""
        context: RequestContext = scope["state"][CONTEXT]
        return context


class RequestTimer:
    """Cancels its task when the time is up or the caller has hung up, at most once, and keeps the reason.

    Code that catches the cancellation looks at `reason`: where it is None, the server ended the task.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._loop = task, asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        self._listener: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self.reason: Exception | None = None

    def set_deadline(self, seconds: float, error: Callable[[], Exception]) -> None:
        """End the task with the error after so many seconds from now. This replaces an earlier deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self._late, error)

    def cancel_on_disconnect(self, receive: Receive) -> None:
        """Cancel the task when the caller hangs up, which `receive` reports once the body is read."""
        self._listener = self._loop.call_later(LISTEN_AFTER, self._begin_listening, receive)

    def stop(self) -> None:
        """Nothing ends the task any more."""
        for one in (self._deadline, self._listener):
            if one is not None:
                one.cancel()
        self._deadline = self._listener = None

    def uncancel(self) -> Exception | None:
        """Let the task go on after its cancellation was caught; return what the reason was."""
        self.stop()
        self._task.uncancel()
        reason, self.reason = self.reason, None
        return reason

    def _late(self, error: Callable[[], Exception]) -> None:
        self._end(error())

    def _begin_listening(self, receive: Receive) -> None:
        self._listener = self._loop.create_task(self._listen(receive))

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end(Disconnected("the caller hung up before its answer"))

    def _end(self, reason: Exception) -> None:
        if self.reason is None:
            self.reason = reason
            self._task.cancel()
