"""Exports a trained VAE as one ONNX graph per operation of a bundle."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import onnx
from torch import Tensor, nn

from vaekit.bundle.manifest import Operation
from vaekit.bundle.manifest import Tensor as TensorSpec
from vaekit_training.export.capture import FREE, capture
from vaekit_training.export.lowering import lower
from vaekit_training.export.reference import exported_module, exported_with, graph_inputs, output_names
from vaekit_training.folds import AnyVAE

FILES: dict[Operation, str] = {
    "encode": "encoder.onnx",
    "prior": "prior.onnx",
    "decode": "decoder.onnx",
    "observe": "observe.onnx",
    "bound": "bound.onnx",
    "elbo": "elbo.onnx",
    "surprise": "surprise.onnx",
}
_DTYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.BOOL: "bool",
}


@dataclass(frozen=True)
class ExportedGraph:
    """One graph: its file name, content, inputs and outputs."""

    file: str
    data: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Export:
    """The captured operations of a module, from which graphs for any of its outputs can be made."""

    def __init__(
        self,
        module: nn.Module,
        feeds: Mapping[str, Tensor],
        outputs: Sequence[str],
        free: Mapping[str, Mapping[int, str]],
    ) -> None:
        """
        Args:
            module: takes the feeds in their order, and returns the outputs in their order.
            feeds: example inputs by name.
            outputs: names of the module's results.
            free: the free axes of each input, and for each axis "N" or "K"; N is axis 0 of the first input.

        Raises:
            TrainingError: the module cannot be expressed in ONNX; the message names the operator.
        """
        captured = capture(module.eval(), feeds, free)
        sources = {name: (feed, axis) for feed, axes in reversed(list(free.items())) for axis, name in axes.items()}
        self._builder, results = lower(captured, {name: sources[name] for name in FREE if name in sources})
        self._results = dict(zip(outputs, results, strict=True))

    def model(self, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
        """The graph with these inputs and outputs, and only the nodes that the outputs need."""
        return self._builder.model(inputs, {name: self._results[name] for name in outputs})


def export_graphs(
    vae: AnyVAE, x: Tensor, operations: Collection[Operation] = get_args(Operation)
) -> dict[Operation, ExportedGraph]:
    """The graphs of these operations, for any number of rows N and draws K.

    Operations with the same inputs are captured together, and a graph is made for each one. `bound` is `elbo` without
    log_evidence. It gets a graph of its own if log_evidence is most of the work, as with an aggregate prior, because
    ONNX Runtime computes all outputs of a graph whether they are requested or not.

    Args:
        vae: the torch model, in float32 or with float16 networks.
        x: two or more raw rows (n, ...) to capture the operations with; three are used.
        operations: the operations to export.

    Raises:
        TrainingError: an operator of the model has no ONNX form; the message names it.
    """
    feeds = graph_inputs(vae, x[:3], num_samples=2, seed=0)
    wanted = [operation for operation in feeds if operation in operations]
    sources = {each: exported_with(vae, each) for each in wanted}
    whole = {each: _export(vae, each, feeds[each]) for each in dict.fromkeys(sources.values())}
    return {each: _graph(whole[sources[each]], each, list(feeds[each]), output_names(vae, each)) for each in wanted}


def _export(vae: AnyVAE, operation: Operation, feeds: Mapping[str, Tensor]) -> Export:
    module, names = exported_module(vae.eval(), operation)
    return Export(module, feeds, names, {name: {0: "N", 1: "K"} if name == "eps" else {0: "N"} for name in feeds})


def _graph(whole: Export, operation: Operation, inputs: Sequence[str], outputs: Sequence[str]) -> ExportedGraph:
    model = whole.model(inputs, outputs)
    return ExportedGraph(
        FILES[operation],
        model.SerializeToString(deterministic=True),
        tuple(_signature(value) for value in model.graph.input),
        tuple(_signature(value) for value in model.graph.output),
    )


def _signature(value: onnx.ValueInfoProto) -> TensorSpec:
    shape = tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
    return TensorSpec.model_validate(
        {"name": value.name, "dtype": _DTYPES[value.type.tensor_type.elem_type], "shape": shape}
    )
