"""Stops the service with SIGTERM under load, again and again, and counts requests that get no answer."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import Any

from benchmarks.chaos.load import CONNECTIONS, answered, disturbed, failed, one_row
from benchmarks.chaos.service import server
from benchmarks.plan import Plan
from benchmarks.processes import ROOT
from benchmarks.report import Figure, Measured
from benchmarks.serving.servers import started

STOPS = (20, 3)  # full, quick
DEADLINE = 30.0  # seconds until the process must have ended


def measure(plan: Plan) -> Measured:
    """Count requests that were sent on an open connection and not answered with 200."""
    results: list[dict[str, Any]] = []
    seconds: list[float] = []
    for _ in range(plan.pick(*STOPS)):
        with started(server(ROOT / "models", poll_seconds=5)) as running:
            stop = partial(_stop, running.pid, seconds)
            results.append(disturbed(running.port, one_row(), stop))
    figures = [
        Figure("stops: requests failed", sum(map(failed, results)), "requests", target=0.0),
        Figure("stops: requests answered", sum(map(answered, results)), "requests"),
        Figure("stops: SIGTERM under load", len(results), "times"),
        Figure.of("stops: from SIGTERM to the end of the process", seconds, "s"),
    ]
    return Measured(figures, {"connections": CONNECTIONS, "results": results})


def _stop(pid: int, seconds: list[float]) -> None:
    """Send SIGTERM, and append the seconds until the process has ended.

    Raises:
        SystemExit: it has not ended in time.
    """
    start = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    while time.monotonic() < start + DEADLINE:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            seconds.append(time.monotonic() - start)
            return
        time.sleep(0.01)
    raise SystemExit(f"the process did not end within {DEADLINE:g} s after SIGTERM")
