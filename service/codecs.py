"""Which body types are read and which reply types are written, by content type. Knows headers, not their contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from service import jsoncodec, npycodec, picturecodec
from service.answers import Answer
from service.body import Body
from service.errors import MediaType, NotAcceptable
from service.jobs import Operation
from service.requests import Parsed, Target
from vaekit.client.wire import JSON_TYPE, NPY_TYPE, PICTURE_TYPES

_LONG = 200  # bytes of headers; what is said for longer ones is found out each time, and not remembered

Read = Callable[[Body, Mapping[str, str], Target], Parsed]


@dataclass(frozen=True)
class Reader:
    """How bodies of one content type are read."""

    media_type: str
    read: Read
    not_for: frozenset[Operation] = frozenset()  # operations whose bodies it cannot hold
    large: int = (
        64 * 1024
    )  # bytes of a body beyond which a thread reads it, so that the event loop does not stand still
    unpacks: bool = True  # whether pictures in it may become larger than they are


@dataclass(frozen=True)
class Writer:
    """How replies of one content type are written."""

    media_type: str
    write: Callable[[Answer], bytes]
    headers: Callable[[Answer], dict[str, str]] = lambda _: {}


READERS = (
    Reader(JSON_TYPE, jsoncodec.read),
    Reader(NPY_TYPE, npycodec.read, not_for=frozenset({"sample"}), large=4 * 2**20, unpacks=False),
    *(Reader(kind, picturecodec.read, not_for=frozenset({"sample", "decode"})) for kind in PICTURE_TYPES),
)
WRITERS = (Writer(JSON_TYPE, jsoncodec.write), Writer(NPY_TYPE, npycodec.write, npycodec.headers))


def reader(content_type: bytes, content_encoding: bytes, operation: Operation) -> Reader:
    """The reader of the request's body, by its headers.

    Raises:
        MediaType: a type that the operation does not read, or a compressed body.
    """
    if len(content_type) + len(content_encoding) > _LONG:
        return _reader.__wrapped__(content_type, content_encoding, operation)
    return _reader(content_type, content_encoding, operation)


@lru_cache
def _reader(content_type: bytes, content_encoding: bytes, operation: Operation) -> Reader:
    known = {reader.media_type: reader for reader in READERS if operation not in reader.not_for}
    coding = content_encoding.decode("latin-1").strip().lower()
    if coding != "identity":
        raise MediaType(f"content-encoding {coding[:40]!r}: bodies are read as they are, without compression")
    stated = content_type.decode("latin-1")
    media_type, _, parameters = stated.partition(";")
    found = known.get(media_type.strip().lower())
    if found is None or not _is_utf8(parameters):
        raise MediaType(f"content-type {stated[:80]!r}: /{operation} reads {' and '.join(known)}")
    return found


def _is_utf8(parameters: str) -> bool:
    pairs = (parameter.strip().lower().partition("=") for parameter in parameters.split(";"))
    return all(value.strip().strip('"') in ("utf-8", "utf8") for name, _, value in pairs if name.strip() == "charset")


def writer(accept: bytes) -> Writer:
    """The writer of the reply: what Accept prefers, JSON among equals.

    Raises:
        NotAcceptable: Accept names neither.
    """
    return _writer(accept) if len(accept) <= _LONG else _writer.__wrapped__(accept)


@lru_cache
def _writer(header: bytes) -> Writer:
    accept = header.decode("latin-1")
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    best = max(WRITERS, key=lambda writer: _quality(writer.media_type, ranges))
    if ranges and _quality(best.media_type, ranges) <= 0:
        known = " and ".join(writer.media_type for writer in WRITERS)
        raise NotAcceptable(f"accept {accept[:80]!r}: replies are written as {known}")
    return best


def _range(part: str) -> tuple[str, float]:
    """A media range and its weight, as in `application/*;q=0.5`."""
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            return media, float(value) if value.replace(".", "", 1).isdecimal() else 0.0
    return media, 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The weight of the most specific range that covers the type (RFC 9110, section 12.5.1)."""
    weights = dict(reversed(ranges))
    for covering in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if covering in weights:
            return weights[covering]
    return 0.0
