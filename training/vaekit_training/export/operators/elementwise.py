"""Element-wise operators, and constants with the shape of a tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaekit_training.export.builder import Builder, Shape, Term, broadcast
from vaekit_training.export.capture import Value
from vaekit_training.export.operators.table import Lowering, Number, Operand, binary, lowers, operand

# With one input.

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
    lowers(f"{_name}.default")(_unary(_kind))


@lowers("alias.default", "detach.default", "clone.default")
def _alias(_: Builder, __: Value, x: Term, **___: Any) -> Term:
    return x


@lowers("_to_copy.default")
def _to_copy(b: Builder, out: Value, x: Term, **_: Any) -> Term:
    return b.cast(x, out.dtype)


@lowers("rsqrt.default")
def _rsqrt(b: Builder, out: Value, x: Term) -> Term:
    return b.elementwise("Reciprocal", [b.elementwise("Sqrt", [x], out)], out)


@lowers("leaky_relu.default")
def _leaky_relu(b: Builder, out: Value, x: Term, slope: float = 0.01) -> Term:
    return b.elementwise("LeakyRelu", [x], out, alpha=float(slope))


@lowers("silu.default")
def _silu(b: Builder, out: Value, x: Term) -> Term:
    return binary(b, "Mul", out, x, b.elementwise("Sigmoid", [x], out))


@lowers("gelu.default")
def _gelu(b: Builder, out: Value, x: Term, approximate: str = "none") -> Term:
    """0.5 x (1 + erf(x / sqrt(2))), in the order of operations that ONNX Runtime fuses."""
    assert approximate == "none"
    erf = b.elementwise("Erf", [binary(b, "Div", out, x, 2.0**0.5)], out)
    return binary(b, "Mul", out, binary(b, "Mul", out, x, binary(b, "Add", out, erf, 1.0)), 0.5)


@lowers("clamp.default")
def _clamp(b: Builder, out: Value, x: Term, low: Number | None = None, high: Number | None = None) -> Term:
    ends = ["" if end is None else b.name(b.constant(end, out.dtype)) for end in (low, high)]
    base = x.base or x
    return b.expanded(b.one("Clip", [base, *ends], out.dtype, base.shape), out.shape)


lowers("clamp_min.default")(_clamp)


@lowers("clamp_max.default")
def _clamp_max(b: Builder, out: Value, x: Term, high: Number) -> Term:
    return _clamp(b, out, x, None, high)


@lowers("pow.Tensor_Scalar")
def _pow(b: Builder, out: Value, x: Term, exponent: Number) -> Term:
    x = b.cast(x, out.dtype)
    if exponent == 2:
        return b.elementwise("Mul", [x, x], out)
    if exponent == 0.5:
        return b.elementwise("Sqrt", [x], out)
    return binary(b, "Pow", out, x, exponent)


# With two or three inputs.


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
            return binary(b, kind_of_bools, out, x, y)
        return binary(b, kind, out, x, y)

    return lowering


for _name, _kind in ARITHMETIC.items():
    lowers(_name)(_arithmetic(_kind))


def _scaled(b: Builder, out: Value, y: Operand, alpha: Number) -> Operand:
    if alpha == 1:
        return y
    return alpha * y if isinstance(y, int | float) else binary(b, "Mul", out, y, alpha)


@lowers("add.Tensor")
def _add(b: Builder, out: Value, x: Operand, y: Operand, alpha: Number = 1) -> Term:
    return binary(b, "Add", out, x, _scaled(b, out, y, alpha))


@lowers("sub.Tensor")
def _sub(b: Builder, out: Value, x: Operand, y: Operand, alpha: Number = 1) -> Term:
    return binary(b, "Sub", out, x, _scaled(b, out, y, alpha))


@lowers("rsub.Scalar", "rsub.Tensor")
def _rsub(b: Builder, out: Value, x: Operand, y: Operand, alpha: Number = 1) -> Term:
    return _sub(b, out, y, x) if alpha == 1 else _sub(b, out, y, _scaled(b, out, x, alpha))


@lowers("addcmul.default")
def _addcmul(b: Builder, out: Value, x: Term, y: Term, z: Term, value: Number = 1) -> Term:
    product = b.elementwise("Mul", [y, z], Value(-1, out.dtype, _wide(y, z)))
    return _add(b, out, x, product, value)


def _wide(*terms: Term) -> Shape:
    return broadcast(*(one.shape for one in terms))


@lowers("remainder.Scalar", "remainder.Tensor")
def _remainder(b: Builder, out: Value, x: Operand, y: Operand) -> Term:
    """x mod y of integers, with the sign of y, as in torch."""
    assert not out.dtype.is_floating_point
    return binary(b, "Mod", out, x, y)


@lowers("div.Tensor_mode")
def _div_mode(b: Builder, out: Value, x: Operand, y: Operand, rounding_mode: str | None = None) -> Term:
    """floor(x / y) of integers: (x - x mod y) / y."""
    assert rounding_mode == "floor"
    assert not out.dtype.is_floating_point
    return binary(b, "Div", out, binary(b, "Sub", out, x, _remainder(b, out, x, y)), y)


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
        return binary(b, kind, out, x, y)

    return lowering


def _compared(b: Builder, kind: str, out: Value, x: Operand, y: Operand) -> Term:
    """A comparison, in the type to which torch promotes both operands."""
    dtype = torch.result_type(_sample(x), _sample(y))
    return b.elementwise(kind, [operand(b, one, dtype) for one in (x, y)], out)


def _sample(value: Operand) -> Tensor | Number:
    """An empty tensor or number for torch.result_type: type promotion depends on the type, and on scalar or not."""
    if not isinstance(value, Term):
        return value
    return torch.empty((1,) * bool(value.shape), dtype=value.dtype)


def _comparison(kind: str) -> Lowering:
    def lowering(b: Builder, out: Value, x: Operand, y: Operand) -> Term:
        return _compared(b, kind, out, x, y)

    return lowering


for _name, _kind in LOGICAL.items():
    lowers(_name)(_logical(_kind))
for _name, _kind in COMPARISONS.items():
    for _form in ("Tensor", "Scalar"):
        lowers(f"{_name}.{_form}")(_comparison(_kind))


@lowers("ne.Tensor", "ne.Scalar")
def _ne(b: Builder, out: Value, x: Operand, y: Operand) -> Term:
    return b.elementwise("Not", [_compared(b, "Equal", out, x, y)], out)


@lowers("where.self")
def _where(b: Builder, out: Value, condition: Term, x: Operand, y: Operand) -> Term:
    return b.elementwise("Where", [condition, operand(b, x, out.dtype), operand(b, y, out.dtype)], out)


@lowers("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(b: Builder, out: Value, x: Term, mask: Term, value: Operand) -> Term:
    return _where(b, out, mask, value, x)


# Constants with the shape of a tensor.


@lowers("full_like.default")
def _full_like(b: Builder, out: Value, _: Term, value: Number, **__: Any) -> Term:
    return b.expanded(b.constant(value, out.dtype), out.shape)


@lowers("ones_like.default")
def _ones_like(b: Builder, out: Value, x: Term, **_: Any) -> Term:
    return _full_like(b, out, x, 1)


@lowers("zeros_like.default")
def _zeros_like(b: Builder, out: Value, x: Term, **_: Any) -> Term:
    return _full_like(b, out, x, 0)
