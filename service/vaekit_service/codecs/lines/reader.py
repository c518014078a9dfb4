"""Reads rows of text/csv and application/x-ndjson, piece by piece or all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import RowId, RowOptions
from vaekit.errors import InputError
from vaekit.tabular.text_lines import CsvSplitter, LineSplitter
from vaekit.tabular.text_rows import CsvRows, JsonRows
from vaekit_service.codecs.lines.rows import Numbered, RowsOfCsv, RowsOfImages, RowsOfJson, latent_spec
from vaekit_service.codecs.query_options import read_options
from vaekit_service.codecs.row_ids import id_column, split_ids
from vaekit_service.errors import MediaType
from vaekit_service.messages import Body, ParsedRequest, Target

_SPARE = 2**20  # bytes that a line may have beyond the digits of an image


class LineReader:
    """The rows of one request: `feed` cuts what arrives into lines, and `parse` makes rows of lines.

    Args:
        is_csv: whether the text is CSV; False: NDJSON.
        header: whether the first line of CSV names the columns.
        query: the options.
        target: what the rows are for.

    Raises:
        InputError: the operation does not have an option, or does not accept its value.
        MediaType: CSV for a model of images.
    """

    def __init__(self, query: Mapping[str, str], target: Target, *, is_csv: bool, header: bool = True) -> None:
        self.options = read_options(query, target)
        spec = latent_spec(target.manifest.latent_dim) if target.operation == "decode" else target.manifest.input
        strict = target.operation == "decode" or (isinstance(self.options, RowOptions) and self.options.strict)
        column, most = id_column(self.options), target.manifest.most_missing
        self._ids: Sequence[RowId] | None = getattr(self.options, "ids", None) or None
        self._start = 0  # rows so far
        self._splitter: LineSplitter = CsvSplitter() if is_csv else LineSplitter()
        self._rows: RowsOfCsv | RowsOfJson | RowsOfImages
        if isinstance(spec, ImageSpec):
            if is_csv:
                raise MediaType(f"body: model {target.manifest.name!r} accepts images; send files, JSON or NDJSON")
            self._splitter = LineSplitter(8 * spec.dim + _SPARE)
            self._rows = RowsOfImages(spec, column)
        elif is_csv:
            self._rows = RowsOfCsv(
                CsvRows(width=None if header else spec.dim), spec, column, strict=strict, most_missing=most
            )
        else:
            self._rows = RowsOfJson(JsonRows(), spec, column, strict=strict, most_missing=most)

    @property
    def held(self) -> int:
        """Bytes that wait for the end of their row."""
        return self._splitter.held

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete after this piece.

        Raises:
            InputError: a row is too long, or the text is not UTF-8.
        """
        return self._splitter.feed(data)

    def end(self) -> list[bytes]:
        """The lines that are complete because the body has ended."""
        return self._splitter.end()

    def parse(self, lines: Sequence[bytes]) -> ParsedRequest:
        """The rows of some lines, none if these are a header or empty.

        Raises:
            InputError: the columns do not fit the model; a row is invalid, and the request does not have
                errors=report.
        """
        start, report = self._start, isinstance(self.options, RowOptions) and self.options.errors == "report"
        found = self._rows.read(lines, start, report=report)
        self._start += (total := found.n + len(found.invalid))
        if found.invalid and not report:
            raise InputError(str(found.invalid[0]))
        ids = found.ids
        if self._ids is not None:
            ids, found = self._listed(found, start, total)
        return ParsedRequest(self.options, found.x, found.ignored, ids, found.invalid, repeats_ids=ids is not None)

    def check_end(self) -> None:
        """Check what can only be checked after the last row.

        Raises:
            InputError: there are no rows, or another number of ids than rows.
        """
        if not self._start:
            raise InputError("inputs: no rows, expected at least 1")
        if self._ids is not None and len(self._ids) != self._start:
            raise InputError(f"ids: {len(self._ids)} ids for {self._start} rows")

    def _listed(self, found: Numbered, start: int, total: int) -> tuple[list[RowId], Numbered]:
        """The ids of the option `ids`, of the valid rows, and the rows with those of the invalid ones."""
        assert self._ids is not None
        if start + total > len(self._ids):
            raise InputError(f"ids: {len(self._ids)} ids for more rows")
        ids, invalid = split_ids(self._ids[start : start + total], found.invalid, start)
        return ids, replace(found, invalid=invalid)


def read_csv(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """Read and check a body of CSV whose first line names the columns, with the options as query parameters.

    Raises:
        VaeError: see LineReader.
    """
    return _read(body, LineReader(query, target, is_csv=True))


def read_csv_without_header(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """The same for rows in column order, without a header."""
    return _read(body, LineReader(query, target, is_csv=True, header=False))


def read_ndjson(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """The same for JSON values, one per line."""
    return _read(body, LineReader(query, target, is_csv=False))


def _read(body: Body, reader: LineReader) -> ParsedRequest:
    lines: list[Any] = reader.feed(bytes(body)) + reader.end()
    parsed = reader.parse(lines)
    reader.check_end()
    return parsed
