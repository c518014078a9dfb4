"""Runs the model's graph with ONNX Runtime on rows in memory; nothing is read, checked or written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pyarrow import parquet

from benchmarks.scoring.arms.common import Stopwatch, parse_arguments, print_result
from vaekit.bundle import default_eps

CHUNKS = (64, 128, 256, 512, 1024, 4096)  # candidates for the rows of a call; the fastest is used
TRIED_ON = 8_192  # rows


def main() -> None:
    """Run, print."""
    arguments = parse_arguments()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    graphs = [arguments.bundle / name for name in ("bound.onnx", "elbo.onnx")]  # the first that exists is used
    graph = next(path for path in graphs if path.exists())
    session = onnxruntime.InferenceSession(str(graph), options, ["CPUExecutionProvider"])
    eps = default_eps(np.load(arguments.bundle / "noise.npy"), arguments.num_samples).astype(np.float32)  # (K, Z)
    files = sorted(arguments.source.glob("*.parquet"))
    x = np.concatenate([np.column_stack([c.to_numpy() for c in parquet.read_table(f).columns]) for f in files])
    chunk = min(CHUNKS, key=lambda size: _seconds(session, x[:TRIED_ON], eps, size))
    print_result(len(x), _seconds(session, x, eps, chunk), chunk=chunk)


def _seconds(session: Any, x: NDArray[np.float64], eps: NDArray[np.float32], chunk: int) -> float:
    draws = np.ascontiguousarray(np.broadcast_to(eps, (chunk, *eps.shape)))  # (chunk, K, Z)
    with Stopwatch() as wall:
        for part in _parts(x, chunk):
            session.run(["elbo", "log_likelihood", "kl"], {"x": part, "eps": draws[: len(part)]})
    return wall.seconds


def _parts(x: NDArray[np.float64], chunk: int) -> Iterator[NDArray[np.float64]]:
    return (x[at : at + chunk] for at in range(0, len(x), chunk))


if __name__ == "__main__":
    main()
