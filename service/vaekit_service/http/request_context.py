"""The context of one request: its id, headers, timer, memory, and the fields of its log line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from starlette.types import Message, Receive, Scope

from vaekit.bundle import Manifest
from vaekit.client.wire import RECORD_HEADER, TIMEOUT_HEADER
from vaekit.errors import InputError
from vaekit_service.engine.limits import Reservation
from vaekit_service.errors import Disconnected
from vaekit_service.messages import Operation
from vaekit_service.stages import Stages

LISTEN_AFTER = 0.05  # seconds; most answers are ready by then, and listening for a disconnect needs a task
# keys of the scope's state, set by connection/protocol.py and access_log.py
CONNECTION, CONTEXT = "connection", "context"

_SECONDS = re.compile(  # JSON numbers of the range of floats, and also .5
    r"(\d{1,400}(\.\d{0,400})?|\.\d{1,400})(e[+-]?\d{1,4})?", re.IGNORECASE
)
_ZERO = re.compile(r"[0.]+(e.*)?", re.IGNORECASE)

Access = Literal["probes", "page", "metrics", "docs", "read", "infer", "admin"]  # what a route may need, see access.py


class ServerConnection(Protocol):
    """What our connections (connection/protocol.py) offer beyond ASGI."""

    def abort(self) -> None:
        """Close the connection immediately and drop unsent bytes."""

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""

    def close(self) -> None:
        """Close the connection after what was sent so far, so that the caller sees an incomplete reply."""


@dataclass(slots=True, eq=False)
class RequestContext:
    """The state of one request until its log line is written. The access log creates it."""

    id: str
    headers: dict[bytes, bytes]  # if a header is repeated, its first value
    timer: RequestTimer
    memory: Reservation  # bytes of its body, then of its reply; released when the exchange ends
    connection: ServerConnection | None  # None if another server runs the app
    model: Manifest | None = None  # set once the model is loaded
    operation: Operation | None = None  # set with it
    rows: int | None = None
    error: str | None = None
    error_class: type[BaseException] | None = None
    stages: Stages = field(default_factory=Stages)
    key: str | None = None  # name of the caller's key, set by the guard
    scopes: frozenset[str] = frozenset()  # what the caller may do, set by the guard
    route: str | None = None  # the template of its path, set by the guard; None: there is no such route
    is_stream: bool = False  # whether the reply begins before the body has ended
    access: Access | None = None  # what the route needs, set by the guard; None: there is no such route
    plain_errors: bool = False  # whether an error is {"error": text} and no problem document, set by the guard
    is_v2: bool = False  # whether its path is one of the Open Inference Protocol, whose errors have another form

    @staticmethod
    def of(scope: Scope) -> RequestContext:
        """The context of the request that a scope belongs to."""
        context: RequestContext = scope["state"][CONTEXT]
        return context


def route_path(scope: Scope) -> str:
    """The path below the root path, as Starlette's router finds it."""
    path: str = scope["path"]
    root: str = scope["root_path"]
    return path[len(root) :] if root and f"{path}/".startswith(f"{root}/") else path


def is_v2(path: str) -> bool:
    """Whether a path below the root path belongs to the Open Inference Protocol (V2), with or without a route."""
    return path.startswith("/v2") and path[3:4] in ("", "/", "?")


def _no_deadline() -> Exception:
    raise AssertionError("there is no deadline")


async def _no_receive() -> Message:
    raise AssertionError("nobody listens")


class RequestTimer:
    """Cancels the task that created it at a deadline or when the caller disconnects, at most once.

    Code that catches the cancellation checks `reason`; if it is None, the server cancelled the task.
    A request sets three deadlines and listens for a disconnect, but most are answered within LISTEN_AFTER. So there is
    one timer of the event loop, which fires at that time first, and then when something is due.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._loop = task, asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None  # fires when the next of these two is due, or before
        self._deadline, self._listens_at = 0.0, 0.0  # by the loop's clock
        self._fires_at = 0.0  # of the timer, whose handle has no when() if uvloop rounds the wait to 0 ms
        self._error: Callable[[], Exception] = _no_deadline
        self._receive: Receive = _no_receive
        self._listener: asyncio.Task[None] | None = None
        self.reason: Exception | None = None

    def set_deadline(self, seconds: float, error: Callable[[], Exception]) -> None:
        """Cancel the task in `seconds` from now, with this error as the reason. This replaces an earlier deadline."""
        now = self._loop.time()
        self._deadline, self._error = now + seconds, error
        self._fire_by(now + min(seconds, LISTEN_AFTER))

    def cancel_on_disconnect(self, receive: Receive) -> None:
        """Cancel the task when the caller disconnects. Call this after the body is read: `receive` then reports it."""
        self._listens_at, self._receive = self._loop.time() + LISTEN_AFTER, receive
        self._fire_by(self._listens_at)

    def pause(self) -> None:
        """No deadline and no disconnect cancels the task, until they are set again."""
        self._error, self._receive = _no_deadline, _no_receive
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def stop(self) -> None:
        """As pause, and nothing of the request is left in the event loop."""
        self.pause()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def uncancel(self) -> Exception | None:
        """Let the task continue after its cancellation was caught; return the reason."""
        self.stop()
        self._task.uncancel()
        reason, self.reason = self.reason, None
        return reason

    def _fire_by(self, when: float) -> None:
        """Fire at this time or before."""
        if self._timer is not None:
            if self._fires_at <= when:
                return
            self._timer.cancel()
        self._fires_at = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer, now = None, self._loop.time()
        if self._receive is not _no_receive:
            if now < self._listens_at:
                self._fire_by(self._listens_at)
            else:
                self._listener = self._loop.create_task(self._listen(self._receive))
                self._receive = _no_receive
        if self._error is not _no_deadline:
            if now < self._deadline:
                self._fire_by(self._deadline)
            else:
                self.end(self._error())

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end(Disconnected("the caller closed the connection before its answer"))

    def end(self, reason: Exception) -> None:
        """Cancel the task now, with this reason, unless it was cancelled before."""
        if self.reason is None:
            self.reason = reason
            self._task.cancel()


def is_recorded(given: bytes | None) -> bool:
    """Whether the rows of a request count in the model health, the novel rows and the score log.

    Raises:
        InputError: the header is neither true nor false.
    """
    if given is None:
        return True
    text = given.decode("latin-1").strip(" \t").lower()
    if text not in ("true", "false"):
        raise InputError(f"{RECORD_HEADER}: {text[:40]!r} is neither true nor false")
    return text == "true"


def effective_timeout(given: bytes | None, most: float) -> float:
    """Seconds that a request may take after its body has arrived: the smaller of the caller's timeout and `most`.

    Raises:
        InputError: the header is not a positive number.
    """
    if given is None:
        return most
    text = given.decode("latin-1").strip(" \t")
    if not _SECONDS.fullmatch(text) or _ZERO.fullmatch(text):
        raise InputError(f"{TIMEOUT_HEADER}: {text[:40]!r} is not a positive number of seconds")
    return min(float(text), most)
