"""An asyncio protocol for one connection, between the transport and uvicorn's protocol.

A request finds its connection in the scope's state and can abort it. If uvicorn parses with httptools, the connection
also reads large bodies from the socket directly into one array (one copy instead of five) and discards the rest of a
refused body as it arrives. It uses private attributes of uvicorn's protocol.
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

with suppress(ImportError):  # not installed with every Python; uvicorn then uses another parser
    import httptools

_HAS_HTTPTOOLS = find_spec("httptools") is not None
SCRATCH = 64 * 1024  # bytes of one read outside of large bodies


def connect(**given: Any) -> asyncio.BaseProtocol:
    """Make the protocol of one connection; uvicorn calls this with the arguments of its own protocol."""
    http: Any = AutoHTTPProtocol(**given)
    connection = Connection(http) if _HAS_HTTPTOOLS else PlainConnection(http)
    http.app_state = {**http.app_state, CONNECTION: connection}
    return connection if isinstance(connection, Connection) else cast(asyncio.BaseProtocol, http)


class PlainConnection:
    """The connection if uvicorn does not parse with httptools: all bodies come through ASGI."""

    def __init__(self, http: Any) -> None:
        self._http = http

    def abort(self) -> None:
        self._http.transport.abort()

    async def read_body(self, scope: Scope, size: int, on_bytes: OnBytes) -> None:  # noqa: ARG002  see Connection
        return None

    def discard_body(self, scope: Scope, left: int) -> None:
        """Nothing to do: uvicorn itself reads and discards the rest."""


class Connection(asyncio.BufferedProtocol):
    """Passes bytes on to uvicorn's protocol, except for large bodies, which it reads itself."""

    _scratch = memoryview(bytearray(SCRATCH))  # shared by all connections: each read is passed on before the next one

    def __init__(self, http: Any) -> None:
        self._http = http
        self._rest: _BodyRest | None = None  # of the body that is read without uvicorn

    def abort(self) -> None:
        self._http.transport.abort()

    async def read_body(self, scope: Scope, size: int, on_bytes: OnBytes) -> bytearray | None:
        """Read a whole body; the next ASGI message is then its end. None if uvicorn already has the whole body.

        Args:
            scope: of the request. `receive` must not have been called for it. The connection may already have
                received later requests that the caller sent ahead.
            size: length of the body in bytes.
            on_bytes: called with the number of bytes so far as they arrive; an error that it raises ends the reading.

        Raises:
            Disconnected: the caller closed the connection.
        """
        cycle = self._http.cycle
        if not self._is_receiving(scope):
            return None
        if cycle.waiting_for_100_continue:
            self._http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        on_bytes(filled := len(cycle.body))
        body = bytearray(size)
        body[:filled] = cycle.body
        self._rest = rest = _BodyRest(memoryview(body), filled, on_bytes)
        self._resume_reading()
        try:
            await rest.done
        except BaseException:
            self._http.transport.pause_reading()
            raise
        return body

    def discard_body(self, scope: Scope, left: int) -> None:
        """Discard the rest of a body as it arrives.

        Args:
            scope: of the request.
            left: bytes of its body that the app has not received.
        """
        if not self._is_receiving(scope):
            return
        left = left - len(self._http.cycle.body) if self._rest is None else self._rest.missing
        self._rest = _BodyRest(self._scratch, 0, lambda _: None, discarded=left)
        self._resume_reading()
        if not left:
            self._end_body()

    def _is_receiving(self, scope: Scope) -> bool:
        """Whether the connection is still receiving the body of this request."""
        cycle = self._http.cycle
        return cycle.scope["state"] is scope["state"] and cycle.more_body and not cycle.disconnected

    def _resume_reading(self) -> None:
        self._http.cycle.body = bytearray()
        self._http.cycle.message_event.clear()
        self._http.flow.read_paused = False
        self._http.transport.resume_reading()

    def _end_body(self) -> None:
        """Hand the connection back to uvicorn with the message complete. The next request may follow at once."""
        self._rest = None
        self._http.parser = httptools.HttpRequestParser(self._http)  # the old one still waits for the body
        self._http.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._http.on_message_complete()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - part of asyncio's interface
        return self._scratch if self._rest is None else self._rest.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._rest is None:
            self._http.data_received(bytes(self._scratch[:nbytes]))
        elif not self._rest.add(nbytes):
            self._http.transport.pause_reading()
        elif not self._rest.missing:
            done = self._rest.done
            self._end_body()
            if not done.done():
                done.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._http.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest is not None:
            self._rest.end(Disconnected("the caller closed the connection while sending its body"))
        self._http.connection_lost(exc)

    def eof_received(self) -> None:
        self._http.eof_received()

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()


class _BodyRest:
    """The rest of a body, which is read into a buffer or discarded.

    Args:
        body: the buffer.
        filled: bytes of the buffer that are filled already.
        on_bytes: called with the number of filled bytes; may raise a ServiceError.
        discarded: number of bytes to discard; None: the bytes are kept.
    """

    def __init__(self, body: memoryview, filled: int, on_bytes: OnBytes, *, discarded: int | None = None) -> None:
        self._body, self._filled, self._on_bytes, self._is_discarded = body, filled, on_bytes, discarded is not None
        self.missing = len(body) - filled if discarded is None else discarded  # bytes
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def buffer(self) -> memoryview:
        """The buffer for the next bytes."""
        return self._body[self._filled : self._filled + self.missing]

    def add(self, nbytes: int) -> bool:
        """Count bytes that have arrived; False if `on_bytes` raised an error."""
        self.missing -= nbytes
        if not self._is_discarded:
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
