"""Checks from the message headers of an Arrow stream how much memory it takes, before pyarrow reads it.

pyarrow checks that a stream is well formed, but not how large it becomes. Several entries of a flatbuffer, or several
buffers of a batch, may point to the same bytes, and compressed buffers may expand to any size. So a few kilobytes can
become gigabytes before the first row can be checked. Streams pass the checks here only if no two parts share bytes and
nothing is compressed. The memory that pyarrow then needs is bounded by the size of the body.

The slot numbers are those of Message.fbs and Schema.fbs of version 1 of the format.
"""

from __future__ import annotations

from collections.abc import Iterator

from vaekit.errors import InputError
from vaekit_service.codecs.arrow.flatbuffer import I16, I32, I64, U8, U32, FlatTable, number
from vaekit_service.errors import MediaType, TooLarge, Unparsable
from vaekit_service.messages import Body

_CONTINUATION = 0xFFFFFFFF  # precedes the length of each message
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_DECIMAL, _TIMESTAMP, _FIXED_SIZE_LIST = 7, 10, 16
_PLAIN = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 18, 19, 20, 23, 24}  # types without children; no intervals, no unions
_MAX_SCALE = 76  # of the widest decimal; pyarrow does not check the scale, and uses it as an index into a table
_MAX_ARRAYS = 2**15  # arrays in all batches of one request; each takes some hundred bytes and some microseconds
_SCHEMA_BYTES = 2**20  # largest schema message, plus 1 KiB per column


def check_stream(body: Body, max_columns: int, max_rows: int) -> None:
    """Check that a body is an Arrow IPC stream within the limits that takes no more memory than its bytes.

    Args:
        body: the stream.
        max_columns: largest number of columns.
        max_rows: largest number of rows.

    Raises:
        Unparsable: not an Arrow IPC stream, or several parts of it share bytes.
        MediaType: its buffers are compressed.
        TooLarge: too many columns, rows or batches.
        InputError: columns of nested types, delta dictionaries, or big-endian numbers.
    """
    rows, arrays, columns = 0, 0, 0
    for i, (kind, header, size) in enumerate(_messages(memoryview(body), max_columns)):
        if (kind == _SCHEMA) != (i == 0):
            expected = "a schema" if i == 0 else "a batch or a dictionary"
            raise Unparsable(f"body: not an Arrow IPC stream: message {i} is of kind {kind}, expected {expected}")
        if kind == _SCHEMA:
            columns = _check_schema(header, max_columns)
            continue
        batch = header if kind == _BATCH else _of_dictionary(header)
        n, nodes = _check_batch(batch, size)
        rows, arrays = rows + (n if kind == _BATCH else 0), arrays + nodes + 1
        if rows > max_rows:
            raise TooLarge(f"{rows} rows; one request to this model may have at most {max_rows}")
        if arrays > _MAX_ARRAYS + 4 * columns:
            raise TooLarge(f"body: {i} batches and dictionaries of {columns} columns; send fewer, larger batches")


def _messages(body: memoryview, max_columns: int) -> Iterator[tuple[int, FlatTable, int]]:
    """(kind, header, body size in bytes) of each message, the schema first."""
    if not body:
        raise Unparsable("body: not an Arrow IPC stream: it is empty")
    at, most = 0, _SCHEMA_BYTES + max_columns * 1024
    while at < len(body):
        if number(U32, body, at) != _CONTINUATION:
            raise Unparsable(f"body: not an Arrow IPC stream: no message begins at byte {at}")
        length, at = number(I32, body, at + 4), at + 8
        if length == 0 and at == len(body):
            return  # the optional end-of-stream marker
        kind, header, size = _message(body[at : at + max(length, 0)], length)
        if kind == _SCHEMA and length > most:
            raise TooLarge(f"body: schema of {length} bytes; for this model it may have at most {most}")
        at += length + size
        if at > len(body):
            raise Unparsable(f"body: truncated Arrow stream: {at - len(body)} bytes of the last message are missing")
        yield kind, header, size


