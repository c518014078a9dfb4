"""A torch module as an ONNX Runtime session, for tests of single functions, likelihoods and networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnxruntime
from torch import Tensor, nn

from vaekit_training.export import Export


def exported_session(
    module: nn.Module, feeds: Mapping[str, Tensor], outputs: Sequence[str], free: Mapping[str, Mapping[int, str]]
) -> onnxruntime.InferenceSession:
    """The module's graph, loaded; free says which axes of each input are "N" or "K"."""
    model = Export(module, feeds, outputs, free).model(list(feeds), outputs)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
