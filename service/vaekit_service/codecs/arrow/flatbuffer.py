"""Reads flatbuffer tables from untrusted bytes; every access is checked to be inside the buffer.

A table starts at a position in the buffer. Its list of offsets says where the field in slot n is; offset 0 means that
the field is absent. See the Flatbuffers Internals page of flatbuffers.dev.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from vaekit_service.errors import Unparsable

U8, I16, U16, I32, U32, I64 = map(Struct, ("<B", "<h", "<H", "<i", "<I", "<q"))


def number(form: Struct, data: memoryview, at: int) -> int:
    """The number at byte `at`.

    Raises:
        Unparsable: the position is outside the data.
    """
    if not 0 <= at <= len(data) - form.size:
        raise Unparsable(f"body: damaged Arrow stream: an offset points to byte {at} of {len(data)}")
    found: int = form.unpack_from(data, at)[0]
    return found


class FlatTable:
    """One table. Every method raises Unparsable if an offset points outside the buffer."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._slots = at - number(I32, data, at)
        self._size = number(U16, data, self._slots)

    @classmethod
    def root(cls, data: memoryview) -> FlatTable:
        return cls(data, number(U32, data, 0))

    @property
    def size(self) -> int:
        """Size of the whole buffer in bytes."""
        return len(self._data)

    def number(self, slot: int, form: Struct) -> int:
        """A number; 0 if it is absent."""
        at = self._place(slot)
        return 0 if at is None else number(form, self._data, at)

    def table(self, slot: int) -> FlatTable | None:
        at = self._target(slot)
        return None if at is None else FlatTable(self._data, at)

    def tables(self, slot: int) -> Iterator[FlatTable]:
        """The tables of a vector. Several items may point to the same table."""
        start, count = self._vector(slot, U32.size)
        for at in range(start, start + count * U32.size, U32.size):
            yield FlatTable(self._data, at + number(U32, self._data, at))

    def count(self, slot: int) -> int:
        """The number of tables in a vector."""
        return self._vector(slot, U32.size)[1]

    def text(self, slot: int) -> memoryview:
        """The bytes of a string; empty if it is absent."""
        start, count = self._vector(slot, 1)
        return self._data[start : start + count]

    def integers(self, slot: int, width: int = 1) -> NDArray[np.int64]:
        """A vector of 64-bit integers, or of structs of `width` such integers: (count, width)."""
        start, count = self._vector(slot, width * I64.size)
        return np.frombuffer(self._data, "<i8", count * width, start).reshape(count, width)

    def _vector(self, slot: int, item: int) -> tuple[int, int]:
        """(position of the first item, number of items) of a vector; (0, 0) if it is absent."""
        at = self._target(slot)
        if at is None:
            return 0, 0
        count = number(U32, self._data, at)
        if count * item > len(self._data) - at - U32.size:
            raise Unparsable(f"body: damaged Arrow stream: a vector of {count} items in {len(self._data)} bytes")
        return at + U32.size, count

    def _target(self, slot: int) -> int | None:
        at = self._place(slot)
        return None if at is None else at + number(U32, self._data, at)

    def _place(self, slot: int) -> int | None:
        at = 4 + 2 * slot
        offset = number(U16, self._data, self._slots + at) if at + 2 <= self._size else 0
        return self._at + offset if offset else None
