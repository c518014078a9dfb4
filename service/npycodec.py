"""application/x-npy in both directions: arrays in, one structured array out. Knows the npy format; no HTTP."""

from __future__ import annotations

import io
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import ValidationError

from service.answers import Answer
from service.errors import Unparsable
from service.refusals import first_errors, refusal
from service.requests import OPTIONS, Parsed, Target
from vaekit.bundle import encode
from vaekit.client import wire
from vaekit.errors import InputError

_MAX_HEADER = 4096  # a shape and a type name: anything longer is no header of ours
_HEADERS = {
    "seed": wire.SEED_HEADER,
    "alpha": wire.ALPHA_HEADER,
    "num_samples": wire.NUM_SAMPLES_HEADER,
    "p_value_reason": wire.P_VALUE_REASON_HEADER,
}


def read(body: bytearray, query: Mapping[str, str], target: Target) -> Parsed:
    """Check a body that is one array, (N, D), (N, H, W, C) or (N, Z), with the options as query parameters.

    Raises:
        Unparsable: no npy array, or one of another size than it says.
        InputError: an array or options that the model does not take.
    """
    try:
        options = OPTIONS[target.operation].model_validate_strings(dict(query))
    except ValidationError as exc:
        raise refusal(first_errors(exc)[0], target.manifest) from None
    array = read_array(body)
    return Parsed(options, array if target.operation == "decode" else encode(array, target.manifest.input))


def read_array(body: bytes | bytearray) -> NDArray[Any]:
    """The array of an npy file held in memory, without a copy; its size is checked before anything is made of it."""
    file = io.BytesIO(body[: _MAX_HEADER + 16])
    try:
        version = npy.read_magic(file)
        header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = header(file, max_header_size=_MAX_HEADER)
    except KeyError:
        raise Unparsable("body: an npy file of a version other than 1.0 and 2.0") from None
    except (ValueError, TypeError, SyntaxError) as exc:
        raise Unparsable(f"body: not an npy file: {str(exc)[:200]}") from None
    if dtype.kind not in "iuf" or dtype.hasobject:
        raise InputError(f"inputs: dtype {dtype} is not one of numbers")
    start = file.tell()
    if any(size < 0 for size in shape) or prod(shape) * dtype.itemsize != len(body) - start:
        raise Unparsable(f"body: {len(body) - start} bytes of data are not an array {str(shape)[:100]} of {dtype}")
    flat = np.frombuffer(body, dtype, offset=start)
    return flat.reshape(shape, order="F" if fortran else "C")


def write(answer: Answer) -> bytes:
    """One record per row, a field per array, named as in the JSON reply; what would be null there is absent."""
    fields = {name: a for name, a in answer.rows.items() if a is not None}
    layout = [(name, a.dtype, a.shape[1:]) for name, a in fields.items()]
    records = np.empty(answer.n, dtype=layout)
    for name, a in fields.items():
        records[name] = a
    file = io.BytesIO()
    npy.write_array(file, records, allow_pickle=False)
    return file.getvalue()


def headers(answer: Answer) -> dict[str, str]:
    """What is not per row."""
    facts = {_HEADERS[name]: str(value) for name, value in answer.facts.items() if value is not None}
    return {wire.MODEL_HEADER: answer.model, wire.VERSION_HEADER: str(answer.version), **facts}
