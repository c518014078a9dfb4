"""Reductions along axes, softmax and normalisation, matrix products, and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vaekit_training.export.builder import Builder, Term
from vaekit_training.export.capture import Value
from vaekit_training.export.operators.table import Lowering, Number, axes_of, binary, lowers

# Reductions along axes.


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
        axes = b.numbers(axes_of(len(x.shape), dims))
        return b.one(kind, [b.cast(x, out.dtype), axes], out.dtype, out.shape, keepdims=int(keepdim))

    return lowering


lowers("sum.dim_IntList", "sum.default")(_reduction("ReduceSum"))
lowers("mean.dim", "mean.default")(_reduction("ReduceMean"))
lowers("amax.default")(_reduction("ReduceMax"))
lowers("amin.default")(_reduction("ReduceMin"))
lowers("logsumexp.default")(_reduction("ReduceLogSumExp"))


@lowers("argmax.default")
def _argmax(b: Builder, out: Value, x: Term, dim: int, keepdim: bool = False) -> Term:
    return b.one("ArgMax", [x], out.dtype, out.shape, axis=dim % len(x.shape), keepdims=int(keepdim))


@lowers("topk.default")
def _topk(
    b: Builder, out: Sequence[Value], x: Term, k: int, dim: int = -1, largest: bool = True, is_sorted: bool = True
) -> list[Term]:
    """Values and indices. Of equal values, ONNX takes the one with the lowest index, torch any."""
    results = [(each.dtype, each.shape) for each in out]
    return b.node(
        "TopK", [x, b.numbers([k])], *results, axis=dim % len(x.shape), largest=int(largest), sorted=int(is_sorted)
    )


@lowers("cumsum.default")
def _cumsum(b: Builder, out: Value, x: Term, dim: int, **_: Any) -> Term:
    axis = b.constant(dim % len(x.shape), torch.int64)
    return b.one("CumSum", [b.cast(x, out.dtype), axis], out.dtype, out.shape)


def _softmax(kind: str) -> Lowering:
    def lowering(b: Builder, out: Value, x: Term, dim: int, half_to_float: bool = False) -> Term:
        assert not half_to_float
        return b.one(kind, [x], out.dtype, out.shape, axis=dim % len(x.shape))

    return lowering


lowers("_softmax.default")(_softmax("Softmax"))
lowers("_log_softmax.default")(_softmax("LogSoftmax"))


@lowers("native_layer_norm.default")
def _layer_norm(
    b: Builder, out: Sequence[Value], x: Term, shape: Sequence[int], weight: Term | None, bias: Term | None, eps: float
) -> list[Term]:
    first = out[0]
    scale = b.constant(torch.ones(tuple(shape)), first.dtype) if weight is None else weight
    inputs = [x, scale] if bias is None else [x, scale, bias]
    return [b.one("LayerNormalization", inputs, first.dtype, first.shape, axis=-len(shape), epsilon=float(eps))]


# Matrices.


@lowers("mm.default", "bmm.default")
def _matmul(b: Builder, out: Value, x: Term, y: Term) -> Term:
    """x @ y; leading axes are not expanded first, because MatMul broadcasts them."""
    if len(out.shape) == 3:
        x, y = (_narrow(one) for one in (x, y))
    return b.one("MatMul", [x, y], out.dtype, out.shape)


def _narrow(x: Term) -> Term:
    """A batch of matrices (B, n, m), or (1, n, m) if all B matrices are the same."""
    base = x.base
    return base if base is not None and len(base.shape) == 3 and base.shape[1:] == x.shape[1:] else x


@lowers("addmm.default")
def _addmm(b: Builder, out: Value, bias: Term, x: Term, y: Term, *, beta: Number = 1, alpha: Number = 1) -> Term:
    """beta bias + alpha x @ y; the bias is not expanded first, because Gemm broadcasts it."""
    return b.one("Gemm", [x, y, bias.base or bias], out.dtype, out.shape, beta=float(beta), alpha=float(alpha))


@lowers("baddbmm.default")
def _baddbmm(b: Builder, out: Value, bias: Term, x: Term, y: Term, *, beta: Number = 1, alpha: Number = 1) -> Term:
    assert beta == alpha == 1
    return binary(b, "Add", out, _matmul(b, out, x, y), bias)


@lowers("convolution.default")
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


@lowers("replication_pad2d.default")
def _replication_pad(b: Builder, out: Value, x: Term, padding: Sequence[int]) -> Term:
    left, right, top, bottom = padding
    return b.one("Pad", [x, b.numbers([0, 0, top, left, 0, 0, bottom, right])], out.dtype, out.shape, mode="edge")
