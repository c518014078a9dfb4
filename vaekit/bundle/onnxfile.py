"""Refuses ONNX files with external data or with operators outside the standard domain, before they are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vaekit.errors import ForbiddenGraph

# For each message of onnx.proto3, the field numbers that may contain tensors, domains of operators or nested graphs.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
}
_DOMAIN = {"opset": 1, "node": 7, "function": 10}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


def check_graph(path: Path) -> None:
    """Refuse a graph with external data or with operators outside the standard domain.

    Raises:
        ForbiddenGraph: one of these was found, or the file is not an ONNX model.
    """
    data = memoryview(path.read_bytes())
    try:
        _check(data, "model", path.name, depth=0)
    except (IndexError, ValueError, UnicodeDecodeError) as exc:
        raise ForbiddenGraph(f"{path.name}: not an ONNX model: {exc}") from exc


def _check(data: memoryview, message: str, name: str, depth: int) -> None:
    if depth > 32:
        raise ForbiddenGraph(f"{name}: messages are nested more than 32 deep")
    children = _CHILDREN.get(message, {})
    for field, value in _fields(data):
        if message == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
            raise ForbiddenGraph(f"{name}: weights are in external data; they must be inside the file")
        if not isinstance(value, memoryview):
            continue
        if field == _DOMAIN.get(message) and (domain := bytes(value).decode()) not in STANDARD_DOMAINS:
            raise ForbiddenGraph(
                f"{name}: operators of the domain {domain!r}; only standard ONNX operators are allowed"
            )
        if field in children:
            _check(value, children[field], name, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, integer or bytes) for each field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if key >> 32:  # a parser that keeps only 32 bits would read another field number
            raise ValueError("a tag longer than 32 bits")
        if kind == 0:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        if at + size > len(data):
            raise ValueError("a field is truncated")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
        if shift > 63:
            raise ValueError("a number longer than 64 bits")
