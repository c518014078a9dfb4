"""JSON is read alike by every path: with simdjson, without it, and in the worker process."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.bundle.read import read_manifest
from vaekit.errors import VaeError
from vaekit_service.codecs import json_codec
from vaekit_service.logs import make_log
from vaekit_service.messages import Operation, Target
from vaekit_service.worker import tasks
from vaekit_service.worker.process import WorkerProcess

Read = Callable[[bytes, dict[str, str], Target], Any]

IMAGES = ImageSpec(height=2, width=3, channels=1)
COLOURED = ImageSpec(height=2, width=1, channels=3)
BINARY = ImageSpec(height=1, width=2, channels=1, two_valued=True)
TABLE = VectorSpec(
    columns=(
        Column(name="a"),
        Column(name="b", may_be_missing=True),
        Column(name="c", kind="category", levels=("x", "y")),
    )
)
NUMBERS = VectorSpec(columns=(Column(name="a"), Column(name="b")))
IMAGE = [[[1], [2], [3]], [[4], [5], [255]]]


@pytest.fixture(scope="module")
def target(models_dir: Path) -> Callable[..., Target]:
    """target(spec, operation): of a model with these inputs, for requests of at most 100 rows."""
    manifest = read_manifest(models_dir / "breast-cancer" / "1")
    made: dict[Any, Target] = {}

    def one(spec: Any, operation: Operation = "elbo") -> Target:
        key = (spec, operation)
        return made.setdefault(key, Target(operation, manifest.model_copy(update={"input": spec}), 100))

    return one


@pytest.fixture(scope="module")
def in_worker() -> Iterator[Read]:
    """Reads a body in the worker process."""
    loop, worker = asyncio.new_event_loop(), WorkerProcess(2**30, make_log("json", "debug", io.StringIO()))
    yield lambda body, query, target: loop.run_until_complete(worker.run(tasks.read, target, body, query))
    loop.run_until_complete(worker.close())
    loop.close()


def plainly(body: bytes, query: dict[str, str], target: Target) -> Any:
    """Read a body without simdjson."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_codec, "simdjson", None)
        return json_codec.read(body, query, target)


def outcome(read: Read, body: bytes, target: Target, query: dict[str, str] | None = None) -> Any:
    """The options, the rows and the ignored columns, or the error."""
    try:
        found = read(body, query or {}, target)
    except VaeError as exc:
        return type(exc), str(exc)
    rows = None if found.rows is None else (found.rows.dtype, np.where(np.isnan(found.rows), None, found.rows).tolist())
    return type(found.options), found.options.model_dump(), rows, found.ignored


CASES: dict[str, tuple[Any, Operation, bytes]] = {
    "numbers": (NUMBERS, "elbo", b'{"inputs": [[1, 2.5], [-3e-2, 4]], "num_samples": 4}'),
    "a missing cell": (TABLE, "elbo", b'{"inputs": [[1, null, "x"]], "strict": true}'),
    "objects": (TABLE, "encode", b'{"inputs": [{"a": 1, "c": "y", "other": [1]}]}'),
    "an absent column": (TABLE, "elbo", b'{"inputs": [{"a": 1}]}'),
    "an unseen level": (TABLE, "elbo", b'{"inputs": [[1, 2, "z"]], "strict": true}'),
    "text for a number": (NUMBERS, "elbo", b'{"inputs": [[1, "2"]]}'),
    "a short row": (NUMBERS, "elbo", b'{"inputs": [[1, 2], [3]]}'),
    "no rows": (NUMBERS, "elbo", b'{"inputs": []}'),
    "an unknown field": (NUMBERS, "elbo", b'{"inputs": [[1, 2]], "what": 1}'),
    "many unknown fields": (NUMBERS, "elbo", json.dumps({f"k{i}": 1 for i in range(200)}).encode()),
    "tolerance rules": (NUMBERS, "elbo", b'{"inputs": [[1, 2]], "ignore": {"a": {"abs": 1}}}'),
    "a bad rule": (NUMBERS, "elbo", b'{"inputs": [[1, 2]], "ignore": {"a": {"abs": "x"}}}'),
    "not JSON": (NUMBERS, "elbo", b'{"inputs": [[1, 2]'),
    "a byte order mark": (TABLE, "elbo", b'\xef\xbb\xbf{"inputs": [[1, null, "x"]]}'),
    "UTF-16": (TABLE, "elbo", '\ufeff{"inputs": []}'.encode("utf-16-le")),
    "latents": (NUMBERS, "decode", json.dumps({"latents": [[0.5] * 8] * 2, "members": [0, 1]}).encode()),
    "too many values": (NUMBERS, "elbo", json.dumps({"inputs": [[1, 2]] * 100_000}).encode()),
    "samples": (NUMBERS, "sample", b'{"n": 3, "seed": 5}'),
    "images": (IMAGES, "elbo", json.dumps({"inputs": [IMAGE, IMAGE], "seed": 3}).encode()),
    "coloured images": (COLOURED, "encode", b'{"strict": true, "inputs": [[[[1,2,3]],[[0,0,255]]]]}'),
    "a pixel of 256": (IMAGES, "elbo", json.dumps({"inputs": [[[[1], [2], [256]], [[4], [5], [6]]]]}).encode()),
    "a pixel of -1": (IMAGES, "elbo", json.dumps({"inputs": [[[[1], [2], [-1]], [[4], [5], [6]]]]}).encode()),
    "a pixel of 1.0": (IMAGES, "elbo", json.dumps({"inputs": [[[[1], [2], [1.0]], [[4], [5], [6]]]]}).encode()),
    "a pixel of true": (IMAGES, "elbo", json.dumps({"inputs": [[[[1], [2], [True]], [[4], [5], [6]]]]}).encode()),
    "images without channels": (IMAGES, "elbo", b'{"inputs": [[[1, 2, 3], [4, 5, 6]]]}'),
    "an image with another shape": (IMAGES, "elbo", json.dumps({"inputs": [IMAGE, IMAGE[:1]]}).encode()),
    "pixels at other depths": (IMAGES, "elbo", b'{"inputs": [[[[1],[2],[3]],[[4,5],[],[6]]]]}'),
    "files of images": (IMAGES, "elbo", b'{"inputs": ["aGVsbG8="]}'),
    "a grey pixel": (BINARY, "elbo", b'{"inputs": [[[[0], [7]]]]}'),
    "images twice": (IMAGES, "elbo", json.dumps({"inputs": [IMAGE]}).encode()[:-1] + b', "inputs": [[[[1]]]]}'),
    "brackets in a text": (IMAGES, "elbo", json.dumps({"a": "[[", "inputs": [IMAGE]}).encode()),
}


