"""Checks what an Arrow stream would cost to read, from the headers of its messages, before pyarrow reads it.

pyarrow checks that a stream is well formed, not what it unfolds to. In a flatbuffer, and among the buffers of a batch,
many may point to the same bytes, and compressed bytes and declared sizes may stand for any number of others: some
kilobytes become gigabytes before there is a row to look at. So a stream is checked here first, and passes only where
each part of it has bytes of its own. What pyarrow then reads is bounded by the size of the body.

The slots are those of Message.fbs and Schema.fbs of the format's version 1.
"""

from __future__ import annotations

from collections.abc import Iterator

from vaekit.errors import InputError
from vaekit_service.codecs.arrow.flatbuffer import I16, I32, I64, U8, U32, FlatTable, number
from vaekit_service.errors import MediaType, TooLarge, Unparsable
from vaekit_service.messages import Body

_CONTINUED = 0xFFFFFFFF  # before the length of each message
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_DECIMAL, _TIMESTAMP, _FIXED_SIZE_LIST = 7, 10, 16
_PLAIN = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 18, 19, 20, 23, 24}  # types without children; no intervals, no unions
_MOST_SCALE = 76  # of the widest decimal; pyarrow takes any, and looks its power of ten up in a table
_MOST_ARRAYS = 2**15  # arrays of one batch that a request may hold: each costs some hundred bytes and microseconds
_SCHEMA_BYTES = 2**20  # of the schema's message, and 1 KiB more for each column


def check_stream(body: Body, most_columns: int, most_rows: int) -> None:
    """Refuse a stream that is not one, or that would cost more than its bytes and the rows that are admitted.

    Args:
        body: the stream.
        most_columns: more of them are no table of the model's.
        most_rows: of one request.

    Raises:
        Unparsable: no Arrow IPC stream, or parts of it share bytes.
        MediaType: its buffers are compressed.
        TooLarge: more columns, rows or batches than are admitted.
        InputError: columns of nested types, delta dictionaries, or another byte order.
    """
    rows, arrays, columns = 0, 0, 0
    for i, (kind, header, size) in enumerate(_messages(memoryview(body), most_columns)):
        if (kind == _SCHEMA) != (i == 0):
            raise Unparsable(f"body: not an Arrow IPC stream: message {i} is of kind {kind}")
        if kind == _SCHEMA:
            columns = _check_schema(header, most_columns)
            continue
        batch = header if kind == _BATCH else _of_dictionary(header)
        n, nodes = _check_batch(batch, size)
        rows, arrays = rows + (n if kind == _BATCH else 0), arrays + nodes + 1
        if rows > most_rows:
            raise TooLarge(f"{rows} rows, more than the {most_rows} that one request to this model may hold")
        if arrays > _MOST_ARRAYS + 4 * columns:
            raise TooLarge(f"body: {i} batches and dictionaries of {columns} columns: combine its batches")


def _messages(body: memoryview, most_columns: int) -> Iterator[tuple[int, FlatTable, int]]:
    """(kind, header, bytes of its body) of each message, the schema's first."""
    if not body:
        raise Unparsable("body: not an Arrow IPC stream: it is empty")
    at, most = 0, _SCHEMA_BYTES + most_columns * 1024
    while at < len(body):
        if number(U32, body, at) != _CONTINUED:
            raise Unparsable(f"body: not an Arrow IPC stream: no message begins at byte {at}")
        length, at = number(I32, body, at + 4), at + 8
        if length == 0 and at == len(body):
            return  # the end, which a stream may also leave unsaid
        kind, header, size = _message(body[at : at + max(length, 0)], length)
        if kind == _SCHEMA and length > most:
            raise TooLarge(f"body: a schema of {length} bytes, more than the {most} that this model's needs")
        at += length + size
        if at > len(body):
            raise Unparsable(f"body: it ends {at - len(body)} bytes before its message does")
        yield kind, header, size


