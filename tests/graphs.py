"""Exports a torch module to an ONNX Runtime session, for tests of single functions, likelihoods and networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnxruntime
from torch import Tensor, nn

from vaekit_training.export import Export


def exported_session(
    module: nn.Module,
    feeds: Mapping[str, Tensor],
    outputs: Sequence[str],
    axis_names: Mapping[str, Mapping[int, str]],
) -> onnxruntime.InferenceSession:
    """The loaded graph of a module. axis_names has, for each input, the names of its variable axes: "N" or "K"."""
    model = Export(module, feeds, outputs, axis_names).model(list(feeds), outputs)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
