"""Serves the graph with MLServer: Open Inference Protocol, one process, adaptive batching. Runs in its own venv.

python -m benchmarks.serving.arms.peer_mlserver ELBO.onnx EPS.npy PORT
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.arms.graph import Graph


class Elbo(MLModel):  # type: ignore[misc]  # MLServer is not installed where types are checked
    """A tensor x of rows -> a tensor for each output."""

    async def load(self) -> bool:
        self.graph = Graph(**self.settings.parameters.extra)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float64, copy=False)
        outputs = [NumpyCodec.encode_output(name, values) for name, values in self.graph(x).items()]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)


async def serve(path: str, eps: str, port: int) -> None:
    """Serve until a signal. The gRPC and metrics servers use any free ports."""
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=_free(),
        metrics_port=_free(),
        parallel_workers=0,
        gzip_enabled=False,
        debug=False,
    )
    extra: dict[str, Any] = {"path": path, "eps": eps}
    model = ModelSettings(
        name="vae",
        implementation=Elbo,
        max_batch_size=32,
        max_batch_time=0.002,
        parameters=ModelParameters(version="1", extra=extra),
    )
    await MLServer(settings).start([model])


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
