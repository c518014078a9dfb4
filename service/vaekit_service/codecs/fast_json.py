"""The commonest JSON bodies, lists of numbers, straight from text to array. Whatever is odd is left to json_codec."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import ValidationError

from vaekit.bundle.encode import check_columns
from vaekit.bundle.manifest import VectorSpec
from vaekit_service.codecs.requests import OPTIONS, Parsed, Target
from vaekit_service.http.body import Body

SMALL = 256 * 1024  # bytes of a body whose parsing takes no memory worth a look beforehand

try:
    import simdjson
except ImportError:  # it is not built for every Python
    simdjson = None  # type: ignore[assignment]  # a module where it is there


def read(body: Body, target: Target) -> Parsed | None:
    """What json_codec.read would make of the body, in a third of its time; None where it takes a closer look.

    No list of Python floats is made on the way: simdjson writes an array's numbers, those of the arrays in it among
    them, one after the other. What they were nested in is known by counting: rows that have D elements each, N D
    numbers in all, and no bracket but the rows' own.

    Raises:
        InputError: a number that its column does not take.
    """
    spec, operation = target.manifest.input, target.operation
    if simdjson is None or operation == "sample" or body[:1] != b"{":
        return None
    if len(body) > SMALL and body.count(b"[") > target.most_rows + 1:  # each takes room before any is refused
        return None
    if not isinstance(spec, VectorSpec) or (operation != "decode" and spec.may_be_missing | spec.has_categories):
        return None
    field, width = ("latents", target.manifest.latent_dim) if operation == "decode" else ("inputs", spec.dim)
    found: Any
    try:
        found = simdjson.Parser().parse(body)
        names = list(found.keys())
        rows = found[field]
        flat = np.frombuffer(rows.as_buffer(of_type="d"))  # (N D)
        lengths = set(map(len, rows))
        options = OPTIONS[operation].model_validate({name: found[name] for name in names if name != field})
    except (AttributeError, KeyError, RuntimeError, TypeError, ValidationError, ValueError):
        return None
    n = len(rows)
    if lengths != {width} or flat.size != n * width or not has_brackets(body, n + 1) or len(set(names)) != len(names):
        return None
    x = flat.reshape(n, width)
    return Parsed(options, x if operation == "decode" else check_columns(x, spec))


def has_brackets(body: Body, n: int) -> bool:
    """Whether so many lists begin in the body, and no more."""
    at = -1
    for _ in range(n):  # `find` leaps where `count` walks
        if (at := body.find(b"[", at + 1)) < 0:
            return False
    return body.find(b"[", at + 1) < 0
