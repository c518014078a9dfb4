"""Bodies, read with a cap, and the budget of bytes that they share with replies. Knows bytes, no meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from starlette.types import Receive

from vaekit_service.errors import Disconnected, Overloaded, TooLarge, Unparsable

Body = bytes | bytearray
Hold = Callable[[int], None]
State = Mapping[str, Any]  # of a request, as ASGI has it
INFLOW = "inflow"  # in there, where a server leaves its way for large bodies, if it has one; see connection.Inflow
LARGE = 256 * 1024  # bytes of a body for which that way is worth its trouble


class Intake:
    """Reads bodies, and bounds what all of them and the replies hold together."""

    def __init__(self, *, max_body_bytes: int, max_inflight_bytes: int) -> None:
        self._max_body = max_body_bytes
        self._max_total = max_inflight_bytes
        self.held = 0  # bytes of all bodies and replies in flight

    def reserve(self) -> Reservation:
        """Room for one request's body and then its reply, given back at the end of a `with` block."""
        return Reservation(self)

    async def read(self, receive: Receive, declared: bytes, room: Reservation, state: State) -> Body:
        """The whole body.

        What Content-Length declares is held against the cap before a byte is read; room is taken as bytes come, since
        a declaration costs its sender nothing.

        Args:
            receive: gives the body, piece by piece.
            declared: what Content-Length says.
            room: what the body is counted in.
            state: of the request, where the server may have left a way for the rest of a large body.

        Raises:
            Unparsable: Content-Length says no length.
            TooLarge: the body is over the cap.
            Overloaded: the bodies in flight leave no room for it.
            Disconnected: the caller hung up.
        """
        if not declared.isdigit():
            raise Unparsable(f"content-length: not a length: {declared[:40].decode('latin-1')!r}")
        size = int(declared[:20])
        self.check(size)
        if size > LARGE and INFLOW in state:
            direct: bytearray | None = await state[INFLOW].take(state, size, lambda n: self._take(n, room))
            if direct is not None:
                await _piece(receive)  # which says that it was all
                return direct
        body, is_whole = await _piece(receive)
        self._take(len(body), room)
        if is_whole:
            return body
        whole = bytearray(body)
        while not is_whole:
            body, is_whole = await _piece(receive)
            self._take(len(whole) + len(body), room)
            whole += body
        return whole

    def _take(self, size: int, room: Reservation) -> None:
        self.check(size)
        room.hold(size)

    def check(self, size: int) -> None:
        """
        Raises:
            TooLarge: a body may not have the size.
        """
        if size > self._max_body:
            raise TooLarge(f"body: more than {self._max_body} bytes, the most that one request may have")

    def change(self, old: int, new: int) -> None:
        """Count one request's bytes as `new` in place of `old`.

        A request that is alone always has room: else the largest replies would never fit.
        """
        others = self.held - old
        if new > old and others and others + new > self._max_total:
            raise Overloaded(f"{others} bytes of other requests are in flight, no room for {new} more")
        self.held = others + new


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """The next bytes of a body, and whether they are its last."""
    message = await receive()
    if message["type"] != "http.request":
        raise Disconnected("the caller hung up while sending its body")
    return message.get("body", b""), not message.get("more_body", False)


class Reservation:
    """How many bytes one request holds of the intake's budget."""

    __slots__ = ("_intake", "size")

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size = 0

    def hold(self, size: int) -> None:
        """Hold so many bytes from here on.

        Raises:
            Overloaded: the budget has no room for them.
        """
        self._intake.change(self.size, size)
        self.size = size

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._intake.held -= self.size
        self.size = 0
