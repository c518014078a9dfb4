"""What every request has around it: an id, a log line, its metrics. Knows times and sizes, never a payload."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from http import HTTPStatus
from logging import DEBUG, INFO
from secrets import token_hex
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vaekit.client.wire import REQUEST_ID_HEADER
from vaekit.errors import VaeError
from vaekit_service.http import problems
from vaekit_service.http.body import INFLOW
from vaekit_service.http.request_context import RequestTimer
from vaekit_service.logs import Log
from vaekit_service.metrics import Metrics

ABORT = "abort"  # in the scope's state, where the server leaves the function that cuts the connection off
HEADERS, WATCH = "headers", "watch"  # there too: the request's headers, and what ends its task in time
DROPPED = 2**20  # bytes of a refused body that cost less than another connection does
_REQUEST_ID = REQUEST_ID_HEADER.encode()
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_QUIET = {"/healthz", "/readyz", "/metrics"}  # asked for every few seconds by machines


class AccessLog:
    """ASGI middleware, outermost of ours."""

    def __init__(self, app: ASGIApp, *, log: Log, metrics: Metrics, reply_seconds: float) -> None:
        self._app, self._log, self._metrics, self._seconds = app, log, metrics, reply_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(scope, receive, send, self._log, self._seconds).run(self._app, self._metrics)


class _NotTaken(Exception):
    """A reply that its caller does not read."""


class _Exchange:
    """One request and its reply, as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, log: Log, seconds: float) -> None:
        self._scope, self._receive, self._send, self._log, self._seconds = scope, receive, send, log, seconds
        headers = dict(reversed(scope["headers"]))  # of those that are there twice, the first
        given = headers.get(_REQUEST_ID, b"").decode("latin-1")
        self._id = given if _SANE.fullmatch(given) else token_hex(16)
        self._watch = RequestTimer()
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._state.update({"request_id": self._id, HEADERS: headers, WATCH: self._watch})
        declared = headers.get(b"content-length", b"0")
        self._unread = int(declared[:20]) if declared.isdigit() else -1  # bytes of the body; -1: who knows how many
        if b"transfer-encoding" in headers:
            self._unread = -1
        self._status = 500  # what the server answers where the app gives nothing
        self._has_begun = False  # the reply

    async def run(self, app: ASGIApp, metrics: Metrics) -> None:
        start = perf_counter()
        metrics.in_flight += 1
        try:
            await self._answer(app)
        finally:
            self._watch.rest()
            metrics.in_flight -= 1
            self._account(perf_counter() - start, metrics)

    async def _answer(self, app: ASGIApp) -> None:
        error = await self._error_of(app(self._scope, self._receiving, self._sending))
        if error is None:
            return
        if not isinstance(error, VaeError | _NotTaken):  # the last place that knows the id the caller will ask under
            self._log.error("crash", request_id=self._id, exc_info=error)
        if not self._has_begun:
            problem = problems.respond(Request(self._scope), error)
            error = await self._error_of(problem(self._scope, self._receive, self._sending))
        if isinstance(error, _NotTaken):
            await self._cut_off()
        elif error is not None:
            raise error  # half a reply is with the caller: the server closes the connection

    async def _error_of(self, work: Awaitable[None]) -> Exception | None:
        """What ended the work, the watch's reason among it; None where it is done."""
        try:
            await work
        except asyncio.CancelledError:
            if self._watch.reason is None:
                raise
            return self._watch.forgive()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the caller must hear of it
            return exc
        return None

    async def _cut_off(self) -> None:
        """Throw away what the server still holds for the caller; a mere close would wait for it to be read."""
        self._state["error"] = f"the caller did not take its reply within {self._seconds:g} s"
        if ABORT not in self._state:
            raise _NotTaken  # a server that is not ours
        self._state[ABORT]()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _receiving(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._unread = self._unread - len(message.get("body", b"")) if message.get("more_body", False) else 0
        return message

    async def _sending(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._has_begun = message["status"], True
            self._watch.rest()
            self._watch.within(self._seconds, _NotTaken)
            message["headers"] = headers = [*message.get("headers", ()), (_REQUEST_ID, self._id.encode())]
            if self._unread and not self._throws_away():
                headers.append((b"connection", b"close"))
        await self._send(message)

    def _throws_away(self) -> bool:
        """Have the rest of the body thrown away as it comes; whether that is done, and the connection stays."""
        if not 0 < self._unread <= DROPPED or self._status == HTTPStatus.REQUEST_TIMEOUT:
            return False
        if INFLOW in self._state:
            self._state[INFLOW].drop(self._state, self._unread)
        return True

    def _account(self, seconds: float, metrics: Metrics) -> None:
        route = getattr(self._scope.get("route"), "path", "unmatched")
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        metrics.answered(method, route, self._status, seconds)
        level, say = (DEBUG, self._log.debug) if route in _QUIET else (INFO, self._log.info)
        if not self._log.is_enabled_for(level):
            return
        facts = {name: self._state[name] for name in ("model", "rows", "error") if name in self._state}
        say(
            "request",
            request_id=self._id,
            method=method,
            route=route,
            status=self._status,
            duration_ms=round(seconds * 1e3, 3),
            **facts,
        )


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
