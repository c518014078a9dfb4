"""The limits of one connection, and checks of a request's head that httptools does not make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vaekit_service.errors import Malformed, UnknownCoding

_HOST = re.compile(rb"([\w.~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+(%[\w.~-]+)?\])(:\d*)?", re.ASCII)  # RFC 9112, section 3.2


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits before a request reaches the app, and after it was answered."""

    connections: int = 1_000  # open at the same time; further ones get a 503
    spare: int = 64  # open beyond that while they receive their 503; further ones are closed at once
    target_bytes: int = 8 * 1024  # of path and query
    head_bytes: int = 32 * 1024  # of headers; of trailers; of chunks without their content and as much framing
    fields: int = 100  # number of headers; number of trailers
    head_seconds: float = 10.0  # from the first byte, or from the start of the connection, to the end of the headers
    first_request_seconds: float = 1.0  # for the first head of a connection, once the service ends
    unread_bytes: int = 256 * 2**20  # of an unread body that are discarded before the connection is aborted
    unread_seconds: float = 10.0  # for the same
    full_seconds: float = 1.0  # for a connection beyond the limit to receive its 503


def check_head(headers: Sequence[tuple[bytes, bytes]], http_version: str) -> None:
    """Check that a head is of HTTP/1.1 or 1.0 and has exactly one host and an unambiguous framing.

    Raises:
        Malformed: it has not.
        UnknownCoding: it has a transfer coding other than chunked.
    """
    if http_version not in ("1.1", "1.0"):
        raise Malformed(f"HTTP/{http_version}: expected HTTP/1.1 or HTTP/1.0")
    hosts = [value for name, value in headers if name == b"host"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if len(hosts) > 1 or not (hosts or http_version == "1.0"):
        raise Malformed(f"host: {len(hosts)} headers; expected exactly one")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise Malformed(f"host: {hosts[0][:80].decode('latin-1')!r} is not a host name or address")
    if not codings:
        return
    given = [coding.strip().lower() for coding in b",".join(codings).split(b",")]
    if http_version == "1.0" or given[-1] != b"chunked" or given.count(b"chunked") > 1:
        raise Malformed("transfer-encoding: expected chunked as the last coding, once, in HTTP/1.1")
    if len(given) > 1:
        raise UnknownCoding(f"transfer-encoding {given[0][:40].decode('latin-1')!r}: only chunked is supported")
