"""A request's time, and whether its caller is still there. Ends its task when either is gone; knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Receive

from vaekit_service.errors import Disconnected

LISTEN_AFTER = 0.05  # seconds: most answers are there by then, and to listen for a hang-up takes a task of its own


class RequestTimer:
    """Cancels the task that made it, at most once, and keeps the reason.

    Whoever catches the cancellation looks whether there is one: if not, it was the server that ended the task.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._loop = task, asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self.reason: Exception | None = None

    def within(self, seconds: float, error: Callable[[], Exception]) -> None:
        """Whatever the task had to do in time before, it now has so many seconds; then it ends with the error."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._late, error)

    def listen(self, receive: Receive) -> None:
        """End the task once its caller hangs up, as `receive` tells when the body has been read."""
        self._listener = self._loop.call_later(LISTEN_AFTER, self._begin_listening, receive)

    def rest(self) -> None:
        """Stop: nothing ends the task any more."""
        for one in (self._timer, self._listener):
            if one is not None:
                one.cancel()
        self._timer = self._listener = None

    def forgive(self) -> Exception | None:
        """Let the task go on after its cancellation was caught; what the reason was."""
        self.rest()
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
