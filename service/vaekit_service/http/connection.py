"""One connection: reads for uvicorn's protocol, and past it where a request asks. Knows uvicorn's insides, no request.

A request finds two things in its state. One cuts the connection off. The other, where uvicorn parses with httptools,
takes in the rest of a large body: from the socket into its place, in one copy, where the way through parser, protocol
and message makes five; or throws it away as it comes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from vaekit_service.errors import Disconnected, ServiceError
from vaekit_service.http.access_log import ABORT
from vaekit_service.http.body import INFLOW, Hold, State

with suppress(ImportError):  # another Python, for which uvicorn has another parser
    import httptools

_HAS_HTTPTOOLS = find_spec("httptools") is not None
SCRATCH = 64 * 1024  # bytes that are read at once where nobody has said where to


def connect(**given: Any) -> asyncio.BaseProtocol:
    """The protocol of one connection."""
    http: Any = AutoHTTPProtocol(**given)
    http.app_state = {**http.app_state, ABORT: lambda: http.transport.abort()}
    if not _HAS_HTTPTOOLS:
        return cast(asyncio.BaseProtocol, http)
    http.app_state[INFLOW] = connection = Connection(http)
    return connection


class Connection(asyncio.BufferedProtocol):
    """Between a transport and uvicorn's protocol."""

    _scratch = memoryview(bytearray(SCRATCH))  # of all: what is read into it is handed on before anything else is read

    def __init__(self, http: Any) -> None:
        self._http = http
        self._rest: _Rest | None = None  # of a body that is on its way past uvicorn

    async def take(self, state: State, size: int, hold: Hold) -> bytearray | None:
        """The whole of a body, whose next message from the server is then its end; None where it is all here already.

        Args:
            state: of the request, of whose body nothing was received yet; the connection may be further on, with what
                its caller sent ahead.
            size: of the whole.
            hold: is told, as bytes come, how many there are; what it raises ends the reading.

        Raises:
            Disconnected: the caller hung up.
        """
        cycle = self._http.cycle
        if not self._is_at(state):
            return None
        if cycle.waiting_for_100_continue:
            self._http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        hold(filled := len(cycle.body))
        body = bytearray(size)
        body[:filled] = cycle.body
        self._rest = rest = _Rest(memoryview(body), filled, hold)
        self._read_on()
        try:
            await rest.done
        except BaseException:
            self._http.transport.pause_reading()
            raise
        return body

    def drop(self, state: State, left: int) -> None:
        """Throw away what is still to come of a body.

        Args:
            state: of the request.
            left: bytes of its body that it has not received.
        """
        if not self._is_at(state):
            return
        left = left - len(self._http.cycle.body) if self._rest is None else self._rest.missing
        self._rest = _Rest(self._scratch, 0, lambda _: None, dropped=left)
        self._read_on()
        if not left:
            self._give_back()

    def _is_at(self, state: State) -> bool:
        """Whether the connection waits for more of the request's body."""
        cycle = self._http.cycle
        return cycle.scope["state"] is state and cycle.more_body and not cycle.disconnected

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

    def __init__(self, body: memoryview, filled: int, hold: Hold, *, dropped: int | None = None) -> None:
        self._body, self._filled, self._hold, self._is_dropped = body, filled, hold, dropped is not None
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
            self._hold(self._filled)
        except ServiceError as exc:
            self.end(exc)
            return False
        return True

    def end(self, error: ServiceError) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # where nobody waits for it any more, nobody need hear of it
