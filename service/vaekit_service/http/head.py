"""Limits on a connection, and the checks of a request's head that httptools leaves to its user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vaekit_service.errors import Malformed, UnknownCoding

_HOST = re.compile(rb"([\w.~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+(%[\w.~-]+)?\])(:\d*)?", re.ASCII)  # RFC 9112, section 3.2


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may cost before its requests reach the app, and after they are answered."""

    connections: int = 1_000  # open at once; more are answered with 503
    spare: int = 64  # open beyond that while they take their 503; still more are dropped
    target_bytes: int = 8 * 1024  # of the request target: path and query
    head_bytes: int = 32 * 1024  # of the head; of trailers; of what stands between two pieces of a chunked body
    fields: int = 100  # of the head; of trailers
    head_seconds: float = 10.0  # from the first byte of a head, or from the connection, to the end of the head
    unread_bytes: int = 64 * 2**20  # of a body that nobody reads: discarded; then the connection is cut off
    unread_seconds: float = 10.0  # the same in time
    full_seconds: float = 1.0  # in which a connection beyond the cap must take its 503


def check_head(headers: Sequence[tuple[bytes, bytes]], http_version: str) -> None:
    """Refuse a head without exactly one host, or with a framing that two readers may read in two ways.

    Raises:
        Malformed: see above.
        UnknownCoding: a transfer coding besides chunked.
    """
    hosts = [value for name, value in headers if name == b"host"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if len(hosts) > 1 or not (hosts or http_version == "1.0"):
        raise Malformed(f"host: given {len(hosts)} times, expected once")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise Malformed(f"host: {hosts[0][:80].decode('latin-1')!r} is not the name of a host")
    if not codings:
        return
    given = [coding.strip().lower() for coding in b",".join(codings).split(b",")]
    if http_version == "1.0" or given[-1] != b"chunked" or given.count(b"chunked") > 1:
        raise Malformed("transfer-encoding: chunked must be the last coding, given once, in HTTP/1.1")
    if len(given) > 1:
        raise UnknownCoding(f"transfer-encoding {given[0][:40].decode('latin-1')!r}: only chunked is read")
