"""The outermost middleware: makes the context of each request, turns errors into replies, writes log and metrics."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from http import HTTPStatus
from logging import DEBUG, INFO
from secrets import token_hex
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vaekit.client.wire import REQUEST_ID_HEADER
from vaekit.errors import VaeError
from vaekit_service.components import Lifecycle
from vaekit_service.engine.limits import MemoryBudget
from vaekit_service.errors import Disconnected, NotHealthy
from vaekit_service.http import problems
from vaekit_service.http.request_context import CONNECTION, CONTEXT, RequestContext, RequestTimer, is_v2, route_path
from vaekit_service.logs import Log
from vaekit_service.metrics import Metrics

MAX_DISCARDED_BYTES = 2**20  # rest of a refused body; reading a longer rest costs more than a new connection
_REQUEST_ID = REQUEST_ID_HEADER.encode()
_REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9._-]{1,128}")
_QUIET = {"probes", "page", "metrics"}  # requests of monitoring every few seconds, and the files of the page


class AccessLog:
    """ASGI middleware.

    Args:
        app: the ASGI app that answers the requests.
        log, metrics: record each request.
        memory: limits the bytes of all bodies and replies in flight.
        lifecycle: while it drains, every reply asks the caller to close the connection.
        reply_seconds: time in which a caller must read its reply.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        log: Log,
        metrics: Metrics,
        memory: MemoryBudget,
        lifecycle: Lifecycle,
        reply_seconds: float,
    ) -> None:
        self._app, self._log, self._metrics = app, log, metrics
        self._memory, self._lifecycle, self._seconds = memory, lifecycle, reply_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = make_context(scope, self._memory)
        exchange = _Exchange(scope, context, receive, send, self._log, self._lifecycle, self._seconds)
        await exchange.run(self._app, self._metrics)


def make_context(scope: Scope, memory: MemoryBudget) -> RequestContext:
    """Create the context of a new request and store it in the scope's state."""
    headers = dict(reversed(scope["headers"]))
    given = headers.get(_REQUEST_ID, b"").decode("latin-1")
    state = scope.setdefault("state", {})
    state[CONTEXT] = context = RequestContext(
        id=given if _REQUEST_ID_FORM.fullmatch(given) else token_hex(16),
        headers=headers,
        timer=RequestTimer(),
        memory=memory.reserve(),
        connection=state.get(CONNECTION),
        is_v2=is_v2(route_path(scope)),
    )
    return context


class ReplyNotRead(Exception):
    """The caller did not read its reply in time."""


