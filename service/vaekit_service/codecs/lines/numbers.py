"""Reads lines of plain numbers without a Python object for each: as JSON, by simdjson into one flat buffer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import VectorSpec

try:
    import simdjson
except ImportError:  # not available for every Python
    simdjson = None  # type: ignore[assignment]  # else a module


def csv_numbers(lines: Sequence[bytes], spec: VectorSpec) -> NDArray[np.float64] | None:
    """Rows (N, D) of lines of CSV in column order; None if they may be anything but numbers as JSON has them."""
    if not lines or not _takes(spec):
        return None
    return _flat(b"[[" + b"],[".join(lines) + b"]]", len(lines), spec.dim)


def json_numbers(lines: Sequence[bytes], spec: VectorSpec) -> NDArray[np.float64] | None:
    """Rows (N, D) of lines that are JSON lists; None if they may be anything but lists of numbers."""
    if not lines or not _takes(spec):
        return None
    if any(line[:1] != b"[" or line[-1:] != b"]" for line in lines):
        return None
    return _flat(b"[" + b",".join(lines) + b"]", len(lines), spec.dim)


def _takes(spec: VectorSpec) -> bool:
    """Whether every cell of such rows is a number."""
    return simdjson is not None and not (spec.may_be_missing or spec.has_categories)


def _flat(text: bytes, n: int, width: int) -> NDArray[np.float64] | None:
    """A list of n lists of `width` numbers as an array (n, width); None if it is not that."""
    if text.count(b"[") != n + 1 or text.count(b"]") != n + 1:
        return None
    found: Any
    try:
        found = simdjson.Parser().parse(text)
        flat = np.frombuffer(found.as_buffer(of_type="d"))  # (n width)
        if flat.size != n * width or len(found) != n or set(map(len, found)) != {width}:
            return None
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return None
    return flat.reshape(n, width)
