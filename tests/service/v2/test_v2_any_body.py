"""Any body is read or refused with an error of ours, and simdjson and orjson read the same."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kinds import NAMES
from tests.service.v2.talk_v2 import elements, packed, rows, tensor
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit_service.codecs.v2 import infer_request, json_head, published
from vaekit_service.codecs.v2.read import read_infer
from vaekit_service.codecs.v2.tensors import DATATYPES
from vaekit_service.errors import TooLarge, Unparsable, Unsupported
from vaekit_service.messages import OPERATIONS, Target

REFUSALS = (InputError, Unparsable, Unsupported, TooLarge)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["inputs", "latents", "n", "-1", "é", "\x00", *NAMES, *DATATYPES]),
)
JSON = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
SHAPES = st.lists(st.one_of(st.integers(-1, 40), st.sampled_from([2**31, 2**63, 30, 8])), max_size=4)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.sampled_from(["inputs", "latents", "n", "seed", "members", *NAMES]), VALUES),
        "shape": st.one_of(SHAPES, JSON),
        "datatype": st.one_of(st.sampled_from(list(DATATYPES)), VALUES),
        "data": st.one_of(st.lists(VALUES, max_size=40), JSON),
        "parameters": st.one_of(
            st.fixed_dictionaries({}, optional={"binary_data_size": st.one_of(st.integers(-1, 300), VALUES)}), JSON
        ),
    },
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "parameters": st.one_of(
            st.fixed_dictionaries(
                {},
                optional={
                    **dict.fromkeys(("alpha", "seed", "n", "ignore", "ids", "id_column", "errors", "resize"), JSON),
                    **dict.fromkeys(("binary_data_output", "timeout", "priority", "sequence_id"), VALUES),
                },
            ),
            JSON,
        ),
        "inputs": st.one_of(st.lists(TENSORS, max_size=4), JSON),
        "outputs": st.one_of(st.lists(st.dictionaries(st.just("name"), VALUES), max_size=3), JSON),
    },
)


class Targets(list[Target]):
    """Targets with a short repr, which hypothesis makes for each example."""

    def __repr__(self) -> str:
        return f"{len(self)} targets"


@pytest.fixture(scope="module")
def targets(breast_cancer: Model, digits: Model, mixed: Any) -> Targets:
    with Model.load(mixed.folder / "1", device="cpu") as model:
        manifests = [breast_cancer.manifest, digits.manifest, model.manifest]
    return Targets(Target(operation, manifest, 50) for manifest in manifests for operation in OPERATIONS)


def outcome(target: Target, body: bytes, head: int | None) -> Any:
    """What is read, in a form that can be compared, or the class and the message of the refusal."""
    try:
        found = read_infer(target, body, head)
    except REFUSALS as exc:
        return type(exc), str(exc)
    assert found is not None
    request, parsed = found
    if parsed is None:
        return request, None
    return request, parsed.options, None if parsed.rows is None else parsed.rows.tobytes(), parsed.ids


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 11), REQUESTS, st.none() | st.binary(max_size=300))
def test_any_json_is_read_or_refused_and_both_parsers_agree(
    targets: Targets, which: int, given_: Any, tail: bytes | None
) -> None:
    target, text = targets[which], json.dumps(given_).encode()
    body, head = (text, None) if tail is None else (text + tail, len(text))
    read = outcome(target, body, head)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_head, "simdjson", None)
        infer_request._known_head.cache_clear()
        assert outcome(target, body, head) == read
    infer_request._known_head.cache_clear()


def valid(target: Target) -> list[tuple[bytes, int | None]]:
    """Some requests that the target takes."""
    spec, z = target.manifest.input, target.manifest.latent_dim
    if target.operation == "sample":
        return [(json.dumps({"inputs": [tensor("n", [1], [2], "INT64")]}).encode(), None)]
    if target.operation == "decode":
        return [(json.dumps({"inputs": [tensor("latents", [2, z], [0.5] * 2 * z)]}).encode(), None)]
    if spec.kind == "image":
        body, headers = packed({"inputs": ("UINT8", [1, *spec.row_shape], bytes(spec.dim))})
        return [(body, int(next(iter(headers.values()))))]
    if spec.has_categories:
        columns = {
            name: ("BYTES", [1], elements([b"red"])) if name == "colour" else ("FP64", [1], np.ones(1).tobytes())
            for name in spec.names
        }
        body, headers = packed(columns)
        return [(body, int(next(iter(headers.values()))))]
    x = np.ones((2, spec.dim))
    body, headers = packed({"inputs": ("FP64", list(x.shape), x.tobytes())})
    return [(json.dumps({"inputs": [rows(x)]}).encode(), None), (body, int(next(iter(headers.values()))))]


def test_the_requests_that_are_changed_are_taken(targets: Targets) -> None:
    for target in targets:
        for body, head in valid(target):
            assert outcome(target, body, head)[1] is not None, target


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_request_with_changed_bytes_is_read_or_refused(targets: Targets, data: Any) -> None:
    target = targets[data.draw(st.integers(0, len(targets) - 1))]
    body, head = data.draw(st.sampled_from(valid(target)))
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if head is not None:
        head = max(0, head + data.draw(st.integers(-2, 2)))
    if head == 0:
        return
    outcome(target, bytes(changed), head)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 11), st.binary(max_size=500))
def test_any_raw_body_is_read_or_refused(targets: Targets, which: int, body: bytes) -> None:
    target = targets[which]
    with suppress(*REFUSALS):
        published.read_raw(body, target.operation, target.manifest)
