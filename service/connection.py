"""One connection: uvicorn's protocol, with what a request may ask of it. Knows uvicorn's insides, and no request.

A request finds two functions in its state. One cuts the connection off. The other, where uvicorn parses with httptools,
takes in the rest of a large body: from the socket into its place, in one copy, where the way through parser, protocol
and message makes four.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from service.body import INFLOW, Hold, State
from service.envelope import ABORT
from service.errors import Disconnected, ServiceError

try:
    import httptools
except ImportError:  # another Python, for which uvicorn has another parser
    httptools = None  # type: ignore[assignment]


def connect(**given: Any) -> asyncio.Protocol:
    """uvicorn's protocol of one connection."""
    http: Any = AutoHTTPProtocol(**given)
    http.app_state = {**http.app_state, ABORT: lambda: http.transport.abort()}
    if httptools is not None:
        http.app_state[INFLOW] = partial(inflow, http)
    return cast(asyncio.Protocol, http)


async def inflow(http: Any, state: State, first: bytes, size: int, hold: Hold) -> bytearray | None:
    """The whole of a body, whose next message from the server is then its end; None where its rest is here already.

    Args:
        http: uvicorn's protocol of the connection.
        state: of the request; the connection may be further on, with what its caller sent ahead.
        first: the bytes that were received.
        size: of the whole.
        hold: is told, as bytes come, how many there are; what it raises ends the reading.

    Raises:
        Disconnected: the caller hung up.
    """
    cycle = http.cycle
    if cycle.scope["state"] is not state or not cycle.more_body or cycle.disconnected:
        return None
    body = bytearray(size)
    begun = first + bytes(cycle.body)
    body[: len(begun)] = begun
    cycle.body = bytearray()
    cycle.message_event.clear()
    rest = _Rest(http, memoryview(body), len(begun), hold)
    try:
        await rest.done
    except BaseException:
        http.transport.pause_reading()  # the reply says that the connection closes
        raise
    return body


class _Rest(asyncio.BufferedProtocol):
    """Has the connection until the rest of a body is there."""

    def __init__(self, http: Any, body: memoryview, filled: int, hold: Hold) -> None:
        self._http, self._body, self._filled, self._hold = http, body, filled, hold
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        http.transport.set_protocol(self)
        http.flow.read_paused = False
        http.transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio gives it
        return self._body[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self.done.done():
            return
        try:
            self._hold(self._filled)
        except ServiceError as exc:
            self.done.set_exception(exc)
            self._http.transport.pause_reading()
            return
        if self._filled == len(self._body):
            self._give_back()
            self.done.set_result(None)

    def _give_back(self) -> None:
        """The connection to uvicorn, which finds the message complete: at once, since another may follow."""
        http = self._http
        http.parser = httptools.HttpRequestParser(http)  # the old one waits for what it never saw
        http.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        http.on_message_complete()
        http.transport.set_protocol(http)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(Disconnected("the caller hung up while sending its body"))
        self._http.connection_lost(exc)

    def eof_received(self) -> None:
        self._http.eof_received()

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()
