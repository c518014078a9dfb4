"""Arrow streams that would take far more memory than their bytes are refused before pyarrow reads them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pyarrow as pa
import pytest

from tests.service.test_service_arrow import stream
from vaekit.errors import InputError
from vaekit_service.codecs.arrow import stream_checks
from vaekit_service.codecs.arrow.flatbuffer import I64, U8, FlatTable
from vaekit_service.errors import TooLarge, Unparsable


def place(body: bytes, kind: int, slot: int, item: int) -> int:
    """The position in the body of a vector's first item, in the header of the first message of this kind."""
    at = 0
    while True:
        length = struct.unpack_from("<i", body, at + 4)[0]
        message = FlatTable.root(memoryview(body)[at + 8 : at + 8 + length])
        found = message.table(2)
        assert found is not None
        if message.number(1, U8) == kind:
            return at + 8 + found._vector(slot, item)[0]
        at += 8 + length + message.number(3, I64)


def patched(body: bytes, at: int, form: str, *values: int) -> bytes:
    data = bytearray(body)
    struct.pack_into(form, data, at, *values)
    return bytes(data)


def shared_field() -> bytes:
    """Ten columns that share the bytes of the first column's name and metadata."""
    many = pa.field("load", pa.float64(), metadata={"k": "v" * 5000})
    fields = [many, *(pa.field(f"c{i}", pa.float64()) for i in range(9))]
    body = stream(pa.record_batch([[1.0]] * 10, schema=pa.schema(fields)))
    at = place(body, 1, 1, 4)
    first = at + struct.unpack_from("<I", body, at)[0]
    for i in range(10):
        body = patched(body, at + 4 * i, "<I", (first - at - 4 * i) % 2**32)
    return body


def shared_buffers() -> bytes:
    """Two columns that share the bytes of one buffer."""
    body = stream(pa.table({"on": pa.array([1] * 50, pa.int8()), "load": [2.0] * 50}))
    at = place(body, 3, 2, 16)  # validity and values of each
    return patched(body, at + 16, "<qq", *struct.unpack_from("<qq", body, at + 3 * 16))


def views(count: int) -> bytes:
    body = stream(pa.table({"colour": pa.array(["a word of more than 12 bytes"], pa.string_view())}))
    return patched(body, place(body, 3, 4, 8), "<q", count)


def askew() -> bytes:
    body = stream(pa.table({"load": [1.0] * 8, "stops": [2.0] * 8}))
    return patched(body, place(body, 3, 2, 16) + 16, "<qq", 4, 56)


def metadata_of_its_own() -> bytes:
    batch, sink = pa.record_batch({"load": [1.0]}), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch, custom_metadata={"k": "v"})
    return bytes(sink.getvalue())


SHARED: dict[str, tuple[Callable[[], bytes], str]] = {
    "columns that share a name": (shared_field, "several names of the schema share the same bytes"),
    "columns that share a buffer": (shared_buffers, "the buffers of a batch exceed its"),
    "a buffer beyond the body": (
        lambda: patched(b := stream(pa.table({"load": [1.0]})), place(b, 3, 2, 16) + 16, "<qq", 0, 2**40),
        "the buffers of a batch exceed its",
    ),
    "2**31 buffers": (lambda: views(2**31 - 1), "declares more than its 3 buffers"),
    "a negative number of buffers": (lambda: views(-1), "declares more than its 3 buffers"),
    "a misaligned buffer": (askew, "does not begin at a multiple of 8 bytes"),
    "a batch with metadata": (metadata_of_its_own, "an Arrow message has custom metadata"),
}


@pytest.mark.parametrize("case", SHARED)
def test_a_stream_whose_parts_share_bytes_is_refused(case: str) -> None:
    make, message = SHARED[case]
    with pytest.raises((Unparsable, InputError), match=message):
        stream_checks.check_stream(make(), 100, 100)


def test_a_schema_of_several_megabytes_is_refused() -> None:
    body = stream(pa.table({"load": [1.0]}).replace_schema_metadata({"k": "v" * 2**21}))
    with pytest.raises(TooLarge, match="schema of 2097"):
        stream_checks.check_stream(body, 100, 100)


def test_a_decimal_with_an_impossible_scale_is_refused() -> None:
    body = stream(pa.table({"load": pa.array([1], pa.decimal128(38, 33))}))
    scale = struct.pack("<i", 33)
    assert body.count(scale) == 1  # lengths and offsets are multiples of 4 or 8, so no other number is 33
    with pytest.raises(InputError, match="column 'load': decimal of scale 1000000000"):
        stream_checks.check_stream(body.replace(scale, struct.pack("<i", 10**9)), 100, 100)
