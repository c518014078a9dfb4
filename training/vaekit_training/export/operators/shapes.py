"""Operators that reshape, slice, index and join tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vaekit_training.export.builder import Builder, Term
from vaekit_training.export.capture import Size, Value
from vaekit_training.export.operators.table import axes_of, lowers

# Shapes, slices and indices.


@lowers("view.default", "_unsafe_view.default", "unsqueeze.default", "squeeze.dim", "squeeze.dims")
def _reshape(b: Builder, out: Value, x: Term, *_: Any) -> Term:
    return b.reshaped(x, out.shape)


@lowers("expand.default")
def _expand(b: Builder, out: Value, x: Term, *_: Any, **__: Any) -> Term:
    return b.expanded(x, out.shape)


@lowers("permute.default")
def _permute(b: Builder, out: Value, x: Term, dims: Sequence[int]) -> Term:
    return b.one("Transpose", [x], out.dtype, out.shape, perm=axes_of(len(x.shape), dims))


@lowers("transpose.int")
def _transpose(b: Builder, out: Value, x: Term, first: int, second: int) -> Term:
    rank = len(x.shape)
    perm = list(range(rank))
    perm[first % rank], perm[second % rank] = perm[second % rank], perm[first % rank]
    return b.one("Transpose", [x], out.dtype, out.shape, perm=perm)


@lowers("t.default")
def _t(b: Builder, out: Value, x: Term) -> Term:
    return b.one("Transpose", [x], out.dtype, out.shape, perm=list(range(len(x.shape)))[::-1])


@lowers("select.int")
def _select(b: Builder, out: Value, x: Term, dim: int, index: int) -> Term:
    return b.one("Gather", [x, b.constant(index, torch.int64)], out.dtype, out.shape, axis=dim % len(x.shape))


@lowers("unbind.int")
def _unbind(b: Builder, out: Sequence[Value], x: Term, dim: int = 0) -> list[Term]:
    return [_select(b, one, x, dim, i) for i, one in enumerate(out)]


@lowers("slice.Tensor")
def _slice(
    b: Builder, out: Value, x: Term, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Term:
    if out.shape == x.shape and step == 1:
        return x
    ends = [0 if start is None else start, torch.iinfo(torch.int64).max if end is None else end]
    assert all(isinstance(one, int) and not isinstance(one, Size) for one in ends), (
        "slices with a bound that depends on N or K are not supported"
    )
    bounds = [b.numbers([one]) for one in (*ends, dim % len(x.shape), step)]
    return b.one("Slice", [x, *bounds], out.dtype, out.shape)


@lowers("split.Tensor", "split_with_sizes.default")
def _split(b: Builder, out: Sequence[Value], x: Term, _: Any, dim: int = 0) -> list[Term]:
    axis = dim % len(x.shape)
    if len(out) == 1:
        return [x]
    sizes = b.numbers([one.shape[axis].times for one in out])
    return b.node("Split", [x, sizes], *((one.dtype, one.shape) for one in out), axis=axis)


@lowers("cat.default")
def _cat(b: Builder, out: Value, parts: Sequence[Term], dim: int = 0) -> Term:
    rank = len(out.shape)
    return b.one("Concat", [b.cast(one, out.dtype) for one in parts], out.dtype, out.shape, axis=dim % rank)


@lowers("stack.default")
def _stack(b: Builder, out: Value, parts: Sequence[Term], dim: int = 0) -> Term:
    axis = dim % len(out.shape)
    shape = (*out.shape[:axis], Size(1), *out.shape[axis + 1 :])
    return _cat(b, out, [b.reshaped(one, shape) for one in parts], axis)


@lowers("gather.default")
def _gather(b: Builder, out: Value, x: Term, dim: int, index: Term, **_: Any) -> Term:
    """x[index] along an axis; GatherElements needs x and index of the same size along the other axes."""
    return b.one("GatherElements", [x, index], out.dtype, out.shape, axis=dim % len(x.shape))


@lowers("index_select.default")
def _index_select(b: Builder, out: Value, x: Term, dim: int, index: Term) -> Term:
    return b.one("Gather", [x, index], out.dtype, out.shape, axis=dim % len(x.shape))


@lowers("index.Tensor")
def _index(b: Builder, out: Value, x: Term, indices: Sequence[Term | None]) -> Term:
    """x[:, ..., index], where index is a constant mask, or a vector of integers, along one axis."""
    found = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    assert len(found) == 1, "indices along several axes are not supported"
    axis, index = found[0]
    if index.dtype == torch.bool:
        assert index.constant is not None
        index = b.numbers(index.constant.nonzero().flatten().tolist())
    return b.one("Gather", [x, index], out.dtype, out.shape, axis=axis)
