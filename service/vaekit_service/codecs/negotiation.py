"""The tables of codecs by content type, and which of them a request's headers ask for."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from vaekit.client.wire import ARROW_TYPE, JSON_TYPE, NPY_TYPE, PICTURE_TYPES
from vaekit_service.codecs import image_codec, json_codec, npy_codec
from vaekit_service.codecs.arrow import codec as arrow_codec
from vaekit_service.codecs.reply_headers import headers
from vaekit_service.errors import MediaType, NotAcceptable
from vaekit_service.messages import Answer, Body, Operation, ParsedRequest, Target

_LONG = 200  # bytes of headers; what is said for longer ones is found out each time, and not remembered

Read = Callable[[Body, Mapping[str, str], Target], ParsedRequest]


@dataclass(frozen=True)
class Reader:
    """How bodies of one content type are read."""

    media_type: str
    read: Read
    holds: str = ""  # what a body of bytes holds, for the OpenAPI document
    not_for: frozenset[Operation] = frozenset()  # operations whose bodies it cannot hold
    large: int = 256 * 1024  # bytes of a body beyond which a thread reads it, and not the event loop
    unpacks: bool = True  # whether images in it take more memory once decoded
    missing: Callable[[], str | None] = lambda: None  # what must be installed first


@dataclass(frozen=True)
class Writer:
    """How replies of one content type are written."""

    media_type: str
    write: Callable[[Answer], bytes]
    holds: str = ""  # as a reader's
    headers: Callable[[Answer], dict[str, str]] = lambda _: {}
    large: int = 64 * 1024  # cells of a reply beyond which a thread writes it
    missing: Callable[[], str | None] = lambda: None  # as a reader's


_NO_ROWS: frozenset[Operation] = frozenset({"sample"})  # a body that is rows alone has no place for it
_ARRAY, _TABLE = "an npy file, format version 1.0 or 2.0", "an Arrow IPC stream of uncompressed buffers"
_IMAGE = "one image, for an image model"
READERS = (
    Reader(JSON_TYPE, json_codec.read),
    Reader(NPY_TYPE, npy_codec.read, _ARRAY, not_for=_NO_ROWS, large=4 * 2**20, unpacks=False),
    Reader(ARROW_TYPE, arrow_codec.read, _TABLE, not_for=_NO_ROWS, large=0, missing=arrow_codec.missing),
    *(Reader(kind, image_codec.read, _IMAGE, not_for=frozenset({"sample", "decode"})) for kind in PICTURE_TYPES),
)
WRITERS = (
    Writer(JSON_TYPE, json_codec.write),
    Writer(NPY_TYPE, npy_codec.write, _ARRAY, headers),
    Writer(ARROW_TYPE, arrow_codec.write, _TABLE, headers, large=0, missing=arrow_codec.missing),
)


UNSTATED = {"", "application/octet-stream", "application/x-www-form-urlencoded"}  # curl's for files, and for --data
_FIRST_BYTES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"\x93NUMPY": NPY_TYPE,
    b"\xff\xff\xff\xff": ARROW_TYPE,  # of an Arrow stream's first message
}


def reader(content_type: bytes, content_encoding: bytes, operation: Operation) -> Reader | None:
    """The reader of the request's body, by its headers; None if they state no type, so that `recognised` finds it.

    Raises:
        MediaType: a type that the operation, or this installation, does not read, or a compressed body.
    """
    is_long = len(content_type) + len(content_encoding) > _LONG
    found = (_reader.__wrapped__ if is_long else _reader)(content_type, content_encoding, operation)
    return None if found is None else _installed(found)


def recognised(body: Body, content_type: bytes, operation: Operation) -> Reader:
    """The reader of a body of no stated type, by its first bytes: a file as `curl -T` or `--data-binary` sends it.

    Raises:
        MediaType: the bytes begin as none of those files, or the operation does not read them.
    """
    for first, media_type in _FIRST_BYTES.items():
        if body.startswith(first) and media_type in (known := _known(operation)):
            return _installed(known[media_type])
    hint = ""
    if body[:64].removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{":
        hint = f"; the body looks like JSON: send the header content-type: {JSON_TYPE}"
    raise _unread(content_type.decode("latin-1"), operation, hint)


def _installed(reader: Reader) -> Reader:
    if needed := reader.missing():
        raise MediaType(f"content-type {reader.media_type!r} is not read here: it needs {needed}")
    return reader


@lru_cache
def _known(operation: Operation) -> dict[str, Reader]:
    return {reader.media_type: reader for reader in READERS if operation not in reader.not_for}


def _unread(stated: str, operation: Operation, hint: str = "") -> MediaType:
    return MediaType(f"content-type {stated[:80]!r}: /{operation} reads {' and '.join(_known(operation))}{hint}")


@lru_cache
def _reader(content_type: bytes, content_encoding: bytes, operation: Operation) -> Reader | None:
    coding = content_encoding.decode("latin-1").strip().lower()
    if coding != "identity":
        raise MediaType(f"content-encoding {coding[:40]!r}: bodies are read as they are, without compression")
    stated = content_type.decode("latin-1")
    media_type, _, parameters = stated.partition(";")
    named = media_type.strip().lower()
    if named in UNSTATED:
        return None
    found = _known(operation).get(named)
    if found is None or not _is_utf8(parameters):
        raise _unread(stated, operation)
    return found


def _is_utf8(parameters: str) -> bool:
    pairs = (parameter.strip().lower().partition("=") for parameter in parameters.split(";"))
    return all(value.strip().strip('"') in ("utf-8", "utf8") for name, _, value in pairs if name.strip() == "charset")


def writer(accept: bytes) -> Writer:
    """The writer of the reply: what Accept prefers, JSON among equals.

    Raises:
        NotAcceptable: Accept names none that there is, or none that is installed.
    """
    wanted = _wanted(accept) if len(accept) <= _LONG else _wanted.__wrapped__(accept)
    for writer in wanted:
        if not writer.missing():
            return writer
    known = " and ".join(writer.media_type for writer in WRITERS)
    needed = "".join(f"; {writer.media_type} needs {writer.missing()}" for writer in wanted)
    raise NotAcceptable(f"accept {accept[:80].decode('latin-1')!r}: replies are written as {known}{needed}")


@lru_cache
def _wanted(accept: bytes) -> list[Writer]:
    """The writers that Accept admits, the best first."""
    ranges = [_range(part) for part in accept.decode("latin-1").split(",") if part.strip()] or [("*/*", 1.0)]
    wanted = [writer for writer in WRITERS if _quality(writer.media_type, ranges) > 0]
    return sorted(wanted, key=lambda writer: -_quality(writer.media_type, ranges))


def _range(part: str) -> tuple[str, float]:
    """A media range and its weight, as in `application/*;q=0.5`."""
    media, *parameters = (item.strip().lower() for item in part.split(";"))
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
