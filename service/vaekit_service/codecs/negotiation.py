"""The tables of codecs by content type, and the choice of a reader and a writer from a request's headers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from vaekit.client.wire import ARROW_TYPE, CSV_TYPE, FORM_TYPE, IMAGE_TYPES, JSON_TYPE, NDJSON_TYPE, NPY_TYPE, PNG_TYPE
from vaekit_service.codecs import json_codec, npy_codec
from vaekit_service.codecs.arrow import codec as arrow_codec
from vaekit_service.codecs.image import form, one_file, sheet
from vaekit_service.codecs.lines.reader import LineReader, read_csv, read_csv_without_header, read_ndjson
from vaekit_service.codecs.lines.writers import CsvWriter, LineWriter, NdjsonWriter, write_csv, write_ndjson
from vaekit_service.codecs.reply_headers import headers
from vaekit_service.errors import MediaType, NotAcceptable
from vaekit_service.messages import Answer, Body, Operation, ParsedRequest, Target

_LONG = 200  # bytes; the choice for longer headers is not cached

Read = Callable[[Body, Mapping[str, str], Target], ParsedRequest]
Lines = Callable[[Mapping[str, str], Target], LineReader]


@dataclass(frozen=True)
class Reader:
    """How bodies of one content type are read."""

    media_type: str
    read: Read
    description: str = ""  # of a binary body, for the OpenAPI document
    not_for: frozenset[Operation] = frozenset()  # operations that do not accept this content type
    large: int = 256 * 1024  # bytes; larger bodies are read in a thread instead of the event loop; JSON: see LargeJson
    decodes_images: bool = True  # whether images must be decoded, which is always done in a thread
    missing: Callable[[], str | None] = lambda: None  # what must be installed first; None: nothing
    lines: Lines | None = None  # how rows are read as they arrive; None: only whole bodies are read


@dataclass(frozen=True)
class Writer:
    """How replies of one content type are written."""

    media_type: str
    write: Callable[[Answer], bytes]
    description: str = ""  # see Reader
    headers: Callable[[Answer], dict[str, str]] = lambda _: {}
    large: int = 2**19  # bytes of arrays; larger replies are written in a thread, as JSON in the worker process
    missing: Callable[[], str | None] = lambda: None  # see Reader
    lines: Callable[[], LineWriter] | None = None  # how rows are written as they are answered; None: only whole replies
    takes_invalid: bool = True  # whether it has a place for the reasons of invalid rows
    is_sheet: bool = False  # whether it is a sheet of images, which only some replies of some models can be


_NO_ROWS: frozenset[Operation] = frozenset({"sample"})  # has no rows, so only JSON can hold its options
_ARRAY, _TABLE = "an npy file, format version 1.0 or 2.0", "an Arrow IPC stream of uncompressed buffers"
_IMAGE = "one image, for an image model"
_RECORDS = "a header and one record per row, in CSV"
_OBJECTS = "one JSON object per row and line"
_SHEET = "for models of images: a sheet of them, for /elbo with reconstructions and a heatmap of each pixel's surprise"
_LINES = 16 * 1024  # bytes of text or arrays that take about a millisecond in the event loop
_CSV = "CSV in UTF-8 whose first line names the columns; with header=absent in the content type, rows in column order"
_NDJSON = "one JSON value per line: an object by column name or a list in column order, for image models an image"
_READ_CSV = Reader(
    CSV_TYPE,
    read_csv,
    _CSV,
    not_for=_NO_ROWS,
    large=_LINES,
    decodes_images=False,
    lines=partial(LineReader, is_csv=True),
)
_READ_CSV_WITHOUT_HEADER = replace(
    _READ_CSV, read=read_csv_without_header, lines=partial(LineReader, is_csv=True, header=False)
)
_READ_NDJSON = Reader(
    NDJSON_TYPE, read_ndjson, _NDJSON, not_for=_NO_ROWS, large=_LINES, lines=partial(LineReader, is_csv=False)
)
_READ_FORM = Reader(
    FORM_TYPE,
    partial(form.read, b""),
    "image files, one per part, for an image model; their names are the ids of the rows",
    not_for=frozenset({"sample", "decode"}),
    missing=form.missing,
)
READERS = (
    Reader(JSON_TYPE, json_codec.read),
    Reader(NPY_TYPE, npy_codec.read, _ARRAY, not_for=_NO_ROWS, large=4 * 2**20, decodes_images=False),
    Reader(ARROW_TYPE, arrow_codec.read, _TABLE, not_for=_NO_ROWS, large=0, missing=arrow_codec.missing),
    _READ_CSV,
    _READ_NDJSON,
    _READ_FORM,
    *(Reader(kind, one_file.read, _IMAGE, not_for=frozenset({"sample", "decode"})) for kind in IMAGE_TYPES),
)
WRITERS = (
    Writer(JSON_TYPE, json_codec.write),
    Writer(NPY_TYPE, npy_codec.write, _ARRAY, headers, takes_invalid=False),
    Writer(ARROW_TYPE, arrow_codec.write, _TABLE, headers, large=0, missing=arrow_codec.missing),
    Writer(CSV_TYPE, write_csv, _RECORDS, headers, large=_LINES, lines=CsvWriter),
    Writer(NDJSON_TYPE, write_ndjson, _OBJECTS, headers, large=_LINES, lines=NdjsonWriter),
    Writer(PNG_TYPE, sheet.write, _SHEET, headers, large=0, takes_invalid=False, is_sheet=True),
)


UNSTATED = {  # types that say nothing about a body
    "",
    "application/octet-stream",
    "binary/octet-stream",  # of S3
    "application/x-www-form-urlencoded",  # curl's default
}
_ALIASES = {  # in common use
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "application/csv": CSV_TYPE,
    **dict.fromkeys(("application/ndjson", "application/jsonl", "application/x-jsonlines"), NDJSON_TYPE),
}
_ABSENT = re.compile(r"(?:^|;)\s*header\s*=\s*\"?absent\"?\s*(?:;|$)", re.IGNORECASE)  # RFC 4180, section 3
_SAID = {JSON_TYPE: "JSON", CSV_TYPE: "CSV"}
_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_FIRST_BYTES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"\x93NUMPY": NPY_TYPE,
    b"\xff\xff\xff\xff": ARROW_TYPE,  # the first message of an Arrow stream
}


def reader(content_type: bytes, content_encoding: bytes, operation: Operation) -> Reader | None:
    """The reader of a request body, chosen by the headers; None if they state no type, see `recognise`.

    Raises:
        MediaType: the operation does not accept this content type, its package is missing, or the body is compressed.
    """
    is_long = len(content_type) + len(content_encoding) > _LONG
    found = (_reader.__wrapped__ if is_long else _reader)(content_type, content_encoding, operation)
    return None if found is None else _installed(found)


def recognise(body: Body, content_type: bytes, operation: Operation) -> Reader:
    """The reader of a body without a stated type, chosen by its first bytes: a file sent by `curl -T`, for example.

    Raises:
        MediaType: the body does not begin like any of the known files, or the operation does not accept that type.
    """
    known = _known(operation)
    for first, media_type in _FIRST_BYTES.items():
        if body.startswith(first) and media_type in known:
            return _installed(known[media_type])
    is_json = body[:64].removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{"
    looks = JSON_TYPE if is_json else CSV_TYPE if _is_csv(body) else None
    hint = "" if looks is None else f"; this body looks like {_SAID[looks]}: add the header content-type: {looks}"
    raise _not_accepted(content_type.decode("latin-1"), operation, hint)


def _is_csv(body: Body) -> bool:
    """Whether a body begins with a line of several cells."""
    line, end, _ = bytes(body[:2048]).partition(b"\n")
    return bool(end) and b"," in line and line.rstrip(b"\r").isascii() and line.rstrip(b"\r").decode().isprintable()


def _installed(reader: Reader) -> Reader:
    if needed := reader.missing():
        raise MediaType(f"content-type {reader.media_type!r}: this service cannot read it; install {needed} first")
    return reader


@lru_cache
def _known(operation: Operation) -> dict[str, Reader]:
    return {reader.media_type: reader for reader in READERS if operation not in reader.not_for}


def _not_accepted(stated: str, operation: Operation, hint: str = "") -> MediaType:
    known = ", ".join(_known(operation))
    return MediaType(f"content-type {stated[:80]!r}: /{operation} accepts {known}, text in UTF-8{hint}")


@lru_cache
def _reader(content_type: bytes, content_encoding: bytes, operation: Operation) -> Reader | None:
    coding = content_encoding.decode("latin-1").strip().lower()
    if coding != "identity":
        raise MediaType(f"content-encoding {coding[:40]!r}: compressed bodies are not supported; send identity")
    stated = content_type.decode("latin-1")
    media_type, _, parameters = stated.partition(";")
    named = media_type.strip().lower()
    if named in UNSTATED:
        return None
    found = _known(operation).get(_ALIASES.get(named, named))
    if found is None or not _is_utf8(parameters):
        raise _not_accepted(stated, operation)
    if found is _READ_FORM:
        return replace(found, read=partial(form.read, _boundary(content_type)))
    return _READ_CSV_WITHOUT_HEADER if found is _READ_CSV and _ABSENT.search(parameters) else found


def _boundary(content_type: bytes) -> bytes:
    """The boundary of a form.

    Raises:
        MediaType: there is none, or one that is too long (RFC 2046, section 5.1.1).
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise MediaType("content-type 'multipart/form-data': the parameter boundary is missing")
    return found[1] or found[2]


