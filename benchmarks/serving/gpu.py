"""Measures the utilisation of a GPU with nvidia-smi."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERVAL = 200  # milliseconds between two samples


@contextmanager
def gpu_utilisation(device: str) -> Iterator[dict[str, Any]]:
    """A dict that gets `busy` when the block ends: % of time in which the GPU ran a kernel. It stays empty on a CPU."""
    found: dict[str, Any] = {}
    if device == "cpu":
        yield found
        return
    index = device.partition(":")[2] or "0"
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    command = ["nvidia-smi", *query, f"--id={index}", f"--loop-ms={INTERVAL}"]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield found
    finally:
        watch.terminate()
        shares = [float(line) for line in watch.communicate()[0].split() if line.isdigit()]
        if shares:
            found["busy"] = statistics.median(shares)
