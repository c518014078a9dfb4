"""Parses the JSON of an infer request. Arrays of numbers stay in simdjson's memory until a tensor is made of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson

from vaekit.errors import InputError
from vaekit.tabular.columns import MOST_IGNORED
from vaekit_service.codecs.json_codec import SMALL, without_mark
from vaekit_service.errors import TooLarge, Unparsable
from vaekit_service.messages import Body, Target

try:
    import simdjson
except ImportError:  # not available for every Python
    simdjson = None  # type: ignore[assignment]  # else a module

MAX_DEPTH = 100  # as Triton's
_MAX_FIELDS = 32  # fields that simdjson looks up: each one costs a walk over all
_PER_TENSOR = 16  # separators and brackets of a tensor beside those of its data
_OPEN, _OTHER = b"[{", bytes(set(range(256)) - set(b"[]{}"))
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CHUNK = 2**16  # brackets that are counted together


def check_size(head: Body, target: Target) -> None:
    """Count the separators of large JSON before it is parsed, since each value may take ten times as much memory.

    Raises:
        TooLarge: more values than a request may have.
    """
    if len(head) <= SMALL:
        return
    spec, most = target.manifest.input, target.max_rows
    per_row = _per_row(target)
    spare = _PER_TENSOR * (per_row + MOST_IGNORED)
    text = sum(level.count(",") for column in getattr(spec, "columns", ()) for level in column.levels or ())
    values = most * (per_row + text) + spare
    if max(head.count(b","), head.count(b"[")) > values or head.count(b":") > spare + most:
        raise _too_many(target)


def check_elements(given: int, target: Target) -> None:
    """Check the number of elements of BYTES behind the JSON, which take much more memory as objects.

    Raises:
        TooLarge: more than a request may have.
    """
    if given > target.max_rows * _per_row(target) + _PER_TENSOR * MOST_IGNORED:
        raise _too_many(target)


def _per_row(target: Target) -> int:
    return target.manifest.latent_dim if target.operation == "decode" else target.manifest.input.dim


def _too_many(target: Target) -> TooLarge:
    return TooLarge(
        f"body: too many values; one request to this model may have at most {target.max_rows} rows of "
        f"{_per_row(target)}"
    )


def check_depth(head: Body) -> None:
    """Refuse JSON that is nested too deep.

    Raises:
        Unparsable: it is.
    """
    if _opened(head) <= MAX_DEPTH:
        return
    if _depth(head) > MAX_DEPTH and _depth(_STRING.sub(b"", head)) > MAX_DEPTH:  # brackets in texts do not count
        raise Unparsable(f"not JSON that is read here: nested deeper than {MAX_DEPTH}")


def _opened(text: Body) -> int:
    """The number of opening brackets, up to one more than MAX_DEPTH of each kind."""
    opened = 0
    for bracket in (b"[", b"{"):
        at, most = text.find(bracket), opened + MAX_DEPTH
        while at >= 0 and opened <= most:  # `find` is faster than `count`
            opened += 1
            at = text.find(bracket, at + 1)
    return opened


def _depth(text: Body) -> int:
    """The largest number of brackets that are open at the same time."""
    brackets = np.frombuffer(text.translate(None, delete=_OTHER), np.uint8)
    depth = deepest = 0
    for at in range(0, len(brackets), _CHUNK):
        steps = np.where(np.isin(brackets[at : at + _CHUNK], list(_OPEN)), 1, -1)
        depths = depth + np.cumsum(steps)
        depth, deepest = int(depths[-1]), max(deepest, int(depths.max()))
    return deepest


def parse(head: Body) -> dict[str, Any]:
    """The fields of a request. In `inputs`, which is a list of dicts, `data` is an array of simdjson or a list.

    Raises:
        Unparsable: not JSON, or no object.
        InputError: inputs is no list of objects.
    """
    head = without_mark(head)
    check_depth(head)
    found = _by_simdjson(head)
    if found is None:
        found = loads(head)
    inputs = found.setdefault("inputs", [])
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise InputError("inputs: not a list of objects")
    return found


def loads(text: Body) -> dict[str, Any]:
    """The fields of a JSON object.

    Raises:
        Unparsable: not JSON, or no object.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        hint = "; NaN and Infinity are not JSON: send null for a missing cell, or the tensor in bytes"
        raise Unparsable(f"not JSON: {exc}{hint if b'NaN' in text or b'Infinity' in text else ''}") from None
    if not isinstance(found, dict):
        raise Unparsable("not a JSON object")
    return found


def _by_simdjson(head: Body) -> dict[str, Any] | None:
    """The fields of a request; None if simdjson cannot read them, or there are many or repeated ones."""
    if simdjson is None or not head:
        return None
    try:
        document: Any = simdjson.Parser().parse(head)
        if not isinstance(document, simdjson.Object) or (fields := _fields(document)) is None:
            return None
        found = {name: _plain(value) for name, value in fields.items() if name != "inputs"}
        inputs = []
        if not isinstance(given := fields.get("inputs", []), simdjson.Array | list):
            return None
        for each in given:
            if (tensor := _fields(each)) is None:
                return None
            inputs.append({name: value if name == "data" else _plain(value) for name, value in tensor.items()})
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return None
    return {**found, "inputs": inputs}


def _fields(document: Any) -> dict[str, Any] | None:
    names = list(document.keys())
    if len(names) > _MAX_FIELDS or len(set(names)) != len(names):
        return None
    return {name: document[name] for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, simdjson.Array):
        return value.as_list()
    return value.as_dict() if isinstance(value, simdjson.Object) else value


def is_buffered(data: Any) -> bool:
    """Whether the data of a tensor are an array of simdjson."""
    return simdjson is not None and isinstance(data, simdjson.Array)
