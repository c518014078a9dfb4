"""Measures the graph alone: InferenceSession.run in a loop, one thread, no server.

python -m benchmarks.serving.arms.raw ELBO.onnx EPS.npy ROWS.npy SECONDS
"""

from __future__ import annotations

import json
import statistics
import sys
from time import perf_counter

import numpy as np

from benchmarks.serving.arms.graph import OUTPUTS, Graph


def main(path: str, eps: str, source: str, seconds: float) -> None:
    """Print rows per second and the median seconds of a call."""
    graph, x = Graph(path, eps), np.load(source)
    feeds = graph.feeds(x)
    for _ in range(20):
        graph.session.run(OUTPUTS, feeds)
    taken, end = [], perf_counter() + seconds
    while (start := perf_counter()) < end:
        graph.session.run(OUTPUTS, feeds)
        taken.append(perf_counter() - start)
    found = {"rows_per_second": len(x) / statistics.mean(taken), "p50": statistics.median(taken)}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
