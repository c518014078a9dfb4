"""The table of aten operators, and helpers of the functions in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from vaekit_training.export.builder import Builder, Term
from vaekit_training.export.capture import Value

Number = int | float | bool
Operand = Term | Number
Lowering = Callable[..., Any]
TABLE: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """A decorator that adds a function to the table for these operators, such as "add.Tensor" for aten.add.Tensor."""

    def add(lowering: Lowering) -> Lowering:
        TABLE.update({f"aten.{name}": lowering for name in names})
        return lowering

    return add


def operand(b: Builder, value: Operand, dtype: torch.dtype) -> Term:
    """A tensor or a number as a term of this type."""
    return b.cast(value, dtype) if isinstance(value, Term) else b.constant(value, dtype)


def binary(b: Builder, kind: str, out: Value, x: Operand, y: Operand) -> Term:
    """Add an element-wise operation on two operands, in the type of the result."""
    return b.elementwise(kind, [operand(b, one, out.dtype) for one in (x, y)], out)


def axes_of(rank: int, dims: int | Sequence[int] | None) -> list[int]:
    """Axes as non-negative numbers, from a torch argument; None or () stands for all axes."""
    if dims is None or dims == ():
        return list(range(rank))
    return [dim % rank for dim in ([dims] if isinstance(dims, int) else dims)]
