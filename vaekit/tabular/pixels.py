"""Checks images and converts them to the array (N, H, W, C) uint8 that a model takes."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec
from vaekit.errors import InputError


def encode_images(rows: Any, spec: ImageSpec) -> NDArray[np.uint8]:
    """Check images and convert them to (N, H, W, C) uint8. The channel axis may be missing if C is 1.

    Raises:
        InputError: the shape is wrong, there are no rows, or a pixel is invalid; the message names row and pixel.
    """
    x = _image_array(rows, spec)
    shape = spec.row_shape
    if x.ndim == 3 and spec.channels == 1:
        x = x[..., None]
    if x.ndim != 4 or x.shape[1:] != shape:
        raise InputError(f"inputs: shape {x.shape}, expected (N, {', '.join(map(str, shape))})")
    if len(x) == 0:
        raise InputError("inputs: no rows, expected at least 1")
    if x.dtype != np.uint8:
        x = _to_uint8(x)
    if spec.two_valued:
        _refuse_pixel((x != 0) & (x != 255), x, "not 0 or 255")
    return np.ascontiguousarray(x)


def _image_array(rows: Any, spec: ImageSpec) -> NDArray[Any]:
    if isinstance(rows, np.ndarray):
        return rows
    try:
        x = np.array(rows)
    except (ValueError, OverflowError) as exc:
        raise InputError(f"inputs: images differ in shape or are ragged, expected {spec.row_shape} each") from exc
    if x.dtype.kind in "iuf":
        _refuse_booleans(rows, x.ndim)
    return x


def _refuse_booleans(rows: Any, depth: int) -> None:
    cells = rows
    for _ in range(depth - 1):
        cells = chain.from_iterable(cells)
    if bool in set(map(type, cells)):
        raise InputError("inputs: a pixel is a boolean, expected integers 0..255")


def _to_uint8(x: NDArray[Any]) -> NDArray[np.uint8]:
    if x.dtype.kind not in "iuf":
        raise InputError(f"inputs: dtype {x.dtype}, expected integers 0..255")
    with np.errstate(invalid="ignore"):
        bad = ~((x >= 0) & (x <= 255) & (np.trunc(x) == x))
    _refuse_pixel(bad, x, "not an integer 0..255")
    return x.astype(np.uint8)


def _refuse_pixel(bad: NDArray[np.bool_], x: NDArray[Any], what: str) -> None:
    if bad.any():
        row, h, w, c = np.argwhere(bad)[0]
        raise InputError(f"row {row}, pixel ({h}, {w}, {c}): {what}: {x[row, h, w, c]}")