def _message(metadata: memoryview, length: int) -> tuple[int, FlatTable, int]:
    """(kind, header, bytes of its body) of one message."""
    if length <= 0 or length % 8 or length > len(metadata):
        raise Unparsable(f"body: a message header of {length} bytes, where {len(metadata)} are left")
    message = FlatTable.root(metadata)
    kind, header, size = message.number(1, U8), message.table(2), message.number(3, I64)
    if kind not in (_SCHEMA, _DICTIONARY, _BATCH) or header is None or size < 0 or size % 8:
        raise Unparsable(f"body: a message of kind {kind} and {size} bytes")
    if message.count(4):
        raise InputError("body: a message with its own metadata: metadata belongs to the schema")
    return kind, header, size


class _Unfolded:
    """How many bytes a schema's names and metadata come to, each counted as often as it is pointed to."""

    def __init__(self, most: int) -> None:
        self._left = most

    def count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Unparsable("body: a schema that unfolds to more than its bytes")

    def text(self, table: FlatTable, slot: int) -> str:
        """A string of the schema.

        Raises:
            Unparsable: it is not UTF-8, or one string too many.
        """
        text = table.text(slot)
        self.count(len(text))
        try:
            return str(text, "utf-8")
        except UnicodeDecodeError:
            raise Unparsable("body: a name that is not UTF-8") from None

    def metadata(self, table: FlatTable, slot: int) -> None:
        for pair in table.tables(slot):
            self.count(8 + len(pair.text(0)) + len(pair.text(1)))


def _check_schema(schema: FlatTable, most_columns: int) -> int:
    """How many columns it has."""
    if schema.number(0, I16):
        raise InputError("body: numbers are big-endian, expected little-endian ones")
    if (count := schema.count(1)) > most_columns:
        raise TooLarge(f"body: {count} columns, more than any table for this model has")
    unfolded = _Unfolded(schema.size)
    unfolded.metadata(schema, 2)
    for field in schema.tables(1):
        _check_field(field, unfolded)
    return count


def _check_field(field: FlatTable, unfolded: _Unfolded, *, inner: bool = False) -> None:
    name, kind, children = unfolded.text(field, 0), field.number(2, U8), list(_few(field))
    unfolded.metadata(field, 6)
    of = field.table(3)
    if kind == _TIMESTAMP and of is not None:
        unfolded.text(of, 1)  # its time zone
    if kind == _DECIMAL and of is not None and abs(scale := of.number(1, I32)) > _MOST_SCALE:
        raise InputError(f"column {name[:64]!r}: a decimal of scale {scale}")
    if kind == _FIXED_SIZE_LIST and len(children) == 1 and not inner:
        _check_field(children[0], unfolded, inner=True)
    elif kind not in _PLAIN or children:
        raise InputError(f"column {name[:64]!r}: a nested type that is no fixed_size_list, or an interval")


def _few(field: FlatTable) -> Iterator[FlatTable]:
    """The field's children, two at most: more are as much too many."""
    yield from (child for _, child in zip(range(2), field.tables(5), strict=False))


def _of_dictionary(dictionary: FlatTable) -> FlatTable:
    """The batch that holds a dictionary's values."""
    batch = dictionary.table(1)
    if batch is None:
        raise Unparsable("body: a dictionary without values")
    if dictionary.number(2, U8):
        raise InputError("body: a delta to a dictionary: send whole dictionaries")
    return batch


def _check_batch(batch: FlatTable, size: int) -> tuple[int, int]:
    """(rows, arrays) of a batch, from the bytes of its body."""
    if batch.table(3) is not None:
        raise MediaType("body: an Arrow stream of compressed buffers: write it without compression")
    rows, arrays, buffers = batch.number(0, I64), len(batch.integers(1, 2)), batch.integers(2, 2)
    if rows < 0:
        raise Unparsable(f"body: a batch of {rows} rows")
    offset, length = buffers.T
    if (buffers < 0).any() or (buffers > size).any() or (offset + length > size).any() or length.sum() > size:
        raise Unparsable(f"body: a batch whose buffers take more than its {size} bytes")
    if (offset[length > 0] % 8).any():
        raise Unparsable("body: a buffer that does not begin at a multiple of 8 bytes")
    views = batch.integers(4)
    if (views < 0).any() or (views > len(buffers)).any() or views.sum() > len(buffers):
        raise Unparsable(f"body: a batch that claims more than its {len(buffers)} buffers")
    return rows, arrays
