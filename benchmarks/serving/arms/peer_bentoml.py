"""Serves the graph with BentoML: one worker, BentoML's batching. Runs in its own virtual environment.

python -m benchmarks.serving.arms.peer_bentoml ELBO.onnx EPS.npy PORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bentoml
import numpy as np

from benchmarks.serving.arms.graph import Graph

GRAPH, EPS = "ELBO_GRAPH", "ELBO_EPS"  # environment variables, because BentoML creates the service in another process


@bentoml.service(workers=1)
class Elbo:
    """{"x": rows} -> one array with the four outputs per row, because only one array can be batched."""

    def __init__(self) -> None:
        self.graph = Graph(os.environ[GRAPH], os.environ[EPS])

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=32)  # type: ignore[untyped-decorator]  # BentoML is not typed
    def elbo(self, x: np.ndarray) -> np.ndarray:  # BentoML reads these types
        return np.stack(list(self.graph(x.astype(np.float64, copy=False)).values()), axis=1)


if __name__ == "__main__":
    path, eps, port = sys.argv[1:]
    more = {GRAPH: path, EPS: eps, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(Path(eps).parent)}
    command = [sys.executable, "-m", "bentoml", "serve", "benchmarks.serving.arms.peer_bentoml:Elbo"]
    os.execve(sys.executable, [*command, "--host", "127.0.0.1", "--port", port], {**os.environ, **more})