@pytest.mark.parametrize("case", CASES)
def test_every_path_reads_a_body_or_refuses_it_in_the_same_words(case: str, target: Any, in_worker: Read) -> None:
    spec, operation, body = CASES[case]
    found = outcome(plainly, body, target(spec, operation))
    assert outcome(json_codec.read, body, target(spec, operation)) == found
    assert outcome(in_worker, body, target(spec, operation)) == found
    query = {"seed": "1"}
    assert outcome(in_worker, body, target(spec, operation), query) == outcome(
        json_codec.read, body, target(spec, operation), query
    )


pixels = st.one_of(
    st.integers(0, 255), st.sampled_from([256, -1, 2**70, "1.0", "1e1", "-0", "true", '"1"', "[1]", "{}", " 7 "])
)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_images_are_read_alike_with_simdjson_and_without(target: Any, data: Any) -> None:
    spec = data.draw(st.sampled_from([IMAGES, COLOURED, BINARY]))

    def lists(*shape: int) -> str:
        if not shape:
            return str(data.draw(pixels))
        length = data.draw(st.sampled_from([shape[0]] * 12 + [shape[0] - 1, shape[0] + 1]))
        return "[" + data.draw(st.sampled_from([", ", ","])).join(lists(*shape[1:]) for _ in range(length)) + "]"

    images = lists(data.draw(st.integers(0, 3)), *spec.row_shape)
    more = data.draw(st.sampled_from(["", ', "seed": 1', ', "seed": "]"', ', "inputs": [[]]', ', "ignore": {}']))
    body = f'{{"inputs": {images}{more}}}'.encode()
    operation = data.draw(st.sampled_from(["encode", "elbo"]))
    assert outcome(json_codec.read, body, target(spec, operation)) == outcome(plainly, body, target(spec, operation))


@pytest.mark.skipif(json_codec.simdjson is None, reason="pysimdjson is not built for this Python")
@pytest.mark.parametrize("spec", [IMAGES, COLOURED])
def test_valid_images_are_read_without_pydantic(spec: ImageSpec, target: Any) -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, *spec.row_shape), dtype=np.uint8)
    found = json_codec.read_directly(
        json.dumps({"inputs": x.tolist(), "features": True}, indent=1).encode(), {}, target(spec)
    )
    assert found is not None
    assert found.rows is not None
    np.testing.assert_array_equal(found.rows, x)
    assert found.rows.dtype == np.uint8


@pytest.mark.skipif(json_codec.simdjson is None, reason="pysimdjson is not built for this Python")
@pytest.mark.parametrize("spec", [IMAGES, NUMBERS])
def test_fields_are_not_looked_up_one_by_one_if_there_are_very_many(
    spec: Any, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Many:
        def parse(self, _: bytes) -> Any:
            return self

        def keys(self) -> list[str]:
            return [f"k{i}" for i in range(10_000)]

        def __getitem__(self, name: str) -> Any:
            raise AssertionError("each look-up walks over all fields")

    monkeypatch.setattr(json_codec.simdjson, "Parser", Many)
    assert json_codec.read_directly(b'{"inputs": []}', {}, target(spec)) is None
