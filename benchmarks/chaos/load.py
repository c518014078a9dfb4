"""Runs the reconnecting load in the background, while a caller disturbs the service."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.contenders import json_request
from benchmarks.serving.servers import LOAD_CORE, Request, run_pinned

CONNECTIONS = 32
REST = 1.5  # seconds of load before and after the disturbance; the load takes half a second to start
MAX_SECONDS = 600.0
OK = "200"


def one_row(key: str | None = None) -> Request:
    """One row of 30 columns for the committed model breast-cancer, as JSON."""
    row = json_request(np.ones((1, 30)))
    return Request(row.body, "/models/breast-cancer/elbo", key=key)


def disturbed(port: int, request: Request, disturb: Callable[[], None]) -> dict[str, Any]:
    """Result of the load on CONNECTIONS connections while `disturb` runs, and REST seconds before and after it.

    See `benchmarks.chaos.reconnecting` for the fields.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as beside:
        file = Path(folder) / "request.bin"
        file.write_bytes(request.wire())
        stop = Path(folder) / "stop"
        arguments = [str(port), str(file), str(CONNECTIONS), str(MAX_SECONDS), str(stop)]
        load = beside.submit(run_pinned, "chaos.reconnecting", arguments, core=LOAD_CORE)
        try:
            time.sleep(REST)
            disturb()
            time.sleep(REST)
        finally:
            stop.touch()
        return load.result()


def failed(result: dict[str, Any]) -> int:
    """Requests that were not answered with 200."""
    return sum(count for status, count in result["statuses"].items() if status != OK)


def answered(result: dict[str, Any]) -> int:
    """Requests that were answered with 200."""
    return int(result["statuses"].get(OK, 0))
