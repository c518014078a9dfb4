"""The tensors of the Open Inference Protocol: their data types, and their values in JSON and in bytes.

Bytes are little-endian, row-major and without padding. An element of BYTES is its length, 4 bytes, and its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from math import prod
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit_service.codecs.validation_messages import show

MAX_AXES, MAX_SIZE = 16, 2**31 - 1  # of a shape
_LENGTH = 4  # bytes before each element of BYTES
_U4 = Struct("<I").unpack_from


class Datatype(NamedTuple):
    """How the values of a data type are stored."""

    dtype: np.dtype[Any]
    json: str | None  # type of the buffer that simdjson writes: d, i or u; None: it writes none


def _stored(code: str, json: str | None) -> Datatype:
    return Datatype(np.dtype(code), json)


DATATYPES: dict[str, Datatype] = {
    "BOOL": _stored("|b1", None),
    "UINT8": _stored("|u1", "u"),
    "UINT16": _stored("<u2", "u"),
    "UINT32": _stored("<u4", "u"),
    "UINT64": _stored("<u8", "u"),
    "INT8": _stored("|i1", "i"),
    "INT16": _stored("<i2", "i"),
    "INT32": _stored("<i4", "i"),
    "INT64": _stored("<i8", "i"),
    "FP16": _stored("<f2", None),
    "BF16": _stored("<u2", None),  # the upper half of an FP32
    "FP32": _stored("<f4", "d"),
    "FP64": _stored("<f8", "d"),
    "BYTES": _stored("O", None),
}
BINARY_ONLY = ("FP16", "BF16")  # not in JSON
_OF_JSON = {"d": np.dtype("f8"), "i": np.dtype("i8"), "u": np.dtype("u8")}
_NAMES = {stored.dtype.char: name for name, stored in DATATYPES.items() if name not in ("BF16", "BYTES")}
_NAMES |= {np.dtype(np.longlong).char: "INT64", np.dtype(np.ulonglong).char: "UINT64"}  # the other one of two names


class Tensor(NamedTuple):
    """One tensor of a request."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    flat: NDArray[Any]  # its values; of BYTES objects: bytes or text
    is_text: bool = False  # BYTES that came as JSON strings

    @property
    def shaped(self) -> NDArray[Any]:
        return self.flat.reshape(self.shape)


def datatype_of(dtype: np.dtype[Any]) -> str | None:
    """The data type of an array of numbers or booleans; None for any other array."""
    return _NAMES.get(dtype.char)


def checked_datatype(name: str, datatype: Any) -> Datatype:
    """How the values of an input are stored.

    Raises:
        InputError: there is no such data type.
    """
    if isinstance(datatype, str) and (found := DATATYPES.get(datatype)):
        return found
    raise InputError(f"input {name!r}: datatype {show(datatype)} is none of {', '.join(DATATYPES)}")


def checked_shape(name: str, shape: Any) -> tuple[int, ...]:
    """The shape of an input.

    Raises:
        InputError: it is not a list of sizes.
    """
    if not isinstance(shape, list) or len(shape) > MAX_AXES:
        raise InputError(f"input {name!r}: shape {show(shape)} is not a list of at most {MAX_AXES} sizes")
    for size in shape:
        if type(size) is not int or not 0 <= size <= MAX_SIZE:
            raise InputError(f"input {name!r}: shape has {show(size)}, which is not between 0 and {MAX_SIZE}")
    return tuple(shape)


def from_buffer(name: str, array: Any, stored: Datatype, count: int) -> NDArray[Any] | None:
    """The values of a JSON array that simdjson holds, without a Python object for each; None if it cannot.

    Raises:
        InputError: another number of values, or a value that the data type does not hold.
    """
    if stored.json is None:
        return None
    try:
        flat = np.frombuffer(array.as_buffer(of_type=stored.json), _OF_JSON[stored.json])
    except (TypeError, ValueError):  # a null, or a value of another type
        return None
    _check_count(name, len(flat), count)
    return _narrowed(name, flat, stored.dtype)