def _message(metadata: memoryview, length: int) -> tuple[int, FlatTable, int]:
    """(kind, header, body size in bytes) of one message."""
    if length <= 0 or length % 8 or length > len(metadata):
        raise Unparsable(f"body: damaged Arrow stream: message header of {length} bytes, but {len(metadata)} remain")
    message = FlatTable.root(metadata)
    kind, header, size = message.number(1, U8), message.table(2), message.number(3, I64)
    if kind not in (_SCHEMA, _DICTIONARY, _BATCH) or header is None or size < 0 or size % 8:
        raise Unparsable(f"body: damaged Arrow stream: message of kind {kind} with {size} bytes")
    if message.count(4):
        raise InputError("body: an Arrow message has custom metadata; only the schema may have metadata")
    return kind, header, size


class _SchemaSize:
    """Limits the bytes of a schema's names and metadata. Shared bytes count once per reference."""

    def __init__(self, most: int) -> None:
        self._left = most

    def count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Unparsable("body: damaged Arrow stream: several names of the schema share the same bytes")

    def text(self, table: FlatTable, slot: int) -> str:
        """A string of the schema.

        Raises:
            Unparsable: it is not UTF-8, or the schema exceeds its size.
        """
        text = table.text(slot)
        self.count(len(text))
        try:
            return str(text, "utf-8")
        except UnicodeDecodeError:
            raise Unparsable("body: damaged Arrow stream: a name in the schema is not UTF-8") from None

    def metadata(self, table: FlatTable, slot: int) -> None:
        for pair in table.tables(slot):
            self.count(8 + len(pair.text(0)) + len(pair.text(1)))


def _check_schema(schema: FlatTable, max_columns: int) -> int:
    """Check a schema; return its number of columns."""
    if schema.number(0, I16):
        raise InputError("body: big-endian Arrow stream, expected a little-endian one")
    if (count := schema.count(1)) > max_columns:
        raise TooLarge(f"body: {count} columns; a table for this model may have at most {max_columns}")
    total = _SchemaSize(schema.size)
    total.metadata(schema, 2)
    for field in schema.tables(1):
        _check_field(field, total)
    return count


def _check_field(field: FlatTable, total: _SchemaSize, *, inner: bool = False) -> None:
    name, kind, children = total.text(field, 0), field.number(2, U8), list(_first_children(field))
    total.metadata(field, 6)
    of = field.table(3)
    if kind == _TIMESTAMP and of is not None:
        total.text(of, 1)  # its time zone
    if kind == _DECIMAL and of is not None and abs(scale := of.number(1, I32)) > _MAX_SCALE:
        raise InputError(f"column {name[:64]!r}: decimal of scale {scale}, expected -{_MAX_SCALE} to {_MAX_SCALE}")
    if kind == _FIXED_SIZE_LIST and len(children) == 1 and not inner:
        _check_field(children[0], total, inner=True)
    elif kind not in _PLAIN or children:
        raise InputError(f"column {name[:64]!r}: nested and interval types are not supported, except fixed_size_list")


def _first_children(field: FlatTable) -> Iterator[FlatTable]:
    """At most two of the field's children: any type with two is refused."""
    yield from (child for _, child in zip(range(2), field.tables(5), strict=False))


def _of_dictionary(dictionary: FlatTable) -> FlatTable:
    """The batch that holds a dictionary's values."""
    batch = dictionary.table(1)
    if batch is None:
        raise Unparsable("body: damaged Arrow stream: a dictionary without values")
    if dictionary.number(2, U8):
        raise InputError("body: delta dictionaries are not supported; send whole dictionaries")
    return batch


def _check_batch(batch: FlatTable, size: int) -> tuple[int, int]:
    """Check the buffers of a batch against the size of its body; return (rows, arrays)."""
    if batch.table(3) is not None:
        raise MediaType("body: the buffers of the Arrow stream are compressed; write it without compression")
    rows, arrays, buffers = batch.number(0, I64), len(batch.integers(1, 2)), batch.integers(2, 2)
    if rows < 0:
        raise Unparsable(f"body: damaged Arrow stream: batch of {rows} rows")
    offset, length = buffers.T
    if (buffers < 0).any() or (buffers > size).any() or (offset + length > size).any() or length.sum() > size:
        raise Unparsable(f"body: damaged Arrow stream: the buffers of a batch exceed its {size} bytes")
    if (offset[length > 0] % 8).any():
        raise Unparsable("body: damaged Arrow stream: a buffer does not begin at a multiple of 8 bytes")
    views = batch.integers(4)
    if (views < 0).any() or (views > len(buffers)).any() or views.sum() > len(buffers):
        raise Unparsable(f"body: damaged Arrow stream: a batch declares more than its {len(buffers)} buffers")
    return rows, arrays
