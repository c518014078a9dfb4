"""Honest single rows and probes beside hostile callers: latency, and the memory of all processes of the service."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chaos.service import server
from benchmarks.plan import Plan
from benchmarks.processes import ROOT
from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import servers
from benchmarks.serving.load import WARM_UP
from benchmarks.serving.servers import Request, Running, started

CASES: dict[str, tuple[str, str]] = {  # the case of the list of attacks: the module and the name of its callers
    "none": ("", ""),
    "header lines": ("serving.attacks", "header lines"),
    "trailers": ("serving.attacks", "trailers"),
    "one header value": ("serving.attacks", "one header value"),
    "one path": ("serving.attacks", "one path"),
    "500 connections that trickle": ("serving.attacks", "trickle"),
    "refused bodies": ("serving.attacks", "refused bodies"),
    "images": ("chaos.hostile_callers", "images"),
    "wrong images": ("chaos.hostile_callers", "wrong images"),
    "unread replies": ("chaos.hostile_callers", "unread replies"),
    "unknown keys": ("chaos.hostile_callers", "unknown keys"),
    "resets": ("chaos.hostile_callers", "resets"),
}
RETURNED = 10.0  # seconds after that; the service has returned freed memory by then
HONEST = (50.0, 8)  # single rows per second, and their connections
PROBES = 4.0  # per second, of each probe
SECONDS, ROUNDS = (8.0, 6.0), (2, 1)  # full, quick
SETTLE = 60.0  # seconds in which the idle process for large JSON must end; memory is measured again after that
FIGURES: dict[str, tuple[str, str, float | None]] = {  # the figures of a case: key, unit, target
    "honest rows not answered": ("failed", "requests", 0.0),
    "p50": ("p50", "ms", None),
    "p99": ("p99", "ms", 100.0),
    "slowest probe": ("probe", "ms", 1000.0),
    "memory before": ("before", "MiB", None),
    "peak of memory above that": ("peak", "MiB", None),
    "memory kept": ("kept", "MiB", 64.0),
}


def measure(plan: Plan) -> Measured:
    """For each case: p99 of honest rows, the slowest probe, the peak of memory, and what is kept."""
    seconds, rounds = plan.pick(*SECONDS), plan.pick(*ROUNDS)
    found = run_rounds({case: partial(_beside, case, seconds) for case in CASES}, rounds)
    figures: list[Figure] = []
    for case, runs in found.items():
        for name, (key, unit, target) in FIGURES.items():
            figures.append(Figure.of(f"{case}: {name}", [run[key] for run in runs], unit, target=target))
    return Measured(figures, found)


def _beside(case: str, seconds: float) -> dict[str, Any]:
    """What honest callers and probes see beside a case."""
    module, name = CASES[case]
    honest = Request(b'{"inputs": [%b]}' % str(np.ones(30).tolist()).encode(), "/models/breast-cancer/elbo").wire()
    probes = {path: f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() for path in ("/healthz", "/readyz")}
    with started(server(ROOT / "models", 5.0)) as running, ThreadPoolExecutor(4) as beside:
        _open_loop(running, honest, *HONEST, 2.0)
        before = memory(running)
        with peak(running) as highest:
            attacked = beside.submit(_attack, running, module, name, seconds + WARM_UP) if name else None
            probing = [beside.submit(_open_loop, running, one, PROBES, 2, seconds) for one in probes.values()]
            found = _open_loop(running, honest, *HONEST, seconds)
            slowest = max(_slowest(one.result()) for one in probing)
            statuses = None if attacked is None else attacked.result()
        kept = _settled(running) - before
    answered = found["seconds"].get("200", {"p50": float("inf"), "p99": float("inf")})
    failed = found["unanswered"] + sum(count for status, count in found["statuses"].items() if status != "200")
    return {
        "failed": failed,
        "p50": 1e3 * answered["p50"],
        "p99": 1e3 * answered["p99"],
        "probe": 1e3 * slowest,
        "before": before,
        "peak": max(highest) - before,
        "kept": kept,
        "hostile_statuses": statuses,
        "honest_statuses": found["statuses"],
    }


def _settled(running: Running) -> float:
    """MiB once the service has no other processes."""
    end = time.monotonic() + SETTLE
    while servers.children(running.pid) and time.monotonic() < end:
        time.sleep(0.5)
    time.sleep(RETURNED)
    return memory(running)


def _attack(running: Running, module: str, name: str, seconds: float) -> dict[str, Any]:
    return servers.run_pinned(module, [str(running.port), name, str(seconds)], core=servers.LOAD_CORE)


def _open_loop(running: Running, wire: bytes, rate: float, connections: int, seconds: float) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(wire)
        file.flush()
        arguments = [str(running.port), file.name, str(connections), str(rate), str(seconds), "even"]
        return servers.run_pinned("serving.open_loop", arguments, core=servers.LOAD_CORE)


def _slowest(found: dict[str, Any]) -> float:
    """Seconds of the slowest probe; infinite if one was not answered with 200."""
    if found["unanswered"] or set(found["statuses"]) != {"200"}:
        return float("inf")
    return float(found["seconds"]["200"]["p100"])


def memory(running: Running) -> float:
    """MiB of resident memory of the service and its processes."""
    total = 0
    for pid in (running.pid, *servers.children(running.pid)):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return total / 1024


@contextmanager
def peak(running: Running) -> Iterator[list[float]]:
    """Looks at the memory twenty times a second during the block."""
    seen, stop = [memory(running)], threading.Event()

    def look() -> None:
        while not stop.wait(0.05):
            with suppress(FileNotFoundError):
                seen.append(memory(running))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        stop.set()
        looking.join()
