"""Builds an ONNX graph node by node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from vaekit_training.export.capture import FREE, Size, Value

OPSET, IR_VERSION = 18, 10
TYPES: dict[torch.dtype, int] = {
    torch.float32: onnx.TensorProto.FLOAT,
    torch.float64: onnx.TensorProto.DOUBLE,
    torch.float16: onnx.TensorProto.FLOAT16,
    torch.int64: onnx.TensorProto.INT64,
    torch.int32: onnx.TensorProto.INT32,
    torch.uint8: onnx.TensorProto.UINT8,
    torch.bool: onnx.TensorProto.BOOL,
}
ONE = Size(1)
Shape = tuple[Size, ...]


@dataclass(frozen=True)
class Term:
    """A tensor in the graph under construction: the output of a node, an input, a broadcast or a constant.

    With `base` it is `base` broadcast to `shape`; an Expand node is written only if an operation needs the full size.
    With `constant` it is a constant, which becomes an initializer at its first use.
    """

    dtype: torch.dtype
    shape: Shape
    name: str = ""
    base: Term | None = None
    constant: Tensor | None = None


def fixed(sizes: Iterable[int]) -> Shape:
    """A shape without free axes, from integers."""
    return tuple(Size(size) for size in sizes)


def broadcast(*shapes: Shape) -> Shape:
    """The shape to which these shapes broadcast."""
    rank = max(map(len, shapes))
    padded = [(ONE,) * (rank - len(shape)) + shape for shape in shapes]
    axes = []
    for sizes in zip(*padded, strict=True):
        wide = {size for size in sizes if size != ONE}
        assert len(wide) <= 1, f"shapes {shapes} do not broadcast"
        axes.append(wide.pop() if wide else ONE)
    return tuple(axes)


class Builder:
    """Collects the nodes and initializers of one graph; equal nodes are written only once."""

    def __init__(self, inputs: Mapping[str, Value], sources: Mapping[str, tuple[str, int]]) -> None:
        """sources: for "N" and for "K", the name of an input and its axis with this size."""
        self.inputs = {name: Term(value.dtype, value.shape, name) for name, value in inputs.items()}
        self._sources = sources
        self._nodes: dict[str, onnx.NodeProto] = {}  # by its first output
        self._made: dict[Any, list[str]] = {}
        self._initializers: dict[str, onnx.TensorProto] = {}

    def node(
        self,
        kind: str,
        inputs: Sequence[Term | str],
        *results: tuple[torch.dtype, Shape],
        **attributes: Any,
    ) -> list[Term]:
        """Add a node of this ONNX operator, and return its results.

        Args:
            kind: name of the ONNX operator.
            inputs: terms or names of tensors; "" stands for an optional input that is left out.
            results: type and shape of each result.
            attributes: attributes of the ONNX operator.
        """
        names = [one if isinstance(one, str) else self.name(one) for one in inputs]
        key = (kind, tuple(names), tuple(sorted((k, str(v)) for k, v in attributes.items())))
        outputs = self._made.get(key)
        if outputs is None:
            label = f"{kind}_{len(self._nodes)}"
            outputs = [label if not i else f"{label}_{i}" for i in range(len(results))]
            self._nodes[outputs[0]] = helper.make_node(kind, names, outputs, name=label, **attributes)
            self._made[key] = outputs
        return [Term(dtype, shape, name) for name, (dtype, shape) in zip(outputs, results, strict=True)]

    def one(self, kind: str, inputs: Sequence[Term | str], dtype: torch.dtype, shape: Shape, **attributes: Any) -> Term:
        """Add a node with one result, and return it; see node."""
        return self.node(kind, inputs, (dtype, shape), **attributes)[0]

    def elementwise(self, kind: str, operands: Sequence[Term], result: Value, **attributes: Any) -> Term:
        """Add an element-wise operation; it is applied before its operands are broadcast, which saves work."""
        bases = [one.base or one for one in operands]
        shape = broadcast(*(one.shape for one in bases))
        narrow = self.one(kind, bases, result.dtype, shape, **attributes)
        return self.expanded(narrow, result.shape)

    def name(self, term: Term) -> str:
        """The name of the tensor at its full size; adds the nodes or the initializer that it needs."""
        if term.name:
            return term.name
        if term.constant is not None:
            return self._initializer(term.constant)
        assert term.base is not None
        return self.one("Expand", [term.base, self.sizes(term.shape)], term.dtype, term.shape).name

    def full(self, term: Term) -> Term:
        """The term at its full size, without `base`."""
        return term if term.base is None else replace(term, base=None, name=self.name(term))

    def constant(self, value: Tensor | float | bool, dtype: torch.dtype) -> Term:
        """A constant of this type."""
        tensor = value.to(dtype) if isinstance(value, Tensor) else torch.tensor(value, dtype=dtype)
        return Term(dtype, fixed(tensor.shape), constant=tensor)

    def expanded(self, term: Term, shape: Shape) -> Term:
        """The term broadcast to this shape; no node is added."""
        return term if term.shape == shape else Term(term.dtype, shape, base=term.base or term)

    def cast(self, term: Term, dtype: torch.dtype) -> Term:
        """The term converted to this type."""
        if term.dtype == dtype:
            return term
        base = term.base or term
        if base.constant is not None:
            made = replace(base, dtype=dtype, constant=base.constant.to(dtype))
        else:
            made = self.one("Cast", [base], dtype, base.shape, to=TYPES[dtype])
        return self.expanded(made, term.shape)

    def reshaped(self, term: Term, shape: Shape) -> Term:
        """The term's elements in another shape, in the same order."""
        if term.shape == shape:
            return term
        if term.base is not None and not term.base.shape:  # a scalar has the same value in any shape
            return self.expanded(term.base, shape)
        sizes = [0 if i < len(term.shape) and size == term.shape[i] else size for i, size in enumerate(shape)]
        free = [i for i, size in enumerate(sizes) if isinstance(size, Size) and not size.is_fixed]
        if len(free) > 1:
            return self.one("Reshape", [term, self.sizes(shape)], term.dtype, shape)
        numbers = [-1 if i in free else size.times if isinstance(size, Size) else 0 for i, size in enumerate(sizes)]
        return self.one("Reshape", [term, self.numbers(numbers)], term.dtype, shape)

    def numbers(self, values: Sequence[int]) -> Term:
        """A constant int64 vector, for axes and sizes."""
        return self.constant(torch.tensor(list(values), dtype=torch.int64), torch.int64)

    def sizes(self, shape: Shape) -> Term:
        """A shape as an int64 vector; sizes of free axes are computed by nodes."""
        if all(size.is_fixed for size in shape):
            return self.numbers([size.times for size in shape])
        parts = [self._size(size) for size in shape]
        return self.one("Concat", parts, torch.int64, fixed([len(parts)]), axis=0)

    def _size(self, size: Size) -> Term:
        factors = [self._free(name) for name, there in zip(FREE, (size.n, size.k), strict=True) if there]
        if size.times != 1 or not factors:
            factors.append(self.numbers([size.times]))
        product, *others = factors
        for other in others:
            product = self.one("Mul", [product, other], torch.int64, fixed([1]))
        return product

    def _free(self, name: str) -> Term:
        source, axis = self._sources[name]
        return self.one("Shape", [self.inputs[source]], torch.int64, fixed([1]), start=axis, end=axis + 1)

    def _initializer(self, value: Tensor) -> str:
        array = value.detach().cpu().contiguous().numpy()
        key = ("initializer", str(array.dtype), array.shape, array.tobytes())
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = [f"constant_{len(self._initializers)}"]
            self._initializers[made[0]] = numpy_helper.from_array(array, made[0])
        return made[0]

    def model(self, inputs: Sequence[str], outputs: Mapping[str, Term]) -> onnx.ModelProto:
        """The ONNX model with these inputs and outputs, and only the nodes that the outputs need."""
        named = {name: self.name(term) for name, term in outputs.items()}
        wanted, stack = set(), list(named.values())
        owners = {output: node for node in self._nodes.values() for output in node.output}
        while stack:
            name = stack.pop()
            if name not in wanted:
                wanted.add(name)
                stack += owners[name].input if name in owners else []
        nodes = [node for node in self._nodes.values() if wanted.intersection(node.output)]
        missing = (wanted & set(self.inputs)) - set(inputs)
        assert not missing, f"the outputs {list(named)} need the inputs {missing}, which are not given"
        graph = helper.make_graph(
            [*nodes, *(helper.make_node("Identity", [inner], [name]) for name, inner in named.items())],
            "main_graph",
            [_value_info(name, self.inputs[name]) for name in inputs],
            [_value_info(name, term) for name, term in outputs.items()],
            [tensor for name, tensor in self._initializers.items() if name in wanted],
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="vaekit")


def _value_info(name: str, term: Term) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TYPES[term.dtype], [_axis(size) for size in term.shape])


def _axis(size: Size) -> int | str:
    """A fixed size, or a name such as "N" or "2*N*K"."""
    if size.is_fixed:
        return size.times
    factors = [name for name, power in zip(FREE, (size.n, size.k), strict=True) if power]
    return "*".join([str(size.times)] * (size.times > 1) + factors)
