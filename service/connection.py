"""One connection: uvicorn's protocol, with what a request may ask of it. Knows uvicorn's insides, and no request.

A request finds two things in its state. One cuts the connection off. The other, where uvicorn parses with httptools,
takes in the rest of a large body: from the socket into its place, in one copy, where the way through parser, protocol
and message makes four; or throws it away as it comes.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from service.body import INFLOW, Hold, State
from service.envelope import ABORT
from service.errors import Disconnected, ServiceError

try:
    import httptools
except ImportError:  # another Python, for which uvicorn has another parser
    httptools = None  # type: ignore[assignment]

SCRATCH = 256 * 1024  # bytes that are thrown away at once


def connect(**given: Any) -> asyncio.Protocol:
    """uvicorn's protocol of one connection."""
    http: Any = AutoHTTPProtocol(**given)
    http.app_state = {**http.app_state, ABORT: lambda: http.transport.abort()}
    if httptools is not None:
        http.app_state[INFLOW] = Inflow(http)
    return cast(asyncio.Protocol, http)


class Inflow:
    """The rest of a body, past parser and messages."""

    def __init__(self, http: Any) -> None:
        self._http = http  # uvicorn's protocol of the connection
        self._rest: _Rest | None = None

    async def take(self, state: State, size: int, hold: Hold) -> bytearray | None:
        """The whole of a body, whose next message from the server is then its end; None where all of it is here already.

        Args:
            state: of the request, of whose body nothing was received yet; the connection may be further on, with what
                its caller sent ahead.
            size: of the whole.
            hold: is told, as bytes come, how many there are; what it raises ends the reading.

        Raises:
            Disconnected: the caller hung up.
        """
        if not self._is_at(state):
            return None
        cycle, body = self._http.cycle, bytearray(size)
        if cycle.waiting_for_100_continue:
            self._http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        hold(filled := len(cycle.body))
        body[:filled] = cycle.body
        cycle.message_event.clear()
        self._rest = _Rest(self._http, body, filled, hold)
        try:
            await self._rest.done
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
        if self._rest is not None and self._rest.has_begun(state):
            self._rest.drop()
        elif (left := left - len(self._http.cycle.body)) > 0:
            _Rest(self._http, bytearray(min(left, SCRATCH)), 0, lambda _: None).drop(left)

    def _is_at(self, state: State) -> bool:
        """Whether the connection waits for more of the request's body."""
        cycle = self._http.cycle
        return cycle.scope["state"] is state and cycle.more_body and not cycle.disconnected


class _Rest(asyncio.BufferedProtocol):
    """Has the connection until the rest of a body is there."""

    def __init__(self, http: Any, body: bytearray, filled: int, hold: Hold) -> None:
        self._http, self._state, self._hold = http, http.cycle.scope["state"], hold
        self._body, self._filled, self._dropped = memoryview(body), filled, -1
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        http.cycle.body = bytearray()
        http.transport.set_protocol(self)
        http.flow.read_paused = False
        http.transport.resume_reading()

    def has_begun(self, state: State) -> bool:
        return self._state is state

    def drop(self, left: int | None = None) -> None:
        """From here on throw away what comes: so many bytes, or what the body lacks."""
        self._dropped = len(self._body) - self._filled if left is None else left
        self._http.transport.resume_reading()
        if not self._dropped:  # what was refused was the last of it
            self._give_back()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio gives it
        return self._body[self._filled :] if self._dropped < 0 else self._body[: self._dropped]

    def buffer_updated(self, nbytes: int) -> None:
        if self._dropped >= 0:
            self._dropped -= nbytes
            if not self._dropped:
                self._give_back()
            return
        self._filled += nbytes
        try:
            self._hold(self._filled)
        except ServiceError as exc:
            self._http.transport.pause_reading()
            if not self.done.done():
                self.done.set_exception(exc)
            return
        if self._filled == len(self._body):
            self._give_back()
            if not self.done.done():
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
            self.done.exception()  # where nobody waits for it any more, nobody need hear of it
        self._http.connection_lost(exc)

    def eof_received(self) -> None:
        self._http.eof_received()

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()
