"""application/vnd.apache.arrow.stream in both directions: the door. Knows whether pyarrow is there; loads it when used.

pyarrow is an extra and takes tens of MiB, so that neither importing the service nor a service that nobody sends a table
to may load it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from vaekit_service.codecs.query_options import read_options
from vaekit_service.codecs.requests import Parsed, Target
from vaekit_service.engine.answers import Answer
from vaekit_service.http.body import Body


def missing() -> str | None:
    """What to install before tables can be read or written; None where it is there."""
    return "vaekit[arrow]" if find_spec("pyarrow") is None else None


def read(body: Body, query: Mapping[str, str], target: Target) -> Parsed:
    """Check a body that is a table, with the options as query parameters.

    Raises:
        VaeError: see vaekit_service/codecs/arrow/reader.py and vaekit_service/codecs/arrow/stream_checks.py.
        InputError: options that the operation does not take.
    """
    options = read_options(query, target)
    from vaekit_service.codecs.arrow.reader import read_array

    return Parsed(options, read_array(body, target))


def write(answer: Answer) -> bytes:
    """A table with a column for each array of the JSON reply."""
    from vaekit_service.codecs.arrow.writer import write_stream

    return write_stream(answer)
