"""The ONNX form of each aten operator that a VAE uses: a table from operator names to functions.

Each function takes the builder, the operation's result and its arguments as torch declares them. Arithmetic has the
type of the result, as in torch; nothing is approximated. An operator that is not in the table stops the export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vaekit.errors import TrainingError
from vaekit_training.export.builder import Builder, Shape, Term, broadcast
from vaekit_training.export.capture import AtenOperation, Captured, Repeated, Size, Value

Number = int | float | bool
Operand = Term | Number
Lowering = Callable[..., Any]
TABLE: dict[str, Lowering] = {}


def lower(captured: Captured, sources: Mapping[str, tuple[str, int]]) -> tuple[Builder, list[Term]]:
    """Build the graph of the captured operations; returns the builder and the module's results.

    Raises:
        TrainingError: an operator has no ONNX form here; the message names it.
    """
    builder = Builder(captured.inputs, sources)
    terms = {value.index: builder.inputs[name] for name, value in captured.inputs.items()}

    def term(value: Any) -> Any:
        if isinstance(value, Value):
            return terms[value.index]
        if isinstance(value, Tensor):
            return builder.constant(value, value.dtype)
        if isinstance(value, Repeated):
            return builder.expanded(builder.constant(value.constant, value.constant.dtype), value.shape)
        if isinstance(value, tuple) and not isinstance(value, Size):
            return tuple(term(one) for one in value)
        return value

    for operation in captured.operations:
        results = _lowered(builder, operation, term)
        for value, result in zip(operation.results, results, strict=False):
            assert (result.shape, result.dtype) == (value.shape, value.dtype), f"{operation.name}: {result} {value}"
            terms[value.index] = result
    return builder, [term(value) for value in captured.outputs]


def _lowered(builder: Builder, operation: AtenOperation, term: Callable[[Any], Any]) -> Sequence[Term]:
    lowering = TABLE.get(operation.name)
    if lowering is None:
        raise TrainingError(f"export: operator {operation.name} has no ONNX form in export/lowering.py")
    out: Value | tuple[Value, ...] = operation.results if operation.name in SEVERAL else operation.results[0]
    found = lowering(builder, out, *term(operation.args), **{k: term(v) for k, v in operation.kwargs.items()})
    return found if isinstance(found, list | tuple) else (found,)


def _lowers(*names: str) -> Callable[[Lowering], Lowering]:
    def add(lowering: Lowering) -> Lowering:
        TABLE.update({f"aten.{name}": lowering for name in names})
        return lowering

    return add


SEVERAL = ("aten.split.Tensor", "aten.split_with_sizes.default", "aten.unbind.int", "aten.native_layer_norm.default")


# Element-wise with one input.

SAME = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "isnan": "IsNaN",
    "log": "Log",
    "neg": "Neg",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "round": "Round",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "bitwise_not": "Not",
    "logical_not": "Not",
}


def _unary(kind: str) -> Lowering:
    def lowering(b: Builder, out: Value, x: Term) -> Term:
        return b.elementwise(kind, [x if kind in ("IsNaN", "Not") else b.cast(x, out.dtype)], out)

    return lowering


for _name, _kind in SAME.items():
    _lowers(f"{_name}.default")(_unary(_kind))


@_lowers("alias.default", "detach.default", "clone.default")
def _alias(_: Builder, __: Value, x: Term, **___: Any) -> Term:
    return x


@_lowers("_to_copy.default")
def _to_copy(b: Builder, out: Value, x: Term, **_: Any) -> Term:
    return b.cast(x, out.dtype)


@_lowers("rsqrt.default")
def _rsqrt(b: Builder, out: Value, x: Term) -> Term:
    return b.elementwise("Reciprocal", [b.elementwise("Sqrt", [x], out)], out)


@_lowers("leaky_relu.default")
def _leaky_relu(b: Builder, out: Value, x: Term, slope: float = 0.01) -> Term:
    return b.elementwise("LeakyRelu", [x], out, alpha=float(slope))


@_lowers("silu.default")
def _silu(b: Builder, out: Value, x: Term) -> Term:
    return _binary(b, "Mul", out, x, b.elementwise("Sigmoid", [x], out))


@_lowers("gelu.default")
def _gelu(b: Builder, out: Value, x: Term, approximate: str = "none") -> Term:
    """0.5 x (1 + erf(x / sqrt(2))), in the order of operations that ONNX Runtime fuses."""
    assert approximate == "none"
    erf = b.elementwise("Erf", [_binary(b, "Div", out, x, 2.0**0.5)], out)
    return _binary(b, "Mul", out, _binary(b, "Mul", out, x, _binary(b, "Add", out, erf, 1.0)), 0.5)


@_lowers("clamp.default")
def _clamp(b: Builder, out: Value, x: Term, low: Number | None = None, high: Number | None = None) -> Term:
    ends = ["" if end is None else b.name(b.constant(end, out.dtype)) for end in (low, high)]
    base = x.base or x
    return b.expanded(b.one("Clip", [base, *ends], out.dtype, base.shape), out.shape)


_lowers("clamp_min.default")(_clamp)


@_lowers("clamp_max.default")
def _clamp_max(b: Builder, out: Value, x: Term, high: Number) -> Term:
    return _clamp(b, out, x, None, high)


@_lowers("pow.Tensor_Scalar")
def _pow(b: Builder, out: Value, x: Term, exponent: Number) -> Term:
    x = b.cast(x, out.dtype)
    if exponent == 2:
        return b.elementwise("Mul", [x, x], out)
    if exponent == 0.5:
        return b.elementwise("Sqrt", [x], out)
    return _binary(b, "Pow", out, x, exponent)


# Element-wise with two or three inputs.


def _operand(b: Builder, value: Operand, dtype: torch.dtype) -> Term:
    return b.cast(value, dtype) if isinstance(value, Term) else b.constant(value, dtype)


def _binary(b: Builder, kind: str, out: Value, x: Operand, y: Operand) -> Term:
    return b.elementwise(kind, [_operand(b, one, out.dtype) for one in (x, y)], out)


ARITHMETIC = {
    "mul.Tensor": "Mul",
    "div.Tensor": "Div",
    "maximum.default": "Max",
    "minimum.default": "Min",
}


def _arithmetic(kind: str) -> Lowering:
    def lowering(b: Builder, out: Value, x: Operand, y: Operand) -> Term:
        if out.dtype == torch.bool:  # a product of bools
            kind_of_bools = {"Mul": "And", "Min": "And", "Max": "Or"}[kind]
            return _binary(b, kind_of_bools, out, x, y)
        return _binary(b, kind, out, x, y)

    return lowering


for _name, _kind in ARITHMETIC.items():
    _lowers(_name)(_arithmetic(_kind))


def _scaled(b: Builder, out: Value, y: Operand, alpha: Number) -> Operand:
    if alpha == 1:
        return y
    return alpha * y if isinstance(y, int | float) else _binary(b, "Mul", out, y, alpha)


@_lowers("add.Tensor")
def _add(b: Builder, out: Value, x: Operand, y: Operand, alpha: Number = 1) -> Term:
    return _binary(b, "Add", out, x, _scaled(b, out, y, alpha))


@_lowers("sub.Tensor")
def _sub(b: Builder, out: Value, x: Operand, y: Operand, alpha: Number = 1) -> Term:
    return _binary(b, "Sub", out, x, _scaled(b, out, y, alpha))


@_lowers("rsub.Scalar", "rsub.Tensor")
def _rsub(b: Builder, out: Value, x: Operand, y: Operand, alpha: Number = 1) -> Term:
    return _sub(b, out, y, x) if alpha == 1 else _sub(b, out, y, _scaled(b, out, x, alpha))


@_lowers("addcmul.default")
def _addcmul(b: Builder, out: Value, x: Term, y: Term, z: Term, value: Number = 1) -> Term:
    product = b.elementwise("Mul", [y, z], Value(-1, out.dtype, _wide(y, z)))
    return _add(b, out, x, product, value)


def _wide(*terms: Term) -> Shape:
    return broadcast(*(one.shape for one in terms))


@_lowers("remainder.Scalar", "remainder.Tensor")
def _remainder(b: Builder, out: Value, x: Operand, y: Operand) -> Term:
    """For integers, with the sign of the divisor, as in torch."""
    assert not out.dtype.is_floating_point
    return _binary(b, "Mod", out, x, y)


@_lowers("div.Tensor_mode")
def _div_mode(b: Builder, out: Value, x: Operand, y: Operand, rounding_mode: str | None = None) -> Term:
    """The floor of an integer quotient: (x - x mod y) / y."""
    assert rounding_mode == "floor"
    assert not out.dtype.is_floating_point
    return _binary(b, "Div", out, _binary(b, "Sub", out, x, _remainder(b, out, x, y)), y)


LOGICAL = {
    "bitwise_and.Tensor": "And",
    "bitwise_or.Tensor": "Or",
    "bitwise_xor.Tensor": "Xor",
    "logical_and.default": "And",
    "logical_or.default": "Or",
}
COMPARISONS = {"eq": "Equal", "gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual"}


def _logical(kind: str) -> Lowering:
    def lowering(b: Builder, out: Value, x: Operand, y: Operand) -> Term:
        assert out.dtype == torch.bool
        return _binary(b, kind, out, x, y)

    return lowering


def _compared(b: Builder, kind: str, out: Value, x: Operand, y: Operand) -> Term:
    """Compares in the type to which torch promotes both."""
    dtype = torch.result_type(_sample(x), _sample(y))
    return b.elementwise(kind, [_operand(b, one, dtype) for one in (x, y)], out)


def _sample(value: Operand) -> Tensor | Number:
    """A value with the same type and rank class, which type promotion depends on."""
    if not isinstance(value, Term):
        return value
    return torch.empty((1,) * bool(value.shape), dtype=value.dtype)


def _comparison(kind: str) -> Lowering:
    def lowering(b: Builder, out: Value, x: Operand, y: Operand) -> Term:
        return _compared(b, kind, out, x, y)

    return lowering


for _name, _kind in LOGICAL.items():
    _lowers(_name)(_logical(_kind))
for _name, _kind in COMPARISONS.items():
    for _form in ("Tensor", "Scalar"):
        _lowers(f"{_name}.{_form}")(_comparison(_kind))


@_lowers("ne.Tensor", "ne.Scalar")
def _ne(b: Builder, out: Value, x: Operand, y: Operand) -> Term:
    return b.elementwise("Not", [_compared(b, "Equal", out, x, y)], out)


@_lowers("where.self")
def _where(b: Builder, out: Value, condition: Term, x: Operand, y: Operand) -> Term:
    return b.elementwise("Where", [condition, _operand(b, x, out.dtype), _operand(b, y, out.dtype)], out)


@_lowers("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(b: Builder, out: Value, x: Term, mask: Term, value: Operand) -> Term:
    return _where(b, out, mask, value, x)


# Constants with the shape of a tensor.


@_lowers("full_like.default")
def _full_like(b: Builder, out: Value, _: Term, value: Number, **__: Any) -> Term:
    return b.expanded(b.constant(value, out.dtype), out.shape)


@_lowers("ones_like.default")
def _ones_like(b: Builder, out: Value, x: Term, **_: Any) -> Term:
    return _full_like(b, out, x, 1)


@_lowers("zeros_like.default")
def _zeros_like(b: Builder, out: Value, x: Term, **_: Any) -> Term:
    return _full_like(b, out, x, 0)


# Reductions and other operations over axes.


def _axes(rank: int, dims: int | Sequence[int] | None) -> list[int]:
    if dims is None or dims == ():
        return list(range(rank))
    return [dim % rank for dim in ([dims] if isinstance(dims, int) else dims)]


def _reduction(kind: str) -> Lowering:
    def lowering(
        b: Builder,
        out: Value,
        x: Term,
        dims: int | Sequence[int] | None = None,
        keepdim: bool = False,
        dtype: torch.dtype | None = None,
    ) -> Term:
        assert dtype in (None, out.dtype)
        axes = b.numbers(_axes(len(x.shape), dims))
        return b.one(kind, [b.cast(x, out.dtype), axes], out.dtype, out.shape, keepdims=int(keepdim))

    return lowering


_lowers("sum.dim_IntList", "sum.default")(_reduction("ReduceSum"))
_lowers("mean.dim", "mean.default")(_reduction("ReduceMean"))
_lowers("amax.default")(_reduction("ReduceMax"))
_lowers("amin.default")(_reduction("ReduceMin"))
_lowers("logsumexp.default")(_reduction("ReduceLogSumExp"))


@_lowers("argmax.default")
def _argmax(b: Builder, out: Value, x: Term, dim: int, keepdim: bool = False) -> Term:
    return b.one("ArgMax", [x], out.dtype, out.shape, axis=dim % len(x.shape), keepdims=int(keepdim))


@_lowers("cumsum.default")
def _cumsum(b: Builder, out: Value, x: Term, dim: int, **_: Any) -> Term:
    axis = b.constant(dim % len(x.shape), torch.int64)
    return b.one("CumSum", [b.cast(x, out.dtype), axis], out.dtype, out.shape)


def _softmax(kind: str) -> Lowering:
    def lowering(b: Builder, out: Value, x: Term, dim: int, half_to_float: bool = False) -> Term:
        assert not half_to_float
        return b.one(kind, [x], out.dtype, out.shape, axis=dim % len(x.shape))

    return lowering


_lowers("_softmax.default")(_softmax("Softmax"))
_lowers("_log_softmax.default")(_softmax("LogSoftmax"))


@_lowers("native_layer_norm.default")
def _layer_norm(
    b: Builder, out: Sequence[Value], x: Term, shape: Sequence[int], weight: Term | None, bias: Term | None, eps: float
) -> list[Term]:
    first = out[0]
    scale = b.constant(torch.ones(tuple(shape)), first.dtype) if weight is None else weight
    inputs = [x, scale] if bias is None else [x, scale, bias]
    return [b.one("LayerNormalization", inputs, first.dtype, first.shape, axis=-len(shape), epsilon=float(eps))]


# Matrices.


@_lowers("mm.default", "bmm.default")
def _matmul(b: Builder, out: Value, x: Term, y: Term) -> Term:
    """MatMul broadcasts leading axes."""
    if len(out.shape) == 3:
        x, y = (_narrow(one) for one in (x, y))
    return b.one("MatMul", [x, y], out.dtype, out.shape)


def _narrow(x: Term) -> Term:
    """A batch of matrices without its first axis, if that axis is only broadcast."""
    base = x.base
    return base if base is not None and len(base.shape) == 3 and base.shape[1:] == x.shape[1:] else x


@_lowers("addmm.default")
def _addmm(b: Builder, out: Value, bias: Term, x: Term, y: Term, *, beta: Number = 1, alpha: Number = 1) -> Term:
    """Gemm broadcasts the bias."""
    return b.one("Gemm", [x, y, bias.base or bias], out.dtype, out.shape, beta=float(beta), alpha=float(alpha))


@_lowers("baddbmm.default")
def _baddbmm(b: Builder, out: Value, bias: Term, x: Term, y: Term, *, beta: Number = 1, alpha: Number = 1) -> Term:
    assert beta == alpha == 1
    return _binary(b, "Add", out, _matmul(b, out, x, y), bias)


@_lowers("convolution.default")
def _convolution(
    b: Builder,
    out: Value,
    x: Term,
    weight: Term,
    bias: Term | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Term:
    more: dict[str, Any] = {"output_padding": list(output_padding)} if transposed else {}
    return b.one(
        "ConvTranspose" if transposed else "Conv",
        [x, weight] if bias is None else [x, weight, bias],
        out.dtype,
        out.shape,
        kernel_shape=[size.times for size in weight.shape[2:]],
        strides=list(stride),
        pads=[*padding, *padding],
        dilations=list(dilation),
        group=groups,
        **more,
    )


@_lowers("replication_pad2d.default")
def _replication_pad(b: Builder, out: Value, x: Term, padding: Sequence[int]) -> Term:
    left, right, top, bottom = padding
    return b.one("Pad", [x, b.numbers([0, 0, top, left, 0, 0, bottom, right])], out.dtype, out.shape, mode="edge")


# Shapes, slices and indices.


@_lowers("view.default", "_unsafe_view.default", "unsqueeze.default", "squeeze.dim", "squeeze.dims")
def _reshape(b: Builder, out: Value, x: Term, *_: Any) -> Term:
    return b.reshaped(x, out.shape)


@_lowers("expand.default")
def _expand(b: Builder, out: Value, x: Term, *_: Any, **__: Any) -> Term:
    return b.expanded(x, out.shape)


@_lowers("permute.default")
def _permute(b: Builder, out: Value, x: Term, dims: Sequence[int]) -> Term:
    return b.one("Transpose", [x], out.dtype, out.shape, perm=_axes(len(x.shape), dims))


@_lowers("transpose.int")
def _transpose(b: Builder, out: Value, x: Term, first: int, second: int) -> Term:
    rank = len(x.shape)
    perm = list(range(rank))
    perm[first % rank], perm[second % rank] = perm[second % rank], perm[first % rank]
    return b.one("Transpose", [x], out.dtype, out.shape, perm=perm)


@_lowers("t.default")
def _t(b: Builder, out: Value, x: Term) -> Term:
    return b.one("Transpose", [x], out.dtype, out.shape, perm=list(range(len(x.shape)))[::-1])


@_lowers("select.int")
def _select(b: Builder, out: Value, x: Term, dim: int, index: int) -> Term:
    return b.one("Gather", [x, b.constant(index, torch.int64)], out.dtype, out.shape, axis=dim % len(x.shape))


@_lowers("unbind.int")
def _unbind(b: Builder, out: Sequence[Value], x: Term, dim: int = 0) -> list[Term]:
    return [_select(b, one, x, dim, i) for i, one in enumerate(out)]


@_lowers("slice.Tensor")
def _slice(
    b: Builder, out: Value, x: Term, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Term:
    if out.shape == x.shape and step == 1:
        return x
    ends = [0 if start is None else start, torch.iinfo(torch.int64).max if end is None else end]
    assert all(isinstance(one, int) and not isinstance(one, Size) for one in ends), "a slice of a free axis"
    bounds = [b.numbers([one]) for one in (*ends, dim % len(x.shape), step)]
    return b.one("Slice", [x, *bounds], out.dtype, out.shape)


@_lowers("split.Tensor", "split_with_sizes.default")
def _split(b: Builder, out: Sequence[Value], x: Term, _: Any, dim: int = 0) -> list[Term]:
    axis = dim % len(x.shape)
    if len(out) == 1:
        return [x]
    sizes = b.numbers([one.shape[axis].times for one in out])
    return b.node("Split", [x, sizes], *((one.dtype, one.shape) for one in out), axis=axis)


@_lowers("cat.default")
def _cat(b: Builder, out: Value, parts: Sequence[Term], dim: int = 0) -> Term:
    rank = len(out.shape)
    return b.one("Concat", [b.cast(one, out.dtype) for one in parts], out.dtype, out.shape, axis=dim % rank)


@_lowers("stack.default")
def _stack(b: Builder, out: Value, parts: Sequence[Term], dim: int = 0) -> Term:
    axis = dim % len(out.shape)
    shape = (*out.shape[:axis], Size(1), *out.shape[axis + 1 :])
    return _cat(b, out, [b.reshaped(one, shape) for one in parts], axis)


@_lowers("gather.default")
def _gather(b: Builder, out: Value, x: Term, dim: int, index: Term, **_: Any) -> Term:
    """GatherElements needs inputs of equal rank, and of equal size except along the axis."""
    return b.one("GatherElements", [x, index], out.dtype, out.shape, axis=dim % len(x.shape))


@_lowers("index_select.default")
def _index_select(b: Builder, out: Value, x: Term, dim: int, index: Term) -> Term:
    return b.one("Gather", [x, index], out.dtype, out.shape, axis=dim % len(x.shape))


@_lowers("index.Tensor")
def _index(b: Builder, out: Value, x: Term, indices: Sequence[Term | None]) -> Term:
    """x[:, ..., index]: one row of constants or integers along one axis."""
    found = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    assert len(found) == 1, "an index along several axes"
    axis, index = found[0]
    if index.dtype == torch.bool:
        assert index.constant is not None
        index = b.numbers(index.constant.nonzero().flatten().tolist())
    return b.one("Gather", [x, index], out.dtype, out.shape, axis=axis)
