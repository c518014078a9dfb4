"""Reads multipart/form-data bodies: many image files, as a web form or `curl -F` sends them. One file is one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import LONGEST_ID, RowId
from vaekit.errors import InputError
from vaekit_service.codecs.image.options import read_files
from vaekit_service.codecs.query_options import read_options
from vaekit_service.codecs.row_ids import listed_ids
from vaekit_service.errors import MediaType, TooLarge, Unparsable
from vaekit_service.messages import Body, ParsedRequest, Target


def missing() -> str | None:
    """The package to install before forms can be read; None if it is installed."""
    return "vaekit[service]" if find_spec("python_multipart") is None else None


def read(boundary: bytes, body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """Read and check a form of image files, with the options as query parameters.

    The ids of the rows are the names of the files, or of the fields where files have none.

    Args:
        boundary: from the content type.
        body, query, target: as for every reader.

    Raises:
        MediaType: the model does not accept images.
        Unparsable: not a form with this boundary.
        TooLarge: more files than rows of one request.
        InputError: a field that is no file, an image that cannot be read, or an invalid option.
    """
    spec = target.manifest.input
    if not isinstance(spec, ImageSpec):
        raise MediaType(f"body: model {target.manifest.name!r} accepts rows of {spec.dim} columns, not images")
    options = read_options(query, target)
    parts = _parts(boundary, bytes(body), target.max_rows)
    ids = listed_ids(options) or [part.id for part in parts]
    return read_files([bytes(part.data) for part in parts], ids, options, target)


@dataclass
class _Part:
    """One part of a form."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""  # of its field
    file: str | None = None  # its file name; None: it is no file
    data: bytearray = field(default_factory=bytearray)

    @property
    def id(self) -> RowId:
        return self.file or self.name or None


class _Form:
    """Collects the parts of a form; its methods are callbacks of the parser."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[_Part] = []
        self._max_parts = max_parts
        self._name, self._value = b"", b""

    def on_part_begin(self) -> None:
        if len(self.parts) >= self._max_parts:
            raise TooLarge(f"body: more than {self._max_parts} files, which one request to this model may have")
        self.parts.append(_Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self.parts[-1].headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def on_headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        part, number = self.parts[-1], len(self.parts) - 1
        _, given = parse_options_header(part.headers.get(b"content-disposition"))
        part.name = given.get(b"name", b"").decode(errors="replace")
        if b"filename" not in given and not part.headers.get(b"content-type", b"").lower().startswith(b"image/"):
            raise InputError(
                f"part {number}, field {part.name[:64]!r}: expected an image file; options are query parameters"
            )
        part.file = given.get(b"filename", b"").decode(errors="replace")
        if len(part.id or "") > LONGEST_ID:  # type: ignore[arg-type]  # text
            raise InputError(f"part {number}: a file name of more than {LONGEST_ID} characters")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data += data[start:end]


def _parts(boundary: bytes, body: bytes, max_parts: int) -> list[_Part]:
    from python_multipart.exceptions import MultipartParseError
    from python_multipart.multipart import MultipartParser

    form, ended = _Form(max_parts), []
    names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data")
    callbacks = {f"on_{name}": getattr(form, f"on_{name}") for name in names}
    try:
        parser = MultipartParser(boundary, {**callbacks, "on_end": lambda: ended.append(True)})  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except MultipartParseError as exc:
        raise Unparsable(f"body: not a form: {str(exc)[:100]}") from exc
    if not ended:
        raise Unparsable("body: not a form, or one that ends early: its last boundary is missing")
    if not form.parts:
        raise InputError("inputs: no files, expected at least 1")
    return form.parts
