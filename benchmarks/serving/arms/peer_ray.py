"""Serves the graph with Ray Serve: one replica, Ray's batching. Runs in its own virtual environment.

python -m benchmarks.serving.arms.peer_ray ELBO.onnx EPS.npy PORT
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.arms.graph import Graph

STORE = 100 * 2**20  # bytes of Ray's object store
MAX_REQUESTS = 256  # concurrent requests of a replica; the default of 5 is less than a batch


@serve.deployment(max_ongoing_requests=MAX_REQUESTS)
class Elbo:
    """{"inputs": rows} -> lists by name."""

    def __init__(self, path: str, eps: str) -> None:
        self.graph = Graph(path, eps)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]  # Ray is not installed where types are checked
    async def batched(self, x: list[NDArray[np.float64]]) -> list[dict[str, list[float]]]:
        return self.graph.each(x)

    async def __call__(self, request: Request) -> Any:
        if request.method == "GET":
            return {}  # readiness check, because Ray reports ready before the replica is ready
        return await self.batched(np.asarray((await request.json())["inputs"], dtype=np.float64))


def main(path: str, eps: str, port: int) -> None:
    """Serve until a signal, then end Ray's processes as well."""
    ray.init(num_cpus=1, object_store_memory=STORE, include_dashboard=False, _temp_dir=str(Path(eps).parent / "ray"))
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Elbo.bind(path, eps), route_prefix="/elbo")  # type: ignore[attr-defined]  # added by the decorator
    stopped = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stopped.set())
    stopped.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(Path.cwd())}
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
