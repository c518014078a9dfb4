"""Writes rows as JSON, and says which cell JSON cannot hold."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.errors import InputError
from vaekit.tabular.cells import plain

IMAGE_OBJECT = "an image object: give its path, its bytes or an array (np.asarray(image))"


def as_list(name: str, rows: Any) -> Sequence[Any]:
    """Rows as a list; files of images, given as paths or bytes, in base64.

    Raises:
        InputError: they are no rows, or a file cannot be read.
    """
    if isinstance(rows, str | bytes | Mapping | PathLike) or not isinstance(rows, Iterable):
        raise InputError(f"{name}: expected rows, not {type(rows).__name__}{_one_row(rows)}")
    listed = list(rows)
    if any(isinstance(row, str | bytes | PathLike) for row in listed):
        return [_image(i, row) for i, row in enumerate(listed)]
    return listed


def _one_row(rows: Any) -> str:
    """How to send what looks like one row."""
    if isinstance(rows, str | bytes | PathLike):
        return f"; for one image give a list: [{'bytes' if isinstance(rows, bytes) else 'path'}]"
    if isinstance(rows, Mapping):
        return "; for one row give a list: [row]"
    return f"; {IMAGE_OBJECT}" if _is_image_object(rows) else ""


def _is_image_object(value: Any) -> bool:
    """Whether it is an image of Pillow."""
    return any(base.__module__ == "PIL.Image" for base in type(value).__mro__)


def _image(i: int, image: Any) -> str:
    """base64 of an image file, given as its path or its bytes."""
    if isinstance(image, bytes):
        return base64.b64encode(image).decode()
    if not isinstance(image, str | PathLike):
        raise InputError(f"row {i}: expected the path or the bytes of an image, as in other rows")
    try:
        return base64.b64encode(Path(image).read_bytes()).decode()
    except OSError as exc:
        raise InputError(f"row {i}: {exc.filename}: {exc.strerror}") from exc


def json_body(body: Mapping[str, Any]) -> bytes:
    """The body as JSON.

    Raises:
        InputError: JSON cannot hold a cell. The message names the row and the cell.
    """
    rows = body.get("inputs")
    with suppress(TypeError, ValueError):
        return _dumps(body)
    if isinstance(rows, list):
        body = {**body, "inputs": [_without_nan(row) for row in rows]}
    try:
        return _dumps(body)
    except (TypeError, ValueError) as exc:
        listed = next((value for value in body.values() if isinstance(value, list)), [])
        raise InputError(_first_invalid_row(listed, str(exc))) from exc


def _without_nan(row: Any) -> Any:
    """A row with null for NaN, because JSON has no NaN; both mean a missing cell."""
    if isinstance(row, np.ndarray):
        row = row.tolist()
    if isinstance(row, Mapping):
        return {str(name): None if _is_nan(cell) else cell for name, cell in row.items()}
    return [None if _is_nan(cell) else cell for cell in row] if isinstance(row, list | tuple) else row


def _is_nan(cell: Any) -> bool:
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def _dumps(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, default=_json_default).encode()


def _json_default(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    cell = plain(value)
    if cell is None or isinstance(cell, str | bool | int | float):
        return cell
    if isinstance(cell, date | np.datetime64):
        return str(cell)
    raise TypeError(IMAGE_OBJECT if _is_image_object(value) else f"not a number: {value!r:.40}")


def _first_invalid_row(rows: Sequence[Any], error: str) -> str:
    for i, row in enumerate(rows):
        if (said := _not_json(row)) is not None:
            return f"row {i}{_invalid_cell(row) or f': {said}'}"
    return error


def _invalid_cell(row: Any) -> str:
    """Where in a row a cell is that JSON cannot hold, and what is wrong with it; empty if the row has no cells."""
    is_named = isinstance(row, Mapping)
    for at, cell in row.items() if is_named else enumerate(row) if isinstance(row, list | tuple) else ():
        if (said := _not_json(cell)) is not None:
            return f", {f'feature {at!r}' if is_named else f'value {at}'}: {said}"
    return ""


def _not_json(value: Any) -> str | None:
    """What is wrong with a value that JSON cannot hold; None if it can."""
    try:
        _dumps(value)
    except TypeError as exc:
        return str(exc)
    except ValueError as exc:
        if "JSON compliant" not in str(exc):
            return str(exc)
        return f"not finite: {value!s:.40}{'' if _is_nan(value) else '; infinite numbers are refused'}"
    return None
