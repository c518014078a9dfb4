"""Reads JSON bodies of every form by pydantic, which makes a tree of Python objects and locates errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import (
    ImageFiles,
    ImagePixels,
    Latents,
    MixedObjects,
    MixedRows,
    Request,
    RowId,
    SampleOptions,
    WindowRows,
)
from vaekit.errors import InputError
from vaekit_service.codecs.image.options import read_files
from vaekit_service.codecs.reported import read_valid
from vaekit_service.codecs.requests import OPTIONS, forms
from vaekit_service.codecs.row_ids import id_column, listed_ids, without_ids
from vaekit_service.codecs.series import are_windows, refuse_report, request_rows
from vaekit_service.codecs.validation_messages import first_errors, refusal
from vaekit_service.messages import Body, Operation, ParsedRequest, Target


def read_tree(body: Body, target: Target) -> ParsedRequest:
    """Read and check a body in any of the forms of JSON.

    Raises:
        Unparsable: not JSON.
        InputError: JSON of another form, or values that the model does not accept.
    """
    request = _validate(body, target)
    if isinstance(request, SampleOptions):
        return ParsedRequest(request, None)
    options = _without_rows(request, target.operation)
    if isinstance(request, Latents):
        _check_widths(request.latents, target.manifest.latent_dim)
        return ParsedRequest(options, np.array(request.latents, dtype=np.float64))
    assert isinstance(request, MixedRows | MixedObjects | WindowRows | ImagePixels | ImageFiles)
    rows: Any = request.inputs
    ids: Sequence[RowId] | None
    spec_window = target.manifest.input.window
    if (column := id_column(request)) is not None:
        given = rows
        rows, ids = without_ids(given, column)
        if spec_window is not None and column in spec_window.beside:
            rows = given  # the column of series or of times has the ids
    else:
        ids = listed_ids(request)
    spec = target.manifest.input
    if isinstance(spec, ImageSpec) and isinstance(rows[0], str):
        return read_files(rows, ids, options, target, repeats_ids=False)
    if getattr(request, "errors", "fail") == "report":
        if not are_windows(rows, spec):
            refuse_report(report=True)
        return read_valid(options, rows, ids, target)
    x, ends, ignored = request_rows(rows, target, strict=getattr(request, "strict", False))
    return ParsedRequest(options, x, ignored, ids, ends=ends)


def _without_rows(request: Request, operation: Operation) -> Request:
    """The options of a request, without the Python objects of its rows."""
    kind = OPTIONS[operation]
    return kind.model_construct(**{name: getattr(request, name) for name in kind.model_fields})


def _validate(body: Body, target: Target) -> Request:
    form = forms(target.operation, target.manifest.input)
    try:
        return form.plain.model_validate_json(body)
    except ValidationError as exc:
        found = first_errors(exc)
    if form.other is None or not any(_is_other(error) or _is_window(error) for error in found):
        raise refusal(found[0], target.manifest)
    other = form.windows if form.windows is not None and any(map(_is_window, found)) else form.other
    try:
        return other.model_validate_json(body)
    except ValidationError as exc:
        raise refusal(first_errors(exc)[0], target.manifest) from None


def _is_other(error: ErrorDetails) -> bool:
    """Whether the error is that the first row is an object or a string, where the plain form expects a list."""
    return error["loc"] == ("inputs", 0) and isinstance(error["input"], dict | str)


def _is_window(error: ErrorDetails) -> bool:
    """Whether the error is that the first cell is a list: the first row is a window of time steps."""
    return error["loc"][:3] == ("inputs", 0, 0) and isinstance(error["input"], list)


def _check_widths(rows: list[list[float]], width: int) -> None:
    for i, row in enumerate(rows):
        if len(row) != width:
            raise InputError(f"row {i}: {len(row)} latents, expected {width}")
