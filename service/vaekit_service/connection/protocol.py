"""uvicorn's protocol with limits on everything that a caller sends outside a body.

uvicorn limits neither the size of headers and trailers nor the time they take, and closes a connection with unread
bytes so that the reply is lost. Bodies have their own limits, see body.py. This class uses attributes of uvicorn's
protocol that are the same in all versions that pyproject.toml allows.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from collections.abc import Callable, Iterable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from vaekit_service.connection.head import ConnectionLimits, check_head
from vaekit_service.connection.transport import ClosingTransport, Connection
from vaekit_service.errors import HeadTooLarge, Malformed, ServiceError, SlowHead, TargetTooLong, TooManyConnections
from vaekit_service.http.request_context import CONNECTION

PIECE = 64 * 1024  # bytes that are parsed before the limits are checked again
DISCARD_PAUSE = 0.002  # seconds between two reads, of up to 256 KiB, of input that is discarded
MAX_PIPELINED = 100  # requests that a caller may send before their replies

Headers = Iterable[tuple[bytes, bytes]]  # those that uvicorn adds to every reply
# logs and counts a refusal of a request, whose target may be known; returns the whole reply
Refuse = Callable[[ServiceError, Headers, bytes], bytes]


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with `ConnectionLimits`. Requests to upgrade to another protocol are ignored.

    Args:
        limits: see `ConnectionLimits`.
        refuse: called once for each request or connection that is refused here.
        given: arguments of uvicorn's protocol.
    """

    def __init__(self, *, limits: ConnectionLimits, refuse: Refuse, **given: Any) -> None:
        super().__init__(**given)
        self._limits, self._refuse = limits, refuse
        self._running: RequestResponseCycle | None = None  # the request being answered; later ones wait in `pipeline`
        self._error: ServiceError | None = None  # parsing has ended; answered after the requests before it
        self._left: int | None = None  # bytes that may still be discarded; None: not closing
        self._deadline: TimerHandle | None = None
        self._in_head = self._is_replay = False
        self._size = self._fields = 0  # bytes and number of header fields, or of trailers
        self._unparsed = 0  # bytes since the last head or message, less twice the content

    # Called by asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # never a datagram one
        super().connection_made(transport)
        self._connection = Connection(transport, self._close)
        self.app_state = {**self.app_state, CONNECTION: self._connection}
        self._closing = ClosingTransport(transport, self._close)
        surplus = len(self.connections) - (most := self._limits.connections)
        if surplus <= 0:
            self._set_deadline(self._limits.head_seconds, self._late)
            return
        full = TooManyConnections(f"{most} connections are open, the limit of this service; retry later")
        if surplus > self._limits.spare:  # no file descriptor to spare for a caller that sends before it reads
            transport.write(self._refuse(full, self.server_state.default_headers, b""))
            transport.close()
        else:
            self._end(full)
            self._set_deadline(self._limits.full_seconds, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._has_ended():
            self._discard(len(data))
            return
        for at in range(0, len(data), PIECE):
            self._parse(data if len(data) <= PIECE else memoryview(data)[at : at + PIECE])
            if self._has_ended():
                return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        self._unset_keepalive_if_required()
        self._cancel_deadline()
        super().connection_lost(exc)
        self._running = None
        # ends the reference cycles, so that memory is freed at once
        self._closing.close = self._connection.close = self.transport.abort

    # Called by httptools

    def on_message_begin(self) -> None:
        if not self._is_replay:
            self._unset_keepalive_if_required()  # here, so that empty lines between requests do not put it off
            super().on_message_begin()
            self._in_head, self._size, self._fields = True, 0, 0

    def on_url(self, url: bytes) -> None:
        if not self._is_replay:
            super().on_url(url)
            if len(self.url) > (most := self._limits.target_bytes):
                raise TargetTooLong(f"the request target has more than {most} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_replay:
            return
        self._size += len(name) + len(value) + 4  # colon, space and line end
        self._fields += 1
        if self._size > self._limits.head_bytes or self._fields > self._limits.fields:
            raise self._too_large()
        if self._in_head:
            super().on_header(name, value)  # trailers are dropped: the app may already have read the headers

    def on_headers_complete(self) -> None:
        if self._is_replay:
            self._is_replay = False
            return
        check_head(self.headers, self.parser.get_http_version())
        if len(self.pipeline) >= MAX_PIPELINED:
            raise Malformed(f"more than {MAX_PIPELINED} requests were sent without waiting for their replies")
        super().on_headers_complete()
        self._in_head, self._size, self._fields, self._unparsed = False, 0, 0, 0
        self._cancel_deadline()
        self.cycle.transport = cast(asyncio.Transport, self._closing)
        if not self.pipeline or self.pipeline[0][0] is not self.cycle:
            self._running = self.cycle

    def on_body(self, body: bytes) -> None:
        self._unparsed = max(0, self._unparsed - 2 * len(body))  # chunks may have as much framing as content
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # httptools skips the body of such a request; `_ignore_upgrade` reads it
        self._unparsed = 0
        super().on_message_complete()
        self.cycle.more_body = False
        if self._running is None:  # the reply was sent before the body ended
            self._cancel_deadline()

    # Called by uvicorn

    def shutdown(self) -> None:
        """Close the connection after the request in flight; one that never had a request may still send its first."""
        had_request = self.cycle is not None
        if had_request or self._error is not None or self.transport.is_closing():
            super().shutdown()
        else:
            self._set_deadline(self._limits.first_request_seconds, self.transport.close)

    def _should_upgrade(self) -> bool:
        return False

    def on_response_complete(self) -> None:
        self._running = self.pipeline[-1][0] if self.pipeline else None
        if self._left is not None:
            self._running = None
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self._running is None and not self.transport.is_closing():
            if self._error is not None:
                self._answer_error()
            else:
                self._watch()

    def _has_ended(self) -> bool:
        """Whether the rest of the input is discarded."""
        return self._error is not None or self._left is not None

    def _parse(self, data: bytes | memoryview) -> None:
        self._unparsed += len(data)
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                data = data[exc.args[0] :]
                self._ignore_upgrade()
                if data:
                    continue
            except httptools.HttpParserError as exc:
                cause = exc.__context__
                self._end(cause if isinstance(cause, ServiceError) else Malformed(_cannot_read(exc)))
            else:
                if self._unparsed > self._limits.head_bytes:
                    self._end(self._too_large())
            return

    def _ignore_upgrade(self) -> None:
        """Continue as if the head had no Upgrade header: replay its framing to a new parser."""
        framing = b"".join(
            b"%b: %b\r\n" % field for field in self.headers if field[0] in (b"content-length", b"transfer-encoding")
        )
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._is_replay = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")

    def _too_large(self) -> HeadTooLarge:
        is_body = not self._in_head and self.cycle is not None and self.cycle.more_body
        what = "trailers or the framing of chunks have" if is_body else "the head has"
        return HeadTooLarge(f"{what} more than {self._limits.head_bytes} bytes or {self._limits.fields} fields")

    def _watch(self) -> None:
        """Set the deadline for the rest of a head or an unread body, or for the next request."""
        if self._running is not None:
            return
        is_unread = self.cycle is not None and self.cycle.more_body
        if self._in_head or is_unread:
            self._unset_keepalive_if_required()
            if self._deadline is None and self._in_head:
                self._set_deadline(self._limits.head_seconds, self._late)
            elif self._deadline is None:
                self._set_deadline(self._limits.unread_seconds, self.transport.abort)
        elif self._deadline is None and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _late(self) -> None:
        if self._in_head:
            self._end(SlowHead(f"the head did not arrive within {self._limits.head_seconds:g} s"))
        else:  # no request has begun
            self.transport.close()

    def _end(self, error: ServiceError) -> None:
        """End parsing, and answer with the error after the replies to earlier requests."""
        self._error = error
        self._cancel_deadline()
        cycle = self.cycle
        if cycle is not None and cycle.more_body and not self._in_head:  # the error is in its body
            if cycle.response_complete:
                self._close()
                return
            if cycle is not self._running:
                self.pipeline.popleft()
            else:
                cycle.disconnected = True
                cycle.message_event.set()
                self._running = None
                if cycle.response_started:  # the reply to a body that arrives ends early, so that the caller sees it
                    self._close()
                    return
        if self._running is None:
            self._answer_error()

    def _answer_error(self) -> None:
        assert self._error is not None
        target = self.url if self._in_head or self.cycle is not None else b""
        self.transport.write(self._refuse(self._error, self.server_state.default_headers, target))
        self._close()

    def _close(self) -> None:
        """Close the connection so that the reply arrives: closing with unread bytes would reset it."""
        is_read = self.cycle is None or not self.cycle.more_body
        if is_read and self._error is None and not self._in_head and not self.pipeline:
            self.transport.close()
        elif self._left is None and not self.transport.is_closing():
            self._left = self._limits.unread_bytes
            self.pipeline.clear()
            self._unset_keepalive_if_required()
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.flow.resume_reading()
            self._set_deadline(self._limits.unread_seconds, self.transport.abort)

    def _discard(self, size: int) -> None:
        """Discard input, with pauses, so that those who send without end do not keep the event loop busy."""
        self.flow.pause_reading()
        if self._left is None:
            return  # an earlier request is still being answered
        self._left -= size
        if self._left < 0:
            self.transport.abort()
        else:
            self.loop.call_later(DISCARD_PAUSE, self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _set_deadline(self, seconds: float, act: Callable[[], None]) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(seconds, act)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _cannot_read(error: httptools.HttpParserError) -> str:
    if isinstance(error, httptools.HttpParserCallbackError):  # uvicorn cannot parse the target
        return "the request target cannot be read"
    return f"this is not HTTP/1.1: {error}"
