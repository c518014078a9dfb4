"""Error replies to bad Arrow streams: wrong contents, excessive sizes and damage."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.kinds import Published
from tests.service.test_service_arrow import ARROW, fixed, stream
from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit_service.codecs.arrow.reader import read_array
from vaekit_service.errors import MediaType, TooLarge, Unparsable
from vaekit_service.http.problems import kind_of
from vaekit_service.messages import Target

pytestmark = pytest.mark.anyio

SPEC = VectorSpec(
    columns=(Column(name="load"), Column(name="colour", kind="category", levels=("blue", "red"), may_be_missing=True))
)
GOOD = {"load": [1.0, 2.0, 3.0], "colour": ["blue", None, "red"]}
LONG = "x" * 2**20


def read(
    model: Model, body: bytes, operation: Any = "elbo", spec: VectorSpec | ImageSpec = SPEC, *, strict: bool = False
) -> Any:
    manifest = model.manifest.model_copy(update={"input": spec})
    return read_array(body, Target(operation, manifest, 100), strict=strict).rows


def words(indices: list[int], of: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(of))


def with_delta() -> bytes:
    schema = pa.schema([("load", pa.float64()), ("colour", pa.dictionary(pa.int32(), pa.string()))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)) as writer:
        for of in (["blue"], ["blue", "red"]):
            writer.write_batch(pa.record_batch([[1.0], words([0], of)], schema=schema))
    return bytes(sink.getvalue())


def batches(n: int, rows: int) -> bytes:
    batch = pa.record_batch({"load": pa.array([0.0] * rows), "colour": pa.array(["red"] * rows)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(n):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def many_views() -> bytes:
    """100 rows whose cells all point to the same megabyte of text."""
    _, views, data = pa.array([LONG], pa.string_view()).buffers()
    cells = pa.Array.from_buffers(pa.string_view(), 100, [None, pa.py_buffer(views.to_pybytes() * 100), data])
    return stream(pa.table({"load": [1.0] * 100, "colour": cells}))


REFUSED: dict[str, tuple[Callable[[], bytes], type[Exception], str]] = {
    "nothing": (lambda: b"", Unparsable, "it is empty"),
    "JSON": (lambda: b'{"inputs": [[1, 2]]}', Unparsable, "no message begins at byte 0"),
    "a file, not a stream": (lambda: b"ARROW1\0\0" + stream(pa.table(GOOD)), Unparsable, "no message begins at byte 0"),
    "half a stream": (lambda: stream(pa.table(GOOD))[:-30], Unparsable, "22 bytes of the last message are missing"),
    "two streams": (lambda: stream(pa.table(GOOD)) * 2, Unparsable, "message header of 0 bytes"),
    "no columns": (lambda: stream(pa.table({})), InputError, "lacks 2 of the model's columns: 'load', 'colour'"),
    "a column short": (lambda: stream(pa.table({"colour": ["red"]})), InputError, "lacks 1 of the model's columns: 'l"),
    "1,001 columns of its own": (
        lambda: stream(pa.table({**GOOD, **{f"c{i}": [1] * 3 for i in range(1001)}})),
        InputError,
        "1001 columns that the model does not have, at most 1,000 are ignored",
    ),
    "a column twice": (
        lambda: stream(pa.Table.from_arrays([[1.0], ["red"], [2.0]], ["load", "colour", "load"])),
        InputError,
        "duplicate column name: 'load'",
    ),
    "2000 columns": (lambda: stream(pa.table({f"c{i}": [1] for i in range(2000)})), TooLarge, "body: 2000 columns"),
    "no rows": (lambda: stream(pa.table(GOOD).slice(0, 0)), InputError, "the Arrow stream has no rows"),
    "a null": (
        lambda: stream(pa.table({**GOOD, "load": [1.0, 2.0, None]})), InputError, "row 2, feature 'load': missing"
    ),
    "text for numbers": (
        lambda: stream(pa.table({**GOOD, "load": ["1", "2", "3"]})),
        InputError,
        "feature 'load': the column has type string, expected numbers",
    ),
    "bytes for a level": (
        lambda: stream(pa.table({**GOOD, "colour": [b"red"] * 3})),
        InputError,
        "feature 'colour': the column has type binary, expected text or numbers",
    ),
    "an unknown level": (
        lambda: stream(pa.table({**GOOD, "colour": ["red", "red", "pink"]})),
        InputError,
        "row 2, feature 'colour': not one of its 2 levels ('blue', 'red'): 'pink'",
    ),
    "a time that Python cannot represent": (
        lambda: stream(pa.table({**GOOD, "colour": pa.array([2**62] * 3, pa.timestamp("s"))})),
        InputError,
        "row 0, feature 'colour': not one of its 2 levels ('blue', 'red'): a timestamp[s] that Python cannot represent",
    ),
    "lists": (lambda: stream(pa.table({**GOOD, "load": [[1.0]] * 3})), InputError, "column 'load': nested and"),
    "lists of lists": (
        lambda: stream(pa.table({"load": pa.array([[[1.0]]], pa.list_(pa.list_(pa.float64(), 1), 1))})),
        InputError,
        "column 'item': nested and interval types",
    ),
    "lz4": (lambda: stream(pa.table(GOOD), compression="lz4"), MediaType, "compressed; write it without"),
    "zstd": (lambda: stream(pa.table(GOOD), compression="zstd"), MediaType, "compressed; write it without"),
    "a delta": (with_delta, InputError, "delta dictionaries are not supported; send whole dictionaries"),
    "101 rows": (lambda: batches(101, 1), TooLarge, "101 rows; one request to this model may have at most 100"),
    "20,000 empty batches": (lambda: batches(20_000, 0), TooLarge, "of 2 columns; send fewer, larger batches"),
    "a long word": (
        lambda: stream(pa.table({"load": [1.0], "colour": [LONG]})), InputError, f"longest text has {2**20} bytes"
    ),
    "a long word many times": (
        lambda: stream(pa.table({"load": [1.0] * 100, "colour": words([0] * 100, [LONG])})),
        InputError,
        f"longest text has {2**20} bytes",
    ),
    "a long word in many views": (many_views, InputError, f"together have {100 * 2**20}"),
    "many words": (
        lambda: stream(pa.table({"load": [1.0], "colour": words([0], [f"{i:>1000}" for i in range(200)])})),
        InputError,
        "longest text has 1000 bytes, all texts together have 200000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_stream_gets_an_error_that_says_what_is_wrong(breast_cancer: Model, case: str) -> None:
    make, error, message = REFUSED[case]
    strict = case in ("a null", "an unknown level", "a time that Python cannot represent")  # else novel
    with pytest.raises(error) as caught:
        read(breast_cancer, make(), strict=strict)
    assert message in str(caught.value)
    assert 400 <= kind_of(type(caught.value)).status < 500


def test_the_bytes_behind_null_cells_are_not_read(breast_cancer: Model) -> None:
    """pyarrow does not validate null cells, but its cast uses their lengths, which would crash the process."""
    _, views, _ = pa.array(["red", None, "blue"], pa.string_view()).buffers()
    hidden = pa.py_buffer(views[:16].to_pybytes() + struct.pack("<iiii", -(2**30), 0, 0, 0) + views[32:].to_pybytes())
    cells = pa.Array.from_buffers(pa.string_view(), 3, [pa.py_buffer(b"\x05"), hidden])
    indices = pa.Array.from_buffers(
        pa.int32(), 3, [pa.py_buffer(b"\x05"), pa.py_buffer(struct.pack("<3i", 1, 2**30, 0))]
    )
    coded = pa.DictionaryArray.from_arrays(indices, pa.array(["blue", "red"]))
    other = pa.DictionaryArray.from_arrays(indices, pa.array(["red", "blue"]))
    schema = pa.schema([("load", pa.float64()), ("colour", coded.type)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for colour in (coded, other):
            writer.write_batch(pa.record_batch([[1.0] * 3, colour], schema=schema))
    np.testing.assert_array_equal(
        read(breast_cancer, stream(pa.table({"load": [1.0] * 3, "colour": cells})))[:, 1], [1, np.nan, 0]
    )
    np.testing.assert_array_equal(read(breast_cancer, bytes(sink.getvalue()))[:, 1], [1, np.nan, 0, 0, np.nan, 1])


def test_a_dictionary_of_string_views_is_read_as_polars_writes_it(breast_cancer: Model) -> None:
    of_views = pa.array(["red", "never used", None, "blue"], pa.string_view())
    coded = pa.DictionaryArray.from_arrays(pa.array([3, None, 0]), of_views)
    x = read(breast_cancer, stream(pa.table({"load": [1.0] * 3, "colour": coded})))
    np.testing.assert_array_equal(x[:, 1], [0, np.nan, 1])


def test_a_declared_length_takes_no_memory(breast_cancer: Model) -> None:
    body = stream(pa.table({"load": pa.nulls(77), "colour": pa.nulls(77)}))
    lying = body.replace(struct.pack("<q", 77), struct.pack("<q", 10**12))
    with pytest.raises(TooLarge, match="1000000000000 rows"):
        read(breast_cancer, lying)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"z0": [1.0]}, "columns: 'z0'; expected exactly one column, 'latents'"),
        ({}, "columns: none; expected exactly one column, 'latents'"),
        ({"latents": pa.array([["a"] * 8], pa.list_(pa.string(), 8))}, "fixed_size_list<item: string>[8], expected a"),
        ({"latents": fixed(np.zeros((1, 7)))}, "[7], expected a fixed_size_list of 8 numbers"),
        ({"latents": pa.array([[1.0] * 8, None], pa.list_(pa.float64(), 8))}, "row 1, column 'latents': null"),
        (
            {"latents": pa.array([[1.0] * 7 + [None]], pa.list_(pa.float64(), 8))},
            "row 0, column 'latents', value 7: null, expected a number",
        ),
    ],
)
def test_latents_must_be_one_column_of_lists_of_the_latent_size(
    breast_cancer: Model, column: Any, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(breast_cancer, stream(pa.table(column)), "decode")
    assert message in str(caught.value)


def turned() -> pa.Array:
    kind = pa.fixed_shape_tensor(pa.uint8(), [8, 8, 1], permutation=[1, 0, 2])
    return pa.ExtensionArray.from_storage(kind, fixed(np.zeros((1, 64), np.uint8)))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"image": [b"\x89PNG"]}, "columns: 'image'; expected exactly one column, 'pixels'"),
        ({"pixels": fixed(np.zeros((1, 64)))}, "expected a fixed_size_list of 64 uint8"),
        ({"pixels": turned()}, "expected a fixed_size_list of 64 uint8"),
        ({"pixels": pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((1, 64), np.uint8))}, "shape=[64]"),
        ({"pixels": pa.nulls(1, pa.list_(pa.uint8(), 64))}, "row 0, column 'pixels': null"),
    ],
)
def test_images_must_be_one_column_of_lists_of_the_image_size(digits: Model, column: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(digits, stream(pa.table(column)), spec=digits.spec)
    assert message in str(caught.value)


async def test_an_unknown_query_option_is_refused(service: Any) -> None:
    reply = await service.http.post("/elbo?alpah=0.1", content=stream(pa.table(GOOD)), headers=ARROW)
    assert (reply.status_code, reply.json()["detail"]) == (
        422,
        "alpah: unknown field; /docs lists the fields of each operation",
    )


@pytest.mark.slow
def test_a_damaged_stream_never_crashes_the_service(mixed: Published, models_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(mixed.folder, tmp_path / "mixed")
    shutil.copytree(models_dir / "digits", tmp_path / "digits")
    command = [sys.executable, "-W", "error", "-m", "tests.service.fuzz_arrow", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=models_dir.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {"200", "400", "415", "422"} <= set(done.stdout.split())
