"""Which body types are read and which reply types are written, by content type. Knows headers, not their contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from service import jsoncodec, npycodec
from service.answers import Answer
from service.errors import MediaType, NotAcceptable
from service.jobs import Operation
from service.requests import Parsed, Target
from vaekit.client.wire import JSON_TYPE, NPY_TYPE

Read = Callable[[bytearray, Mapping[str, str], Target], Parsed]


@dataclass(frozen=True)
class Codec:
    """One content type, in both directions."""

    media_type: str
    read: Read
    write: Callable[[Answer], bytes]
    headers: Callable[[Answer], dict[str, str]] = lambda _: {}
    not_for: frozenset[Operation] = frozenset()  # operations whose bodies it cannot hold


CODECS = (
    Codec(JSON_TYPE, jsoncodec.read, jsoncodec.write),
    Codec(NPY_TYPE, npycodec.read, npycodec.write, npycodec.headers, not_for=frozenset({"sample"})),
)


def reader(headers: Headers, operation: Operation) -> Codec:
    """The codec of the request's body.

    Raises:
        MediaType: a type that the operation does not read, or a compressed body.
    """
    known = {codec.media_type: codec for codec in CODECS if operation not in codec.not_for}
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise MediaType(f"content-encoding {coding[:40]!r}: bodies are read as they are, without compression")
    stated = headers.get("content-type", "")
    media_type, _, parameters = stated.partition(";")
    codec = known.get(media_type.strip().lower())
    if codec is None or not _is_utf8(parameters):
        raise MediaType(f"content-type {stated[:80]!r}: /{operation} reads {' and '.join(known)}")
    return codec


def _is_utf8(parameters: str) -> bool:
    pairs = (parameter.strip().lower().partition("=") for parameter in parameters.split(";"))
    return all(value.strip().strip('"') in ("utf-8", "utf8") for name, _, value in pairs if name.strip() == "charset")


def writer(headers: Headers) -> Codec:
    """The codec of the reply: what Accept prefers, JSON among equals.

    Raises:
        NotAcceptable: Accept names neither.
    """
    accept = headers.get("accept", "*/*")
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    best = max(CODECS, key=lambda codec: _quality(codec.media_type, ranges))
    if ranges and _quality(best.media_type, ranges) <= 0:
        known = " and ".join(codec.media_type for codec in CODECS)
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
