"""Reads and writes application/vnd.apache.arrow.stream. Imports pyarrow on first use.

pyarrow is an optional extra and takes tens of MiB, so a service without Arrow requests does not import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from vaekit.client.wire import RowOptions
from vaekit.errors import InputError
from vaekit_service.codecs.query_options import read_options
from vaekit_service.codecs.row_ids import id_column, listed_ids, split_ids
from vaekit_service.messages import Answer, Body, ParsedRequest, Target


def missing() -> str | None:
    """The extra to install before tables can be read or written; None if pyarrow is installed."""
    return "vaekit[arrow]" if find_spec("pyarrow") is None else None


def read(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """Read and check a body that is a table, with the options as query parameters.

    Raises:
        VaeError: see vaekit_service/codecs/arrow/reader.py and vaekit_service/codecs/arrow/stream_checks.py.
        InputError: the operation does not accept an option.
    """
    options = read_options(query, target)
    from vaekit_service.codecs.arrow.reader import read_array

    strict, report, column = False, False, id_column(options)
    if isinstance(options, RowOptions):
        strict, report = options.strict, options.errors == "report"
    read = read_array(body, target, strict=strict, id_column=column, report=report)
    if read.ends is not None:
        return ParsedRequest(
            options, read.rows, read.ignored, listed_ids(options) if column is None else read.ids, ends=read.ends
        )
    if column is not None or (listed := listed_ids(options)) is None:
        return ParsedRequest(options, read.rows, read.ignored, read.ids, read.invalid)
    if len(listed) != (total := len(read.rows) + len(read.invalid)):
        raise InputError(f"ids: {len(listed)} ids for {total} rows")
    ids, invalid = split_ids(listed, read.invalid)
    return ParsedRequest(options, read.rows, read.ignored, ids, invalid)


def write(answer: Answer) -> bytes:
    """An Arrow stream with one column per array of the JSON reply."""
    from vaekit_service.codecs.arrow.writer import write_stream

    return write_stream(answer)
