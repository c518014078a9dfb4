"""One timer of the event loop for the deadlines of all waiting jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

LATE = "the request waited in the queue until its deadline; retry later"
CLOCK_STEP = 0.001  # seconds; timers of an event loop may fire so much before their time


class Expiry:
    """Calls a function at the earliest deadline. Nearly all jobs have run by then, so few timers are ever set.

    Args:
        expire: drops the jobs whose deadline is at most the time it gets, and returns the earliest deadline of the
            others, or infinity. Times are those of time.monotonic.
    """

    def __init__(self, expire: Callable[[float], float]) -> None:
        self._expire = expire
        self._next = float("inf")  # the deadline that the timer waits for
        self._timer: asyncio.TimerHandle | None = None

    def by(self, deadline: float) -> None:
        """Call the function at this deadline or before."""
        if deadline >= self._next:
            return
        self.stop()
        delay = max(deadline - monotonic(), CLOCK_STEP)
        self._next, self._timer = deadline, asyncio.get_running_loop().call_later(delay, self._fire)

    def stop(self) -> None:
        """Wait for no deadline."""
        if self._timer is not None:
            self._timer.cancel()
        self._next, self._timer = float("inf"), None

    def _fire(self) -> None:
        self._next, self._timer = float("inf"), None
        self.by(self._expire(monotonic()))
