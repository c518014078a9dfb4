"""application/json in both directions. Knows the wire's forms and a model's input spec; no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from service.answers import Answer
from service.errors import TooLarge
from service.pictures import read_pictures
from service.refusals import first_errors, refusal
from service.requests import Parsed, Target, forms
from vaekit.bundle import encode
from vaekit.bundle.manifest import ImageSpec, VectorSpec
from vaekit.client.wire import (
    ImageFiles,
    ImagePixels,
    Latents,
    Request,
    SampleOptions,
    VectorObjects,
    VectorRows,
)
from vaekit.errors import InputError

_SPARE = 16  # commas between the fields of the body itself
_MAX_KEYS = 2**20  # each costs some hundred bytes while it is checked


def read(body: bytearray, query: Mapping[str, str], target: Target) -> Parsed:
    """Check a body and make the array of it.

    Raises:
        Unparsable: no JSON.
        InputError: JSON of another form, or values that the model does not take.
        TooLarge: more cells than a request may hold, seen before any of them is parsed.
    """
    if query:
        raise InputError(f"query parameter {next(iter(query))[:64]!r}: options of a JSON request stand in its body")
    _check_cells(body, target)
    request = _validate(body, target)
    if isinstance(request, SampleOptions):
        return Parsed(request, None)
    if isinstance(request, Latents):
        return Parsed(request, np.array(_even(request.latents, target.manifest.latent_dim), dtype=np.float64))
    assert isinstance(request, VectorRows | VectorObjects | ImagePixels | ImageFiles)
    rows: Any = request.inputs
    spec = target.manifest.input
    if isinstance(spec, ImageSpec) and isinstance(rows[0], str):
        rows = read_pictures(rows, spec)
    return Parsed(request, encode(rows, spec))


def _check_cells(body: bytearray, target: Target) -> None:
    """Count separators: a tree of 20 MB of nulls would take 100 MB before the first null could be refused."""
    spec, z = target.manifest.input, target.manifest.latent_dim
    per_row = z if target.operation == "decode" else spec.dim
    if isinstance(spec, VectorSpec):
        per_row += sum(name.count(",") for name in spec.names)
    most = target.most_rows
    if body.count(b",") > most * per_row + _SPARE or body.count(b":") > _MAX_KEYS:
        raise TooLarge(f"body: more values than the {most} rows of {per_row} that one request to this model may hold")


def _validate(body: bytearray, target: Target) -> Request:
    form = forms(target.operation, target.manifest.input)
    try:
        return form.plain.model_validate_json(body)
    except ValidationError as exc:
        found = first_errors(exc)
    if form.other is None or not any(_is_other(error) for error in found):
        raise refusal(found[0], target.manifest)
    try:
        return form.other.model_validate_json(body)
    except ValidationError as exc:
        raise refusal(first_errors(exc)[0], target.manifest) from None


def _is_other(error: ErrorDetails) -> bool:
    """The first row is an object or a string where the plain form has a list."""
    return error["loc"] == ("inputs", 0) and isinstance(error["input"], dict | str)


def _even(rows: list[list[float]], width: int) -> list[list[float]]:
    for i, row in enumerate(rows):
        if len(row) != width:
            raise InputError(f"row {i}: {len(row)} latents, expected {width}")
    return rows


def write(answer: Answer) -> bytes:
    """The reply as JSON; arrays go straight from numpy, NaN cannot be among them (the runtime withholds it)."""
    rows = {name: None if a is None else np.ascontiguousarray(a) for name, a in answer.rows.items()}
    reply = {"model": answer.model, "version": answer.version, **answer.facts, **rows}
    return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
