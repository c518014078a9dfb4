"""Converts captured aten operations to an ONNX graph; an operator that is not in the table stops the export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from vaekit.errors import TrainingError
from vaekit_training.export.builder import Builder, Term
from vaekit_training.export.capture import AtenOperation, Captured, Repeated, Size, Value
from vaekit_training.export.operators import TABLE

SEVERAL = (
    "aten.split.Tensor",
    "aten.split_with_sizes.default",
    "aten.unbind.int",
    "aten.native_layer_norm.default",
    "aten.topk.default",
)  # operators with several results


def lower(captured: Captured, sources: Mapping[str, tuple[str, int]]) -> tuple[Builder, list[Term]]:
    """Convert the captured operations; returns the builder, and the terms of the module's results.

    Args:
        captured: the operations.
        sources: for "N" and for "K", the name of an input and its axis with this size.

    Raises:
        TrainingError: an operator is not in the table; the message names it.
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
        raise TrainingError(
            f"export: operator {operation.name} is not supported; its ONNX form must be added to export/operators"
        )
    out: Value | tuple[Value, ...] = operation.results if operation.name in SEVERAL else operation.results[0]
    found = lowering(builder, out, *term(operation.args), **{k: term(v) for k, v in operation.kwargs.items()})
    return found if isinstance(found, list | tuple) else (found,)
