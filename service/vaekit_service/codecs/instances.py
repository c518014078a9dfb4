"""Reads `instances` and writes `predictions`, the bodies of KServe's V1 protocol, Vertex AI and TensorFlow Serving.

    {"instances": [[17.99, 10.38, ...]], "parameters": {"alpha": 0.01}}
    {"predictions": [{"elbo": -41.2, "score": 41.2, "p_value": 0.004, "is_anomaly": true, ...}]}

An instance is a row (a list, or an object by column name) or an image (pixels, or a file in base64, also as
{"b64": ...}). The parameters are the options of /elbo. A prediction has the fields of one row of the reply of /elbo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from vaekit.client.wire import JSON_TYPE
from vaekit.errors import InputError
from vaekit_service.codecs import json_codec, negotiation
from vaekit_service.codecs.negotiation import Reader, Writer
from vaekit_service.codecs.reply_headers import headers
from vaekit_service.errors import MediaType, NotAcceptable, Unparsable
from vaekit_service.messages import Answer, Body, ParsedRequest, Target

_FIELDS = ("instances", "parameters")
_IGNORED = {"signature_name"}  # of TensorFlow Serving; a model has one signature
_B64 = "b64"


def read(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """Read and check a body.

    Raises:
        Unparsable, InputError, TooLarge: see json_codec.read. Also if `instances` is missing, or a field is unknown.
    """
    if len(body) > json_codec.SMALL:
        json_codec.check_cells(body, target)
    return json_codec.read(_as_inputs(json_codec.without_mark(body)), query, target)


def _as_inputs(body: Body) -> bytes:
    """The body of /elbo with the same rows and options."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise Unparsable(f"not JSON: {exc}") from None
    if not isinstance(found, dict):
        raise InputError('body: expected an object, {"instances": [...]}')
    for name in found.keys() - {*_FIELDS, *_IGNORED}:
        raise InputError(f"{name[:64]!r}: unknown field; the fields are {' and '.join(_FIELDS)}")
    instances, parameters = found.get("instances"), found.get("parameters")
    if not isinstance(instances, list) or not instances:
        raise InputError("instances: expected a list of at least one row")
    if not isinstance(parameters or {}, dict):
        raise InputError("parameters: expected an object with options of /elbo")
    options = dict(parameters or {})
    if "inputs" in options:
        raise InputError("parameters: the rows are in instances; leave out inputs")
    return orjson.dumps({**options, "inputs": [_unwrapped(one) for one in instances]})


def _unwrapped(instance: Any) -> Any:
    """An image file as its base64 text."""
    return instance[_B64] if isinstance(instance, dict) and instance.keys() == {_B64} else instance


def write(answer: Answer) -> bytes:
    """The reply, with one object for each row."""
    columns = {name: _listed(name, a, answer) for name, a in answer.rows.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return orjson.dumps({"predictions": rows}, option=orjson.OPT_SERIALIZE_NUMPY)


def _listed(name: str, a: NDArray[Any] | None, answer: Answer) -> list[Any]:
    """One value for each row: Python's for numbers, which orjson writes as null if they are NaN."""
    value = [None] * answer.n if a is None else json_codec.row_value(name, a, answer)
    return value.tolist() if isinstance(value, np.ndarray) and value.ndim == 1 else list(value)


READER = Reader(JSON_TYPE, read)
WRITER = Writer(JSON_TYPE, write, headers=headers, takes_invalid=False)


def reader(content_type: bytes, content_encoding: bytes) -> Reader:
    """The reader. A body without a stated type is JSON, since these protocols have no other.

    Raises:
        MediaType: another type than JSON, or the body is compressed.
    """
    found = negotiation.reader(content_type, content_encoding, "elbo")
    if found is not None and found.media_type != JSON_TYPE:
        raise MediaType(f"content-type {found.media_type!r}: this route accepts {JSON_TYPE}")
    return READER


def writer(accept: bytes) -> Writer:
    """The writer.

    Raises:
        NotAcceptable: the caller does not accept JSON.
    """
    if not negotiation.accepts(accept, JSON_TYPE):
        raise NotAcceptable(f"accept {accept[:80].decode('latin-1')!r}: the reply type is {JSON_TYPE}")
    return WRITER
