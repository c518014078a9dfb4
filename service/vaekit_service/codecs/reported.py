"""Reads and writes JSON with errors=report: invalid rows are null in the reply, and `errors` has their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import Request, RowId, RowOptions
from vaekit.errors import InputError
from vaekit.tabular.checked_rows import InvalidRow, RowChecker
from vaekit.tabular.columns import NOTHING_IGNORED
from vaekit.tabular.pixels import encode_images
from vaekit_service.codecs.row_ids import split_ids
from vaekit_service.messages import Answer, ParsedRequest, Target


def read_valid(options: Request, rows: Sequence[Any], ids: Sequence[RowId] | None, target: Target) -> ParsedRequest:
    """The valid rows of a body in one of the forms of JSON, and the reasons of the others.

    Raises:
        InputError: as many ids as there are rows are needed, or too many columns that the model does not have.
    """
    spec, ignored = target.manifest.input, NOTHING_IGNORED
    if ids is not None and len(ids) != len(rows):
        raise InputError(f"ids: {len(ids)} ids for {len(rows)} rows")
    x: NDArray[Any]
    if isinstance(spec, ImageSpec):
        x, invalid = _images(rows, spec)
    else:
        strict = isinstance(options, RowOptions) and options.strict
        found = RowChecker(spec, strict=strict, most_missing=target.manifest.most_missing).rows(rows)
        x, invalid, ignored = found.x, list(found.invalid), found.ignored
    if ids is not None:
        ids, invalid = split_ids(ids, invalid)
    return ParsedRequest(options, x, ignored, ids, invalid)


def _images(rows: Sequence[Any], spec: ImageSpec) -> tuple[NDArray[np.uint8], list[InvalidRow]]:
    found, invalid = [], []
    for row, image in enumerate(rows):
        try:
            found.append(encode_images([image], spec))
        except InputError as exc:
            invalid.append(InvalidRow(row, str(exc).removeprefix("inputs: ").removeprefix("row 0, ")))
    return np.concatenate(found) if found else np.empty((0, *spec.row_shape), dtype=np.uint8), invalid


def with_invalid(reply: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """A JSON reply with null in the places of invalid rows, and the reasons in `errors`."""
    at = {one.row for one in answer.invalid}
    fields = {*answer.rows, "ids"}
    spread = {name: _spread(value, answer.total, at) if name in fields else value for name, value in reply.items()}
    return {**spread, "errors": [refused_row(one) for one in answer.invalid]}


def _spread(value: Any, n: int, at: set[int]) -> Any:
    """A list of the valid rows as a list of n, with None in the places of the others."""
    if isinstance(value, dict):  # by column
        return {name: _spread(one, n, at) for name, one in value.items()}
    if value is None:
        return None
    rows = iter(value)
    return [None if row in at else next(rows) for row in range(n)]


def refused_row(invalid: InvalidRow) -> dict[str, Any]:
    """The fields of wire.RefusedRow."""
    named = {} if invalid.id is None else {"id": invalid.id}
    where = {"row": invalid.row, "column": invalid.column}
    return {**named, **where, "reason": invalid.reason, "value": invalid.plain_value}