def _is_utf8(parameters: str) -> bool:
    pairs = (parameter.strip().lower().partition("=") for parameter in parameters.split(";"))
    return all(value.strip().strip('"') in ("utf-8", "utf8") for name, _, value in pairs if name.strip() == "charset")


def writer(accept: bytes, no_sheet: str | None = None) -> Writer:
    """The writer of the reply: the type that Accept prefers; JSON among equals.

    Args:
        accept: the header.
        no_sheet: why the reply cannot be a sheet of images; None: it can.

    Raises:
        NotAcceptable: Accept names no type that this service can write.
    """
    wanted = _wanted(accept) if len(accept) <= _LONG else _wanted.__wrapped__(accept)
    for writer in wanted:
        if not writer.missing() and not (writer.is_sheet and no_sheet):
            return writer
    known = ", ".join(writer.media_type for writer in WRITERS if not (writer.is_sheet and no_sheet))
    needed = "".join(
        f"; {writer.media_type}: {no_sheet}"
        if writer.is_sheet
        else f"; {writer.media_type} needs {writer.missing()}, which is not installed"
        for writer in wanted
    )
    raise NotAcceptable(f"accept {accept[:80].decode('latin-1')!r}: reply types are {known}{needed}")


def accepts(accept: bytes, media_type: str) -> bool:
    """Whether Accept allows a reply of this type."""
    return _quality(media_type, _ranges(accept)) > 0


@lru_cache
def _wanted(accept: bytes) -> list[Writer]:
    """The writers that Accept allows, the preferred one first."""
    ranges = _ranges(accept)
    wanted = [writer for writer in WRITERS if _quality(writer.media_type, ranges) > 0]
    return sorted(wanted, key=lambda writer: -_quality(writer.media_type, ranges))


def _ranges(accept: bytes) -> list[tuple[str, float]]:
    return [_range(part) for part in accept.decode("latin-1").split(",") if part.strip()] or [("*/*", 1.0)]


def _range(part: str) -> tuple[str, float]:
    """A media range and its weight, for example `application/*;q=0.5`."""
    media, *parameters = (item.strip().lower() for item in part.split(";"))
    media = _ALIASES.get(media, media)
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
