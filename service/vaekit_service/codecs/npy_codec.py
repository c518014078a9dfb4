"""Reads and writes application/x-npy: a body is one array, a reply is one structured array."""

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
from vaekit.tabular.levels import level_slices
from vaekit.tabular.series import as_windows
from vaekit_service.codecs.query_options import read_options
from vaekit_service.codecs.row_ids import listed_ids
from vaekit_service.codecs.series import request_rows
from vaekit_service.errors import Unparsable
from vaekit_service.messages import OF_DATA, Answer, Body, ParsedRequest, Target

_MAX_HEADER = 4096  # bytes; enough for any shape and numeric type
_MAX_AXES, _MAX_DIGITS = 4, 12
_LENGTH = {b"\x01\x00": 2, b"\x02\x00": 4}  # bytes of the field with the header's length, by version
# The header is a Python dictionary as text. numpy evaluates it; its three fields can be matched with a pattern instead.
_FIELD = re.compile(r"""['"](\w+)['"]\s*:\s*('[^']*'|"[^"]*"|\[.*\]|\([^()]*\)|True|False)\s*,?""")
_NUMBERS = re.compile(r"[<>=|]?[iuf]\d{1,2}")
_BOOLEANS = "|b1"  # 0 and 1 in rows


def read(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """Read and check a body that is one array (N, D), (N, H, W, C) or (N, Z), with the options as query parameters.

    Raises:
        Unparsable: not an npy file, or its data do not have the size that its header declares.
        InputError: the model does not accept the array, or an option is invalid.
    """
    options = read_options(query, target)
    if target.operation == "decode":
        return ParsedRequest(options, read_array(body, "latents"))
    strict = getattr(options, "strict", False)
    x, ends, _ = request_rows(read_array(body, "inputs"), target, strict=strict)
    return ParsedRequest(options, x, ids=listed_ids(options), ends=ends)


def read_array(body: Body, field: str) -> NDArray[Any]:
    """The array of an npy file in memory, without a copy. The size is checked first.

    Args:
        body: the file.
        field: the name of the array in a JSON body, for error messages.

    Raises:
        Unparsable: not an npy file, or its data do not have the size that its header declares.
        InputError: the dtype is not numeric.
    """
    text, start = _header(body)
    dtype, shape, order = _meaning(text, field)
    if prod(shape) * dtype.itemsize != len(body) - start:
        raise Unparsable(
            f"body: {len(body) - start} bytes of data; an array {str(shape)[:100]} of {dtype} has "
            f"{prod(shape) * dtype.itemsize}"
        )
    flat = np.frombuffer(body, dtype, offset=start)
    return flat.reshape(shape, order=order)


def _header(body: Body) -> tuple[str, int]:
    """The header of an npy file, and the byte at which its data begin."""
    version = bytes(body[6:8])
    if body[:6] != b"\x93NUMPY" or version not in _LENGTH:
        raise Unparsable("body: not an npy file of version 1.0 or 2.0")
    start = 8 + _LENGTH[version]
    end = start + int.from_bytes(body[8:start], "little")
    if not end <= min(len(body), _MAX_HEADER):
        raise Unparsable(
            f"body: not an npy file: its header ends at byte {end}, expected at most {min(len(body), _MAX_HEADER)}"
        )
    return body[start:end].decode("latin-1"), end


@lru_cache
def _meaning(text: str, field: str) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"]]:
    """The dtype, the shape and the memory order of a header."""
    fields = dict(_FIELD.findall(text))
    if set(fields) != {"descr", "fortran_order", "shape"} or _FIELD.sub("", text).strip(" \n{}"):
        raise Unparsable(
            f"body: not an npy file: its header is {text[:100]!r}, expected descr, fortran_order and shape"
        )
    return _dtype(fields["descr"], field), _shape(fields["shape"]), "F" if fields["fortran_order"] == "True" else "C"


def _dtype(text: str, field: str) -> np.dtype[Any]:
    name = text[1:-1]
    if _NUMBERS.fullmatch(name) or (name == _BOOLEANS and field == "inputs"):
        with suppress(TypeError):  # a size that numpy does not have on this machine
            return np.dtype(name)
    raise InputError(f"{field}: dtype {name[:40]} is not numeric; expected integers or floats")


def _shape(text: str) -> tuple[int, ...]:
    sizes = [size.strip() for size in text[1:-1].removesuffix(",").split(",")]
    if len(sizes) > _MAX_AXES or not all(size.isdecimal() and len(size) <= _MAX_DIGITS for size in sizes):
        raise Unparsable(
            f"body: not an npy file: its shape is {text[:100]!r}, expected at most {_MAX_AXES} axes of at most "
            f"{_MAX_DIGITS} digits"
        )
    return tuple(map(int, sizes))


def write(answer: Answer) -> bytes:
    """An npy file with one record per row and one field per array of the JSON reply; null arrays are left out.

    A category is the index of its level. `probabilities` is a nested record with one field per category column. `novel`
    and `tolerated` are text: a JSON array of names, and empty for a row without any. So is `id`, empty for null.
    """
    fields = {name: _by_column(a, answer) if name == "probabilities" else a for name, a in answer.rows.items()}
    fields |= {name: as_windows(fields[name], answer.spec) for name in OF_DATA & fields.keys()}
    for name in ("novel", "tolerated"):
        if (lists := fields.get(name)) is not None:
            fields[name] = np.array([orjson.dumps(names).decode() if names else "" for names in lists], dtype=np.str_)
    given = {name: a for name, a in fields.items() if a is not None}
    if answer.ids is not None:
        given = {"id": np.array(["" if one is None else str(one) for one in answer.ids], dtype=np.str_), **given}
    return _npy(_records({name: (a, a.dtype, a.shape[1:]) for name, a in given.items()}, answer.n))


def _records(fields: Mapping[str, tuple[NDArray[Any], Any, tuple[int, ...]]], n: int) -> NDArray[Any]:
    records = np.empty(n, dtype=[(name, dtype, shape) for name, (_, dtype, shape) in fields.items()])
    for name, (a, _, _) in fields.items():
        records[name] = a
    return records


def _by_column(a: NDArray[Any] | None, answer: Answer) -> NDArray[Any] | None:
    """Probabilities (N, all levels of all columns) as records with one field (N, L) per category column."""
    if a is None:
        return None
    slices = level_slices(answer.spec)
    return _records({name: (a[:, at], a.dtype, (at.stop - at.start,)) for name, at in slices.items()}, answer.n)


def _npy(records: NDArray[Any]) -> bytes:
    """An npy file of the lowest version that can hold the field names: 1.0 unless they are long or not Latin-1."""
    if head := _head(records.dtype, len(records)):
        return head + records.tobytes()
    file = io.BytesIO()
    npy.write_array(file, records, (3, 0), allow_pickle=False)
    return file.getvalue()


@lru_cache
def _head(dtype: np.dtype[Any], n: int) -> bytes | None:
    """The magic bytes and header of n records in version 1.0 or 2.0; None if neither can hold the field names."""
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (n,)}
    for write in (npy.write_array_header_1_0, npy.write_array_header_2_0):
        file = io.BytesIO()
        with suppress(ValueError):
            write(file, header)
            return file.getvalue()
    return None
