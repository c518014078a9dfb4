"""Graphs that are not allowed in a bundle, and files that are not graphs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.bundle.conftest import identity, model_of
from vaekit.bundle.onnxfile import check_graph
from vaekit.errors import ForbiddenGraph


def external() -> onnx.TensorProto:
    """A tensor whose values are in another file."""
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def sparse() -> onnx.SparseTensorProto:
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [0, 1])
    return helper.make_sparse_tensor(external(), indices, [2])


def add() -> Any:
    return helper.make_node("Add", ["x", "w"], ["y"])


def nested(depth: int, innermost: Any) -> Any:
    """`depth` nested If nodes around the innermost node."""
    node = innermost
    for _ in range(depth):
        graph = helper.make_graph(
            [node], "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])]
        )
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph if depth < 4 else None)
    return node


def with_sparse_initializer() -> onnx.ModelProto:
    model = model_of([add()])
    model.graph.sparse_initializer.append(sparse())
    return model


def function(domain: str, node: Any) -> onnx.FunctionProto:
    return helper.make_function(domain, "f", ["x"], ["y"], [node], [helper.make_opsetid("", 18)])


IDENTITY = helper.make_node("Identity", ["x"], ["y"])
FORBIDDEN = {
    "initializer in external data": (lambda: model_of([add()], [external()]), "external data"),
    "sparse initializer in external data": (with_sparse_initializer, "external data"),
    "constant in external data": (
        lambda: model_of([helper.make_node("Constant", [], ["w"], value=external()), add()]),
        "external data",
    ),
    "sparse constant in external data": (
        lambda: model_of([helper.make_node("Constant", [], ["w"], sparse_value=sparse()), add()]),
        "external data",
    ),
    "list of tensors in external data": (
        lambda: model_of([helper.make_node("Identity", ["x"], ["y"], many=[external()])]),
        "external data",
    ),
    "external data in a branch": (
        lambda: model_of([nested(2, helper.make_node("Constant", [], ["y"], value=external()))]),
        "external data",
    ),
    "external data in a function": (
        lambda: model_of(
            [IDENTITY], functions=[function("", helper.make_node("Constant", [], ["y"], value=external()))]
        ),
        "external data",
    ),
    "node of another domain": (
        lambda: model_of([helper.make_node("Identity", ["x"], ["y"], domain="com.evil")]),
        "the domain 'com.evil'",
    ),
    "node of another domain in a branch": (
        lambda: model_of([nested(3, helper.make_node("Identity", ["x"], ["y"], domain="com.evil"))]),
        "the domain 'com.evil'",
    ),
    "operators of another domain": (
        lambda: model_of(
            [IDENTITY], opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        ),
        "the domain 'com.microsoft'",
    ),
    "function of another domain": (
        lambda: model_of([IDENTITY], functions=[function("com.evil", IDENTITY)]),
        "the domain 'com.evil'",
    ),
    "nested too deep": (lambda: model_of([nested(20, IDENTITY)]), "nested more than 32 deep"),
}


@pytest.fixture
def graph(tmp_path: Path) -> Any:
    def write(content: bytes) -> Path:
        path = tmp_path / "graph.onnx"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_forbidden_graph_is_refused(graph, case):
    model, message = FORBIDDEN[case]
    with pytest.raises(ForbiddenGraph, match=message):
        check_graph(graph(model().SerializeToString()))


@pytest.mark.parametrize(
    "model",
    [
        identity,
        lambda: model_of([add()], [helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])]),
        lambda: model_of([nested(2, IDENTITY)]),
        lambda: model_of([IDENTITY], opset_imports=[helper.make_opsetid("ai.onnx", 18)]),
    ],
)
def test_allowed_graphs_pass(graph, model):
    check_graph(graph(model().SerializeToString()))


def test_the_graphs_of_the_committed_bundles_pass(models_dir):
    graphs = sorted(models_dir.rglob("*.onnx"))
    assert len(graphs) >= 12
    for path in graphs:
        check_graph(path)


def test_a_truncated_graph_is_refused_unless_it_ends_between_two_fields(graph):
    whole = model_of([add()], [helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])]).SerializeToString()
    refused = 0
    for size in range(1, len(whole)):
        try:
            check_graph(graph(whole[:size]))
        except ForbiddenGraph:
            refused += 1
    assert refused > 0.8 * len(whole)  # the sha256 check refuses the rest


def test_random_bytes_raise_no_error_but_forbidden_graph(graph):
    rng = np.random.default_rng(0)
    for size in range(1, 300):
        with suppress(ForbiddenGraph):
            check_graph(graph(rng.bytes(size)))


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, payload: bytes, beyond: int = 0) -> bytes:
    return varint((number << 3 | 2) + beyond) + varint(len(payload)) + payload


@pytest.mark.parametrize("beyond", [1 << 32, 7 << 32, 1 << 34], ids=hex)
def test_a_tag_that_a_32_bit_parser_reads_as_external_data_is_refused(graph, beyond):
    """protobuf drops the upper bits of such a tag and reads field 13, so ONNX Runtime loads the external file."""
    entry = field(1, b"location") + field(2, b"weights.bin")
    tensor = varint(1 << 3) + varint(2) + varint(2 << 3) + varint(1) + field(8, b"w") + field(13, entry, beyond)
    with pytest.raises(ForbiddenGraph, match="a tag longer than 32 bits"):
        check_graph(graph(field(7, field(5, tensor))))


@pytest.mark.parametrize("location", [1, 2, 1 + (1 << 32)])
def test_a_data_location_other_than_the_default_is_refused(graph, location):
    tensor = field(8, b"w") + varint(14 << 3) + varint(location)
    with pytest.raises(ForbiddenGraph, match="external data"):
        check_graph(graph(field(7, field(5, tensor))))


@pytest.mark.parametrize(
    "content",
    [b"\xff" * 11, b"\x80", b"\x3a\xff\xff\xff\xff\x0f", b"\x3b\x01"],
    ids=["endless", "cut", "long", "group"],
)
def test_malformed_fields_are_refused(graph, content):
    with pytest.raises(ForbiddenGraph, match="not an ONNX model"):
        check_graph(graph(content))
