"""Serves the graph with LitServe: one worker, LitServe's batching. Runs in its own virtual environment.

python -m benchmarks.serving.arms.peer_litserve ELBO.onnx EPS.npy PORT
"""

from __future__ import annotations

import sys

import litserve
import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.arms.graph import Graph


class Elbo(litserve.LitAPI):  # type: ignore[misc]  # LitServe is not installed where types are checked
    """{"inputs": rows} -> lists by name."""

    files: tuple[str, str]

    def setup(self, device: str) -> None:  # noqa: ARG002  LitServe passes it
        self.graph = Graph(*self.files)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe would read an annotation as a query parameter
        return np.asarray(request["inputs"], dtype=np.float64)

    def batch(self, inputs: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        return inputs  # requests may have several rows; predict joins them

    def predict(self, x: list[NDArray[np.float64]]) -> list[dict[str, list[float]]]:
        return self.graph.each(x)

    def unbatch(self, output: list[dict[str, list[float]]]) -> list[dict[str, list[float]]]:
        return output

    def encode_response(self, output: dict[str, list[float]]) -> dict[str, list[float]]:
        return output


if __name__ == "__main__":
    api = Elbo(max_batch_size=32, batch_timeout=0.002, api_path="/elbo")
    api.files = (sys.argv[1], sys.argv[2])
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[3]), generate_client_file=False, log_level="warning")
