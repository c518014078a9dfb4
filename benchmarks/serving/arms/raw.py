"""The graph alone: InferenceSession.run in a loop, one thread, no server.

python -m benchmarks.serving.arms.raw BUNDLE ROWS.npy N K SECONDS
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from vaekit.runtime import Model


def main(bundle: str, source: str, n: int, num_samples: int, seconds: float) -> None:
    """Print rows a second and the median seconds of a call."""
    with Model.load(Path(bundle), device="cpu", threads=1) as model:
        graph = model.graphs["elbo"]
        session, names = graph.native, graph.outputs  # what is measured is that, and nothing around it
        x = np.load(source)[:n]
        eps = np.repeat(model.draws(num_samples)[None], n, axis=0)  # (N, K, Z)
        feeds = {"x": x, "eps": eps}
        for _ in range(20):
            session.run(names, feeds)
        taken, end = [], perf_counter() + seconds
        while (start := perf_counter()) < end:
            session.run(names, feeds)
            taken.append(perf_counter() - start)
    found = {"rows_per_second": n / statistics.mean(taken), "p50": statistics.median(taken)}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
