"""application/x-npy in both directions: arrays in, one structured array out."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from math import prod
from typing import Any, Literal

import numpy as np
import orjson
from numpy.lib import format as npy
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular import encode
from vaekit.tabular.levels import level_slices
from vaekit_service.codecs.query_options import read_options
from vaekit_service.errors import Unparsable
from vaekit_service.messages import Answer, Body, ParsedRequest, Target

_MAX_HEADER = 4096  # a shape and a type name: anything longer is no header of ours
_MAX_AXES, _MAX_DIGITS = 4, 12
_LENGTH = {b"\x01\x00": 2, b"\x02\x00": 4}  # bytes of the header's length, by version
# The header is a Python dictionary as text. numpy evaluates it; so little of it can be meant that matching is enough.
_FIELD = re.compile(r"""['"](\w+)['"]\s*:\s*('[^']*'|"[^"]*"|\[.*\]|\([^()]*\)|True|False)\s*,?""")
_NUMBERS = re.compile(r"[<>=|]?[iuf]\d{1,2}")
_BOOLEANS = "|b1"  # 0 and 1 in rows


def read(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """Check a body that is one array, (N, D), (N, H, W, C) or (N, Z), with the options as query parameters.

    Raises:
        Unparsable: no npy array, or one of another size than it says.
        InputError: an array or options that the model does not take.
    """
    options = read_options(query, target)
    if target.operation == "decode":
        return ParsedRequest(options, read_array(body, "latents"))
    return ParsedRequest(options, encode(read_array(body, "inputs"), target.manifest.input))


def read_array(body: Body, field: str) -> NDArray[Any]:
    """The array of an npy file held in memory, without a copy; its size is checked before anything is made of it.

    Args:
        body: the file.
        field: what the JSON body calls it, for the messages.
    """
    text, start = _header(body)
    dtype, shape, order = _meaning(text, field)
    if prod(shape) * dtype.itemsize != len(body) - start:
        raise Unparsable(f"body: {len(body) - start} bytes of data are not an array {str(shape)[:100]} of {dtype}")
    flat = np.frombuffer(body, dtype, offset=start)
    return flat.reshape(shape, order=order)


def _header(body: Body) -> tuple[str, int]:
    """The header of an npy file, and where its data begin."""
    version = bytes(body[6:8])
    if body[:6] != b"\x93NUMPY" or version not in _LENGTH:
        raise Unparsable("body: not an npy file of version 1.0 or 2.0")
    start = 8 + _LENGTH[version]
    end = start + int.from_bytes(body[8:start], "little")
    if not end <= min(len(body), _MAX_HEADER):
        raise Unparsable(f"body: not an npy file: a header up to byte {end} of {len(body)}, at most {_MAX_HEADER}")
    return body[start:end].decode("latin-1"), end


@lru_cache
def _meaning(text: str, field: str) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"]]:
    """What a header says: the type, the shape and the order."""
    fields = dict(_FIELD.findall(text))
    if set(fields) != {"descr", "fortran_order", "shape"} or _FIELD.sub("", text).strip(" \n{}"):
        raise Unparsable(f"body: not an npy file: its header is {text[:100]!r}")
    return _dtype(fields["descr"], field), _shape(fields["shape"]), "F" if fields["fortran_order"] == "True" else "C"


def _dtype(text: str, field: str) -> np.dtype[Any]:
    name = text[1:-1]
    if _NUMBERS.fullmatch(name) or (name == _BOOLEANS and field == "inputs"):
        with suppress(TypeError):  # numbers of a size that there is not, or not on this machine
            return np.dtype(name)
    raise InputError(f"{field}: dtype {name[:40]} is not numeric")


def _shape(text: str) -> tuple[int, ...]:
    sizes = [size.strip() for size in text[1:-1].removesuffix(",").split(",")]
    if len(sizes) > _MAX_AXES or not all(size.isdecimal() and len(size) <= _MAX_DIGITS for size in sizes):
        raise Unparsable(f"body: not an npy file: its shape is {text[:100]!r}")
    return tuple(map(int, sizes))


def write(answer: Answer) -> bytes:
    """One record per row, a field per array, named as in the JSON reply; what would be null there is absent.

    A category is the index of its level; `probabilities` is a record with a field for each category. `novel` is text:
    a JSON array of names, empty text for a row that is not novel.
    """
    fields = {name: _by_column(a, answer) if name == "probabilities" else a for name, a in answer.rows.items()}
    if (novel := fields.get("novel")) is not None:
        fields["novel"] = np.array([orjson.dumps(names).decode() if names else "" for names in novel], dtype=np.str_)
    given = {name: a for name, a in fields.items() if a is not None}
    return _npy(_records({name: (a, a.dtype, a.shape[1:]) for name, a in given.items()}, answer.n))


def _records(fields: Mapping[str, tuple[NDArray[Any], Any, tuple[int, ...]]], n: int) -> NDArray[Any]:
    records = np.empty(n, dtype=[(name, dtype, shape) for name, (_, dtype, shape) in fields.items()])
    for name, (a, _, _) in fields.items():
        records[name] = a
    return records


def _by_column(a: NDArray[Any] | None, answer: Answer) -> NDArray[Any] | None:
    """Probabilities (N, L of all categories) as records, a field (N, L) for each category."""
    if a is None:
        return None
    slices = level_slices(answer.spec)
    return _records({name: (a[:, at], a.dtype, (at.stop - at.start,)) for name, at in slices.items()}, answer.n)


def _npy(records: NDArray[Any]) -> bytes:
    """An npy file of the lowest version that can name the fields: 1.0 unless they are many, or not Latin letters."""
    if head := _head(records.dtype, len(records)):
        return head + records.tobytes()
    file = io.BytesIO()
    npy.write_array(file, records, (3, 0), allow_pickle=False)
    return file.getvalue()


@lru_cache
def _head(dtype: np.dtype[Any], n: int) -> bytes | None:
    """How the file of n records begins in version 1.0 or 2.0; None where neither can name the fields."""
    said = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (n,)}
    for write in (npy.write_array_header_1_0, npy.write_array_header_2_0):
        file = io.BytesIO()
        with suppress(ValueError):
            write(file, said)
            return file.getvalue()
    return None
