"""What every request has around it: an id, a log line, its metrics. Knows times and sizes, never a payload."""

from __future__ import annotations

import asyncio
import re
import uuid
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.logs import Log
from service.metrics import Metrics
from vaekit.client.wire import REQUEST_ID_HEADER

ABORT = "abort"  # in the scope's state, where the server leaves the function that cuts the connection off
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_QUIET = {"/healthz", "/readyz", "/metrics"}  # asked for every few seconds by machines


class Envelope:
    """ASGI middleware, outermost of ours."""

    def __init__(self, app: ASGIApp, *, log: Log, metrics: Metrics, reply_seconds: float) -> None:
        self._app, self._log, self._metrics, self._seconds = app, log, metrics, reply_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(scope, receive, send, self._log, self._seconds).run(self._app, self._metrics)


class _NotTaken(Exception):
    """A reply that its caller does not read. Leaves through the app's frames, whose handlers do not know it."""


class _Exchange:
    """One request and its reply, as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, log: Log, seconds: float) -> None:
        self._scope, self._receive, self._send, self._log, self._seconds = scope, receive, send, log, seconds
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID_HEADER, "")
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._state["request_id"] = self._id = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        self._unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._status = 500  # what the server answers where the app gives nothing
        self._send_by: float | None = None  # when the whole reply must be with the caller, once it has begun

    async def run(self, app: ASGIApp, metrics: Metrics) -> None:
        start = perf_counter()
        try:
            with metrics.in_flight.track_inprogress():
                await self._answer(app)
        finally:
            self._account(perf_counter() - start, metrics)

    async def _answer(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self._receiving, self._sending)
        except _NotTaken:
            self._state["error"] = f"the caller did not take its reply within {self._seconds:g} s"
            if ABORT not in self._state:
                raise  # a server that is not ours
            await self._cut_off()
        except Exception as exc:  # the last place that knows the id under which the caller will ask
            self._log.error("crash", request_id=self._id, exc_info=exc)
            if self._send_by is not None:
                raise  # half a reply is with the caller: the server closes the connection
            await problems.respond(Request(self._scope), exc)(self._scope, self._receive, self._sending)

    async def _cut_off(self) -> None:
        """Throw away what the server still holds for the caller; a mere close would wait for it to be read."""
        self._state[ABORT]()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _receiving(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def _sending(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._send_by = asyncio.get_running_loop().time() + self._seconds
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self._id
            if self._unread:  # else the server would go on to read, and throw away, whatever is still to come
                headers["connection"] = "close"
        try:
            async with asyncio.timeout_at(self._send_by):
                await self._send(message)
        except TimeoutError:
            raise _NotTaken from None

    def _account(self, seconds: float, metrics: Metrics) -> None:
        route = getattr(self._scope.get("route"), "path", "unmatched")
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        metrics.requests.labels(method, route, str(self._status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        facts = {name: self._state[name] for name in ("model", "rows", "error") if name in self._state}
        say = self._log.debug if route in _QUIET else self._log.info
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
