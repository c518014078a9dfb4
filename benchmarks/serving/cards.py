"""How busy a card is. Knows nvidia-smi, not what keeps the card busy."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EVERY = 200  # milliseconds between two looks


@contextmanager
def watching(device: str) -> Iterator[dict[str, Any]]:
    """In the end, as `busy`, the share of the time in which the card had a kernel to run, %; on a CPU nothing."""
    found: dict[str, Any] = {}
    if device == "cpu":
        yield found
        return
    index = device.partition(":")[2] or "0"
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    looks = ["nvidia-smi", *query, f"--id={index}", f"--loop-ms={EVERY}"]
    watch = subprocess.Popen(looks, stdout=subprocess.PIPE, text=True)
    try:
        yield found
    finally:
        watch.terminate()
        shares = [float(line) for line in watch.communicate()[0].split() if line.isdigit()]
        if shares:
            found["busy"] = statistics.median(shares)
