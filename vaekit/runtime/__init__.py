"""One loaded bundle as array functions on ONNX Runtime, CPU or CUDA. Knows arrays, not HTTP."""

from vaekit.runtime.model import Model
from vaekit.runtime.results import Decoded, Elbo, Posterior, Samples

__all__ = ["Decoded", "Elbo", "Model", "Posterior", "Samples"]
