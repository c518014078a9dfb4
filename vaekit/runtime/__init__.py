"""Runs the operations of a bundle on arrays, with ONNX Runtime on a CPU or a CUDA device."""

from vaekit.runtime.explain.explanation import heatmap
from vaekit.runtime.model import Model
from vaekit.runtime.results import Bound, Decoded, Elbo, Explained, Posterior, Samples, Similar

__all__ = ["Bound", "Decoded", "Elbo", "Explained", "Model", "Posterior", "Samples", "Similar", "heatmap"]
