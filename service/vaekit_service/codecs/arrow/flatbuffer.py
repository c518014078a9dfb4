"""Reads flatbuffer tables of untrusted bytes: every step stays inside the buffer.

A table is its place in the buffer; what is at slot n of it is found through the table's list of offsets, and absent
where that says 0. See the Flatbuffers Internals page of flatbuffers.dev.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from vaekit_service.errors import Unparsable

U8, I16, U16, I32, U32, I64 = map(Struct, ("<B", "<h", "<H", "<i", "<I", "<q"))


def number(form: Struct, data: memoryview, at: int) -> int:
    """The number at a place.

    Raises:
        Unparsable: the place is not inside the data.
    """
    if not 0 <= at <= len(data) - form.size:
        raise Unparsable(f"body: an offset to byte {at} of {len(data)}")
    found: int = form.unpack_from(data, at)[0]
    return found


class FlatTable:
    """One table; all that is read of it raises Unparsable where it points outside the buffer."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._slots = at - number(I32, data, at)
        self._size = number(U16, data, self._slots)

    @classmethod
    def root(cls, data: memoryview) -> FlatTable:
        return cls(data, number(U32, data, 0))

    @property
    def size(self) -> int:
        """Bytes of the whole buffer."""
        return len(self._data)

    def number(self, slot: int, form: Struct) -> int:
        """A number, 0 where it is absent."""
        at = self._place(slot)
        return 0 if at is None else number(form, self._data, at)

    def table(self, slot: int) -> FlatTable | None:
        at = self._target(slot)
        return None if at is None else FlatTable(self._data, at)

    def tables(self, slot: int) -> Iterator[FlatTable]:
        """The tables of a vector, which may well be one table many times over."""
        start, count = self._vector(slot, U32.size)
        for at in range(start, start + count * U32.size, U32.size):
            yield FlatTable(self._data, at + number(U32, self._data, at))

    def count(self, slot: int) -> int:
        """How many tables a vector has."""
        return self._vector(slot, U32.size)[1]

    def text(self, slot: int) -> memoryview:
        """A string's bytes, none where it is absent."""
        start, count = self._vector(slot, 1)
        return self._data[start : start + count]

    def integers(self, slot: int, width: int = 1) -> NDArray[np.int64]:
        """A vector of 64-bit integers, or of structs of `width` of them: (count, width)."""
        start, count = self._vector(slot, width * I64.size)
        return np.frombuffer(self._data, "<i8", count * width, start).reshape(count, width)

    def _vector(self, slot: int, item: int) -> tuple[int, int]:
        """(where a vector's items begin, how many there are); (0, 0) where it is absent."""
        at = self._target(slot)
        if at is None:
            return 0, 0
        count = number(U32, self._data, at)
        if count * item > len(self._data) - at - U32.size:
            raise Unparsable(f"body: a vector of {count} items in {len(self._data)} bytes")
        return at + U32.size, count

    def _target(self, slot: int) -> int | None:
        at = self._place(slot)
        return None if at is None else at + number(U32, self._data, at)

    def _place(self, slot: int) -> int | None:
        at = 4 + 2 * slot
        offset = number(U16, self._data, self._slots + at) if at + 2 <= self._size else 0
        return self._at + offset if offset else None