def from_lists(name: str, data: Any, datatype: str, count: int) -> NDArray[Any]:
    """The values of a JSON array, flat or nested. null is NaN among floats, and None among BYTES.

    Raises:
        InputError: another number of values, or a value that the data type does not hold.
    """
    if not isinstance(data, list):
        raise InputError(f"input {name!r}: data is {show(data)}, expected a list")
    values = data
    while list in set(map(type, values)):
        values = list(chain.from_iterable(value if isinstance(value, list) else (value,) for value in values))
    _check_count(name, len(values), count)
    stored = DATATYPES[datatype]
    allowed = _allowed(datatype)
    if not set(map(type, values)) <= allowed:
        at = next(i for i, value in enumerate(values) if type(value) not in allowed)
        raise InputError(f"input {name!r}: value {at} is {show(values[at])}, which is no {datatype}")
    if datatype == "BYTES":
        cells = np.empty(count, dtype=object)
        cells[:] = values
        return cells
    if stored.json is None:
        return np.array(values, dtype=stored.dtype)
    if stored.json != "d":
        return _whole(name, values, stored.dtype)
    try:
        return _narrowed(name, np.array(values, dtype=np.float64), stored.dtype)  # None becomes NaN
    except OverflowError:
        raise InputError(f"input {name!r}: an integer is outside the range of {datatype}") from None


def _allowed(datatype: str) -> set[type]:
    """The Python types of JSON values that a data type takes."""
    if datatype == "BYTES":
        return {str, type(None)}
    if datatype == "BOOL":
        return {bool}
    return {int, float, type(None)} if datatype.startswith("FP") else {int}


def _whole(name: str, values: list[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    for value in values:
        if not limits.min <= value <= limits.max:
            raise _outside(name, value, dtype)
    return np.array(values, dtype=dtype)


def _narrowed(name: str, flat: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values of 64 bits in the data type of the tensor.

    Raises:
        InputError: a value is outside its range.
    """
    if flat.dtype == dtype:
        return flat
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            found = flat.astype(dtype)
        outside = np.isinf(found) & np.isfinite(flat)
    else:
        limits = np.iinfo(dtype)
        found, outside = flat.astype(dtype), (flat < limits.min) | (flat > limits.max)
    if outside.any():
        raise _outside(name, flat[outside.argmax()].item(), dtype)
    return found


def _outside(name: str, value: Any, dtype: np.dtype[Any]) -> InputError:
    return InputError(f"input {name!r}: {show(value)} is outside the range of {_NAMES[dtype.char]}")


def _check_count(name: str, given: int, count: int) -> None:
    if given != count:
        raise InputError(f"input {name!r}: {given} values, but its shape has {count}")


def from_bytes(name: str, data: memoryview, datatype: str, count: int) -> NDArray[Any]:
    """The values of a tensor in bytes, without a copy where that is possible.

    Raises:
        InputError: another number of bytes.
    """
    if datatype == "BYTES":
        return _elements(name, data, count)
    dtype = DATATYPES[datatype].dtype
    if len(data) != count * dtype.itemsize:
        raise InputError(f"input {name!r}: {len(data)} bytes, but its shape and datatype have {count * dtype.itemsize}")
    if datatype == "BF16":
        halves = np.frombuffer(data, dtype).astype("<u4")
        found: NDArray[Any] = (halves << 16).view("<f4")
        return found
    if datatype == "BOOL":
        return np.frombuffer(data, np.uint8).astype(np.bool_)
    found = np.frombuffer(data, dtype)
    return found if found.flags.aligned else found.copy()  # the JSON before it may have any length


def _elements(name: str, data: memoryview, count: int) -> NDArray[Any]:
    if len(data) < count * _LENGTH:
        raise InputError(f"input {name!r}: {len(data)} bytes for {count} elements; each has {_LENGTH} bytes of length")
    found, size = np.empty(count, dtype=object), len(data)
    at = 0
    for i in range(count):
        start = at + _LENGTH
        at = start + (_U4(data, at)[0] if start <= size else 0)
        if at > size:
            raise InputError(f"input {name!r}: element {i} ends at byte {at}, but the tensor has {size}")
        found[i] = bytes(data[start:at])
    if at != len(data):
        raise InputError(f"input {name!r}: {len(data) - at} bytes are left over after {count} elements")
    return found


def to_bytes(a: NDArray[Any], datatype: str) -> bytes:
    """Numbers as bytes."""
    return a.astype(DATATYPES[datatype].dtype, copy=False).tobytes()


def elements(texts: Iterable[str]) -> bytes:
    """Texts as BYTES."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(one).to_bytes(_LENGTH, "little") + one for one in encoded)


def size_of(datatype: str, shape: Sequence[int]) -> int | None:
    """The bytes of a tensor of this shape; None if they depend on its values."""
    return None if datatype == "BYTES" else prod(shape) * DATATYPES[datatype].dtype.itemsize
