"""Reads rows of text/csv and application/x-ndjson, piece by piece or all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import CSV_TYPE, RowId, RowOptions
from vaekit.errors import InputError
from vaekit.tabular.columns import Ignored
from vaekit.tabular.text_lines import CsvSplitter, LineSplitter
from vaekit.tabular.text_rows import CsvRows, JsonRows
from vaekit_service.codecs.image.options import spec_of
from vaekit_service.codecs.lines.dialect import PLAIN, take_dialect
from vaekit_service.codecs.lines.rows import Numbered, RowsOfCsv, RowsOfImages, RowsOfJson, latent_spec
from vaekit_service.codecs.query_options import read_options
from vaekit_service.codecs.row_ids import id_column, split_ids
from vaekit_service.codecs.series import LineWindows, refuse_report
from vaekit_service.errors import MediaType, TooLarge
from vaekit_service.messages import Body, ParsedRequest, Target

BATCH_BYTES = 256 * 1024  # of lines that are read together; 2,000 rows of 20 numbers
_LINES_PER_ROW = 10  # in CSV, a row with quotes may have several lines
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
        dialect = PLAIN
        if is_csv:
            query, dialect = take_dialect(query)
        self.options, self._target = read_options(query, target), target
        spec = (
            latent_spec(target.manifest.latent_dim) if target.operation == "decode" else spec_of(self.options, target)
        )
        strict = isinstance(self.options, RowOptions) and self.options.strict
        column, most = id_column(self.options), target.manifest.most_missing
        self._ids: Sequence[RowId] | None = getattr(self.options, "ids", None) or None
        self._start = 0  # rows so far
        self._windows: LineWindows | None = None  # once the first rows turn out to be time steps
        self._splitter: LineSplitter = CsvSplitter(dialect.delimiter) if is_csv else LineSplitter()
        self._rows: RowsOfCsv | RowsOfJson | RowsOfImages
        if isinstance(spec, ImageSpec):
            if is_csv:
                raise MediaType(f"body: model {target.manifest.name!r} accepts images; send files, JSON or NDJSON")
            self._splitter = LineSplitter(8 * spec.dim + _SPARE)
            self._rows = RowsOfImages(spec, column)
        elif is_csv:
            lines = CsvRows(dialect.delimiter, None if header else spec.dim)
            self._rows = RowsOfCsv(lines, dialect, spec, column, strict=strict, most_missing=most)
        else:
            self._rows = RowsOfJson(JsonRows(), spec, column, strict=strict, most_missing=most)

    @property
    def decodes_images(self) -> bool:
        """Whether lines hold images, which take long to read."""
        return isinstance(self._rows, RowsOfImages)

    @property
    def rows(self) -> int:
        """Rows so far, valid and invalid."""
        return self._start

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
        if self._rows.window is not None:
            refuse_report(report=report)
        if found.invalid and not report:
            raise InputError(str(found.invalid[0]))
        ids = found.ids
        if self._ids is not None:
            ids, found = self._listed(found, start, total)
        if found.steps is not None:
            self._windows = self._windows or LineWindows(found.steps, self._target)
            return self._windows.parsed(self.options, found.steps, found.ignored, ids)
        return ParsedRequest(
            self.options,
            found.x,
            found.ignored,
            ids,
            found.invalid,
            repeats_ids=ids is not None,
            sizes=found.sizes if getattr(self.options, "resize", False) else None,
        )

    def check_end(self) -> None:
        """Check what can only be checked after the last row.

        Raises:
            InputError: there are no rows, or another number of ids than rows.
        """
        if not self._start:
            raise InputError("inputs: no rows, expected at least 1")
        if self._windows is not None:
            self._windows.check_end()
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
    return _read(body, LineReader(query, target, is_csv=True), target)


def read_csv_without_header(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """The same for rows in column order, without a header."""
    return _read(body, LineReader(query, target, is_csv=True, header=False), target)


def read_ndjson(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """The same for JSON values, one per line."""
    return _read(body, LineReader(query, target, is_csv=False), target)


def batches(lines: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    """Lines in batches of at most BATCH_BYTES and `most` lines, or of one line if that is longer."""
    start = size = 0
    for at, line in enumerate(lines):
        if at > start and (size + len(line) > BATCH_BYTES or at - start >= most):
            yield lines[start:at]
            start, size = at, 0
        size += len(line)
    if start < len(lines):
        yield lines[start:]


def _read(body: Body, reader: LineReader, target: Target) -> ParsedRequest:
    """All rows of a body. Batches bound the memory of the Python objects that are made of lines."""
    if body.count(b"\n") > _LINES_PER_ROW * (target.max_rows + 1):
        raise _too_many(target)
    lines = reader.feed(bytes(body)) + reader.end()
    parts = []
    for some in batches(lines, len(lines)):
        parts.append(reader.parse(some))
        if reader.rows > target.max_rows:
            raise _too_many(target)
    reader.check_end()
    return _joined(parts)


def _too_many(target: Target) -> TooLarge:
    return TooLarge(
        f"body: more than {target.max_rows} rows, which one request to this model may have; bodies of CSV and NDJSON "
        f"may have any number, if the reply is CSV or NDJSON: accept: {CSV_TYPE}"
    )


def _joined(parts: Sequence[ParsedRequest]) -> ParsedRequest:
    first = parts[0]
    if len(parts) == 1:
        return first
    if first.ends is not None:
        return _joined_steps(parts)
    each = [part.ignored for part in parts]
    ignored = Ignored(
        tuple(dict.fromkeys(name for one in each for name in one.columns)),
        tuple(dict.fromkeys(said for one in each for said in one.warnings)),
    )
    ids = None if first.ids is None else [one for part in parts for one in part.ids or ()]
    invalid = [one for part in parts for one in part.invalid]
    sizes = None if first.sizes is None else np.concatenate([part.sizes for part in parts if part.sizes is not None])
    rows = np.concatenate([part.rows for part in parts if part.rows is not None])
    return replace(first, rows=rows, ignored=ignored, ids=ids, invalid=invalid, sizes=sizes)


def _joined_steps(parts: Sequence[ParsedRequest]) -> ParsedRequest:
    """Time steps as one request, without the rows in place of windows."""
    ends = [part.ends for part in parts if part.ends is not None and part.ends.total]
    some = [(part.rows, part.ends) for part in parts if part.ends is not None and len(part.ends.at)]
    before = np.cumsum([0, *(one.total for one in ends)])
    at = np.concatenate([one.at + start for one, start in zip(ends, before, strict=False)])
    ids = None if parts[0].ids is None else [one for part in parts for one in part.ids or ()]
    rows = np.concatenate([rows for rows, _ in some if rows is not None])
    return replace(parts[0], rows=rows, ids=ids, ends=replace(ends[0], at=at, total=int(before[-1])))
