"""application/json in both directions. Knows the wire's forms and a model's input spec; no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vaekit.bundle import encode, encode_numbers
from vaekit.bundle.columns import level_names, level_slices
from vaekit.bundle.manifest import Column, ImageSpec, VectorSpec
from vaekit.client.wire import (
    ImageFiles,
    ImagePixels,
    Latents,
    MixedObjects,
    MixedRows,
    Request,
    SampleOptions,
    VectorObjects,
    VectorRows,
)
from vaekit.errors import InputError
from vaekit.runtime.explain.cells import named
from vaekit_service.codecs import fast_json
from vaekit_service.codecs.images import read_images
from vaekit_service.codecs.requests import Parsed, Target, forms
from vaekit_service.codecs.validation_messages import first_errors, refusal
from vaekit_service.engine.answers import Answer
from vaekit_service.errors import TooLarge
from vaekit_service.http.body import Body

_SPARE = 16  # commas between the fields of the body itself
_MAX_KEYS = 2**20  # each costs some hundred bytes while it is checked


def read(body: Body, query: Mapping[str, str], target: Target) -> Parsed:
    """Check a body and make the array of it.

    Raises:
        Unparsable: no JSON.
        InputError: JSON of another form, or values that the model does not take.
        TooLarge: more cells than a request may hold, seen before any of them is parsed.
    """
    if query:
        raise InputError(f"query parameter {next(iter(query))[:64]!r}: options of a JSON request stand in its body")
    if len(body) > fast_json.SMALL:
        _check_cells(body, target)
    if quick := fast_json.read(body, target):
        return quick
    request = _validate(body, target)
    if isinstance(request, SampleOptions):
        return Parsed(request, None)
    if isinstance(request, Latents):
        return Parsed(request, np.array(_even(request.latents, target.manifest.latent_dim), dtype=np.float64))
    assert isinstance(request, VectorRows | VectorObjects | MixedRows | MixedObjects | ImagePixels | ImageFiles)
    rows: Any = request.inputs
    spec = target.manifest.input
    if isinstance(request, VectorRows):
        assert isinstance(spec, VectorSpec)
        return Parsed(request, encode_numbers(rows, spec))
    if isinstance(spec, ImageSpec) and isinstance(rows[0], str):
        rows = read_images(rows, spec)
    return Parsed(request, encode(rows, spec))


def _check_cells(body: Body, target: Target) -> None:
    """Count separators: a tree of 20 MB of nulls would take 100 MB before the first null could be refused."""
    spec, z, most = target.manifest.input, target.manifest.latent_dim, target.most_rows
    per_row = z if target.operation == "decode" else spec.dim
    commas, keys = body.count(b","), body.count(b":")
    if commas > most * per_row + _SPARE and isinstance(spec, VectorSpec):
        per_row += sum(_commas(column) for column in spec.columns)
    if commas > most * per_row + _SPARE or keys > _MAX_KEYS:
        raise TooLarge(f"body: more values than the {most} rows of {per_row} that one request to this model may hold")


def _commas(column: Column) -> int:
    """The most commas that a cell and its column's name bring with them."""
    return column.name.count(",") + max((level.count(",") for level in column.levels or ()), default=0)


def _validate(body: Body, target: Target) -> Request:
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
    """The reply as JSON; arrays go straight from numpy. A p-value that is NaN is null; no other array has NaN."""
    rows = {name: None if a is None else _value(name, a, answer) for name, a in answer.rows.items()}
    reply = {"model": answer.model, "version": answer.version, **answer.facts, **rows}
    return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)


def _value(name: str, a: NDArray[Any], answer: Answer) -> Any:
    """The array as JSON has it: levels by name, and null where a verdict is not known."""
    spec, p_value = answer.spec, answer.rows.get("p_value")
    if name == "probabilities":
        return {column: np.ascontiguousarray(a[:, at]) for column, at in level_slices(spec).items()}
    if name == "explanation":
        return named(a, spec)
    if name in ("is_anomaly", "is_discovery") and p_value is not None and np.isnan(p_value).any():
        return [None if unknown else odd for unknown, odd in zip(np.isnan(p_value), a.tolist(), strict=True)]
    if name in ("mean", "samples") and level_slices(spec):
        return _named(a, spec)
    return np.ascontiguousarray(a)


def _named(x: NDArray[Any], spec: VectorSpec | ImageSpec) -> list[list[Any]]:
    """Rows (N, D) with the names of levels in place of their indices."""
    assert isinstance(spec, VectorSpec)
    cells = x.astype(object)
    for d, column in enumerate(spec.columns):
        if column.kind == "category":
            cells[:, d] = level_names(x[:, d], column)
    rows: list[list[Any]] = cells.tolist()
    return rows
