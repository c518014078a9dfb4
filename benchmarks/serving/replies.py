"""Parses the bytes of a connection into HTTP/1.1 replies."""

from __future__ import annotations

from dataclasses import dataclass

END = b"\r\n\r\n"


@dataclass(frozen=True)
class Reply:
    """One complete reply."""

    status: int
    body: bytes
    is_last: bool  # the server closes the connection after it


class Replies:
    """Parses the replies of one connection that has one request in flight at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: bytes | None = None  # in lower case, once it is complete; the rest stays in the buffer
        self._length: int | None = None  # of the body; None: chunked encoding

    def feed(self, data: bytes) -> Reply | None:
        """Add received bytes; returns the reply if it is complete now."""
        self._buffer += data
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        body = self._body()
        if body is None:
            return None
        reply = Reply(int(self._head[9:12]), body, b"\r\nconnection: close" in self._head)
        self._buffer.clear()
        self._head = None
        return reply

    def _read_head(self) -> bool:
        end = self._buffer.find(END)
        if end < 0:
            return False
        self._head = bytes(self._buffer[: end + 2]).lower()  # each field includes the end of its line
        del self._buffer[: end + len(END)]
        at = self._head.find(b"\r\ncontent-length:")
        self._length = None if at < 0 else int(self._head[at + 17 : self._head.index(b"\r\n", at + 17)])
        if self._length is None and b"\r\ntransfer-encoding: chunked" not in self._head:
            raise ValueError(f"the reply has neither content-length nor chunked encoding: {self._head!r}")
        return True

    def _body(self) -> bytes | None:
        if self._length is not None:
            return bytes(self._buffer[: self._length]) if len(self._buffer) >= self._length else None
        if not self._buffer.endswith(b"0" + END):  # these bytes may also end a chunk; _join_chunks checks the lengths
            return None
        return _join_chunks(bytes(self._buffer))


def _join_chunks(chunked: bytes) -> bytes | None:
    """The joined chunks, or None if the last one is missing."""
    parts: list[bytes] = []
    at = 0
    while (line := chunked.find(b"\r\n", at)) >= 0:
        size = int(chunked[at:line].partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(chunked[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
    return None
