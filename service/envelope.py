"""What every request has around it: an id, a log line, its metrics. Knows times and sizes, never a payload."""

from __future__ import annotations

import re
import uuid
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import Log
from service.metrics import Metrics
from vaekit.client.wire import REQUEST_ID_HEADER

_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_QUIET = {"/healthz", "/readyz", "/metrics"}  # asked for every few seconds by machines


class Envelope:
    """ASGI middleware, outermost of ours."""

    def __init__(self, app: ASGIApp, *, log: Log, metrics: Metrics) -> None:
        self._app, self._log, self._metrics = app, log, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(scope, receive, send).run(self._app, self._log, self._metrics)


class _Exchange:
    """One request and its reply, as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID_HEADER, "")
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._state["request_id"] = self._id = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        self._unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._status = 500  # what the server answers where the app gives nothing

    async def run(self, app: ASGIApp, log: Log, metrics: Metrics) -> None:
        start = perf_counter()
        try:
            with metrics.in_flight.track_inprogress():
                await app(self._scope, self._receiving, self._sending)
        finally:
            self._account(perf_counter() - start, log, metrics)

    async def _receiving(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def _sending(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self._id
            if self._unread:  # else the server would go on to read, and throw away, whatever is still to come
                headers["connection"] = "close"
        await self._send(message)

    def _account(self, seconds: float, log: Log, metrics: Metrics) -> None:
        route = getattr(self._scope.get("route"), "path", "unmatched")
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        metrics.requests.labels(method, route, str(self._status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        facts = {name: self._state[name] for name in ("model", "rows", "error") if name in self._state}
        say = log.debug if route in _QUIET else log.info
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