class _Exchange:
    """One request and its reply."""

    def __init__(
        self,
        scope: Scope,
        context: RequestContext,
        receive: Receive,
        send: Send,
        log: Log,
        lifecycle: Lifecycle,
        seconds: float,
    ) -> None:
        self._scope, self._context, self._receive, self._send = scope, context, receive, send
        self._log, self._lifecycle, self._seconds = log, lifecycle, seconds
        declared = context.headers.get(b"content-length", b"0")
        self._unread = int(declared[:20]) if declared.isdigit() else -1  # bytes of the body to come; -1: unknown
        if b"transfer-encoding" in context.headers:
            self._unread = -1
        self._status = 500  # the status that the server sends if the app sends none
        self._has_begun = False  # whether the reply has begun

    async def run(self, app: ASGIApp, metrics: Metrics) -> None:
        start = perf_counter()
        metrics.in_flight += 1
        try:
            await self._answer(app)
        finally:
            self._context.timer.stop()
            self._context.memory.release()
            metrics.in_flight -= 1
            self._record(perf_counter() - start, metrics)

    async def _answer(self, app: ASGIApp) -> None:
        error = await self._error_of(app(self._scope, self._receiving, self._sending))
        if error is None:
            return
        if not isinstance(error, VaeError | ReplyNotRead):  # logged here, where the request id is known
            self._log.error("crash", request_id=self._context.id, exc_info=error)
        self._context.memory.release()
        if not self._has_begun:
            problem = problems.respond(self._context, error)
            error = await self._error_of(problem(self._scope, self._receive, self._sending))
        if isinstance(error, ReplyNotRead):
            await self._abort_connection()
        elif error is not None:
            raise error  # part of the reply was already sent, so the server must close the connection

    async def _error_of(self, work: Awaitable[None]) -> Exception | None:
        """The error that ended the work, from the work itself or the request's timer; None if there was none."""
        try:
            await work
        except asyncio.CancelledError:
            if self._context.timer.reason is None:
                raise
            return self._context.timer.uncancel()
        except Exception as exc:  # noqa: BLE001 - the caller must get a reply to any error
            return exc
        return None

    async def _abort_connection(self) -> None:
        """Abort the connection and drop unsent bytes; a normal close would wait until the caller reads them."""
        self._context.error = f"the caller did not read its reply within {self._seconds:g} s"
        self._context.error_class = ReplyNotRead
        if self._context.connection is None:
            raise ReplyNotRead  # another server than ours, which cannot abort
        self._context.connection.abort()
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
            self._context.timer.pause()
            self._context.timer.set_deadline(self._seconds, ReplyNotRead)
            message["headers"] = headers = [*message.get("headers", ()), (_REQUEST_ID, self._context.id.encode())]
            is_refused = self._unread and not self._context.is_stream
            if self._lifecycle.draining or (is_refused and not self._stays_open()):
                headers.append((b"connection", b"close"))
        if self._context.connection is not None and self._context.connection.is_closing():
            self._status, self._context.error = problems.HUNG_UP, Disconnected.__name__
            self._context.error_class = Disconnected
        await self._send(message)

    def _stays_open(self) -> bool:
        """Whether the server discards the rest of the body and keeps the connection, instead of closing it.

        A caller that expects `100 Continue` may send its next request in place of the body.
        """
        is_short = 0 < self._unread <= MAX_DISCARDED_BYTES
        return is_short and b"expect" not in self._context.headers and self._status != HTTPStatus.REQUEST_TIMEOUT

    def _record(self, seconds: float, metrics: Metrics) -> None:
        context, scope = self._context, self._scope
        route = getattr(scope.get("route"), "path", context.route or "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        metrics.answered(method, route, self._status, seconds)
        self._count_error(metrics, seconds)
        if context.access == "admin":
            self._audit(method, route)
        is_quiet = context.access in _QUIET and context.error != NotHealthy.__name__
        level, write = (DEBUG, self._log.debug) if is_quiet else (INFO, self._log.info)
        if not self._log.is_enabled_for(level):
            return
        model = None if context.model is None else f"{context.model.name}@{context.model.version}"
        facts = {"key": context.key, "model": model, "rows": context.rows, "error": context.error}
        write(
            "request",
            request_id=context.id,
            method=method,
            route=route,
            status=self._status,
            duration_ms=round(seconds * 1e3, 3),
            **{name: fact for name, fact in facts.items() if fact is not None},
        )

    def _count_error(self, metrics: Metrics, seconds: float) -> None:
        """Count a request that got no answer. Redirects, and failed probes, are answers."""
        error, manifest, operation = self._context.error_class, self._context.model, self._context.operation
        if error is not None:
            metrics.rejected(error.__name__)
            if manifest is not None and operation is not None:
                metrics.refused_by(manifest, operation, error, self._status, seconds)
        elif self._status >= HTTPStatus.BAD_REQUEST:  # from the router: unknown path, or wrong method
            metrics.rejected(HTTPStatus(self._status).phrase)

    def _audit(self, method: str, route: str) -> None:
        """Write who called an admin route and with what result, also if the call was refused."""
        context, scope = self._context, self._scope
        client = scope.get("client")
        self._log.warning(
            "audit",
            request_id=context.id,
            key=context.key,
            client=client[0] if client else None,
            method=method,
            route=route,
            parameters={name: str(value)[:64] for name, value in scope.get("path_params", {}).items()},
            status=self._status,
            error=context.error,
        )


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
