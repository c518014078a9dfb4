"""Measures the memory of a container at rest and under three loads, to size its limit."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.chaos.containers.single import PORT, running
from benchmarks.chaos.containers.stack import docker
from benchmarks.chaos.load import answered, disturbed, one_row
from benchmarks.plan import Plan
from benchmarks.report import Figure, Measured
from benchmarks.serving.servers import Request

SECONDS = (15.0, 3.0)  # full, quick; of each load
ROWS = 10_000  # of a large request: VAE_MAX_ROWS
# Largest memory of a control group so far, tmpfs included, in version 2 and in version 1.
PEAKS = "cat /sys/fs/cgroup/memory.peak 2>/dev/null || cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes"


def measure(plan: Plan) -> Measured:
    """The largest memory of a new container for each load."""
    rng = np.random.default_rng(0)
    loads = {
        "one row per request": one_row(),
        f"{ROWS:,} rows of 30 columns per request": _large("breast-cancer", rng.random((ROWS, 30)).round(4)),
        f"{ROWS:,} images of 8 x 8 x 1 per request, as nested JSON": _large(
            "digits", rng.integers(0, 256, (ROWS, 8, 8, 1))
        ),
    }
    figures: list[Figure] = []
    facts: dict[str, Any] = {}
    for name, request in loads.items():
        with running("--env", "VAE_THREADS=1") as container:
            figures += [] if figures else [Figure("memory of a container at rest", _peak(container), "MiB")]
            facts[name] = disturbed(PORT, request, partial(time.sleep, plan.pick(*SECONDS)))
            if not answered(facts[name]):
                raise SystemExit(f"memory of a container, {name}: no request was answered")
            figures.append(Figure(f"memory of a container, {name}", _peak(container), "MiB"))
    return Measured(figures, {"loads": facts})


def _large(model: str, values: NDArray[Any]) -> Request:
    """A request with these rows, as JSON."""
    return Request(json.dumps({"inputs": values.tolist()}).encode(), f"/models/{model}/elbo")


def _peak(container: str) -> float:
    """MiB."""
    return int(docker("exec", container, "sh", "-c", PEAKS)) / 2**20
