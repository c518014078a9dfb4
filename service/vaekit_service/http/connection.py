"""One connection: between asyncio's transport and uvicorn's protocol, whose private attributes it uses.

A request finds its connection in the scope's state. The connection can be cut off. Where uvicorn parses with httptools,
it also reads large bodies straight from the socket into their place (one copy, in place of five by parser, protocol and
message), and throws the rest of a refused body away as it arrives.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from vaekit_service.errors import Disconnected, ServiceError
from vaekit_service.http.request_context import CONNECTION, OnBytes

with suppress(ImportError):  # another Python, for which uvicorn has another parser
    import httptools

_HAS_HTTPTOOLS = find_spec("httptools") is not None
SCRATCH = 64 * 1024  # bytes of one read that belongs to no large body


def connect(**given: Any) -> asyncio.BaseProtocol:
    """The protocol of one connection."""
    http: Any = AutoHTTPProtocol(**given)
    connection = Connection(http) if _HAS_HTTPTOOLS else PlainConnection(http)
    http.app_state = {**http.app_state, CONNECTION: connection}
    return connection if isinstance(connection, Connection) else cast(asyncio.BaseProtocol, http)


class PlainConnection:
    """Where uvicorn does not parse with httptools: bodies come through ASGI alone."""

    def __init__(self, http: Any) -> None:
        self._http = http

    def abort(self) -> None:
        self._http.transport.abort()

    async def read_body(self, scope: Scope, size: int, on_bytes: OnBytes) -> None:  # noqa: ARG002  see Connection
        return None

    def discard_body(self, scope: Scope, left: int) -> None:
        """uvicorn itself reads on, and drops what arrives."""


class Connection(asyncio.BufferedProtocol):
    """Reads for uvicorn's protocol, and past it where a request asks for its body."""

    _scratch = memoryview(bytearray(SCRATCH))  # of all: what is read into it is handed on before anything else is read

    def __init__(self, http: Any) -> None:
        self._http = http
        self._rest: _Rest | None = None  # of a body that is on its way past uvicorn

    def abort(self) -> None:
        self._http.transport.abort()

    async def read_body(self, scope: Scope, size: int, on_bytes: OnBytes) -> bytearray | None:
        """The whole of a body, whose next message from the server is then its end; None where it is all here already.

        Args:
            scope: of the request, of whose body nothing was received yet; the connection may be further on, with what
                its caller sent ahead.
            size: of the whole.
            on_bytes: called with the number of bytes as they arrive; an error that it raises ends the reading.

        Raises:
            Disconnected: the caller hung up.
        """
        cycle = self._http.cycle
        if not self._is_at(scope):
            return None
        if cycle.waiting_for_100_continue:
            self._http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        on_bytes(filled := len(cycle.body))
        body = bytearray(size)
        body[:filled] = cycle.body
        self._rest = rest = _Rest(memoryview(body), filled, on_bytes)
        self._read_on()
        try:
            await rest.done
        except BaseException:
            self._http.transport.pause_reading()
            raise
        return body

    def discard_body(self, scope: Scope, left: int) -> None:
        """Throw away what is still to come of a body.

        Args:
            scope: of the request.
            left: bytes of its body that it has not received.
        """
        if not self._is_at(scope):
            return
        left = left - len(self._http.cycle.body) if self._rest is None else self._rest.missing
        self._rest = _Rest(self._scratch, 0, lambda _: None, dropped=left)
        self._read_on()
        if not left:
            self._give_back()

    def _is_at(self, scope: Scope) -> bool:
        """Whether the connection waits for more of the request's body."""
        cycle = self._http.cycle
        return cycle.scope["state"] is scope["state"] and cycle.more_body and not cycle.disconnected

    def _read_on(self) -> None:
        self._http.cycle.body = bytearray()
        self._http.cycle.message_event.clear()
        self._http.flow.read_paused = False
        self._http.transport.resume_reading()

    def _give_back(self) -> None:
        """The connection to uvicorn, which finds the message complete: at once, since another may follow."""
        self._rest = None
        self._http.parser = httptools.HttpRequestParser(self._http)  # the old one waits for what it never saw
        self._http.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._http.on_message_complete()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio gives it
        return self._scratch if self._rest is None else self._rest.place

    def buffer_updated(self, nbytes: int) -> None:
        if self._rest is None:
            self._http.data_received(bytes(self._scratch[:nbytes]))
        elif not self._rest.add(nbytes):
            self._http.transport.pause_reading()
        elif not self._rest.missing:
            done = self._rest.done
            self._give_back()
            if not done.done():
                done.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._http.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest is not None:
            self._rest.end(Disconnected("the caller hung up while sending its body"))
        self._http.connection_lost(exc)

    def eof_received(self) -> None:
        self._http.eof_received()

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()


class _Rest:
    """What is still to come of a body, and where it goes: on in its place, or, where it is dropped, nowhere."""

    def __init__(self, body: memoryview, filled: int, on_bytes: OnBytes, *, dropped: int | None = None) -> None:
        self._body, self._filled, self._on_bytes, self._is_dropped = body, filled, on_bytes, dropped is not None
        self.missing = len(body) - filled if dropped is None else dropped  # bytes
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def place(self) -> memoryview:
        """Where the next bytes go."""
        return self._body[self._filled : self._filled + self.missing]

    def add(self, nbytes: int) -> bool:
        """Bytes have come; whether there is room for them."""
        self.missing -= nbytes
        if not self._is_dropped:
            self._filled += nbytes
        try:
            self._on_bytes(self._filled)
        except ServiceError as exc:
            self.end(exc)
            return False
        return True

    def end(self, error: ServiceError) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # marks the error as seen when no caller waits for it
