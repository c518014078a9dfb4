"""Compares the service with the graph alone and with an echo server, and measures the idle service."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import models, servers
from benchmarks.serving.contenders import Rows, check, echo, ours, require_all_answered
from benchmarks.serving.models import LARGE
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Request, Server, started

Answer = Callable[[], dict[str, Any]]

BULK_CONNECTIONS = 4
BULK_TARGETS = {512: 0.95, 64: 0.85}  # by rows per request: rows per second over those of the graph alone
LATENCY_TARGET, IDLE_TARGET, MEMORY_TARGET = 2.0, 0.2, 120.0  # times the echo, % of a core, MiB


def bulk(plan: Plan) -> Measured:
    """Rows per second of arrays over HTTP, against the graph alone on the same core."""
    figures = []
    for n, target in BULK_TARGETS.items():
        x = models.rows(LARGE)[:n]
        served = _measure_server(plan, ours(plan, LARGE, npy=True), BULK_CONNECTIONS, x)
        contenders: dict[str, Answer] = {"served": served, "alone": partial(plan.graph_alone, LARGE, x)}
        found = run_rounds(contenders, plan.rounds)
        rates = [n * run["requests_per_second"] for run in found["served"]]
        graph = [run["rows_per_second"] for run in found["alone"]]
        label = f"D = {LARGE.dims}, {n} rows of npy"
        shares = [a / b for a, b in zip(rates, graph, strict=True)]
        figures.append(Figure.of(f"{label}: vaekit / graph alone", shares, "times", target=target, better="higher"))
        figures.append(Figure.of(f"{label}: vaekit", rates, "rows/s"))
        figures.append(Figure.of(f"{label}: graph alone", graph, "rows/s"))
    return Measured(figures)


def latency(plan: Plan) -> Measured:
    """One connection, one row: the time that the service adds to the graph, relative to an echo of the same bytes."""
    x = models.rows(LARGE)[:1]
    server = ours(plan, LARGE)
    contenders: dict[str, Answer] = {
        "vaekit": _measure_server(plan, server, 1, x),
        "echo": partial(_measure_echo, plan, server.ask(x)),
        "graph": partial(plan.graph_alone, LARGE, x),
    }
    found = run_rounds(contenders, plan.rounds)
    p50 = {name: [1e6 * run["p50"] for run in runs] for name, runs in found.items()}
    added = [(a - g) / e for a, e, g in zip(p50["vaekit"], p50["echo"], p50["graph"], strict=True)]
    label = f"D = {LARGE.dims}, 1 connection, one row, p50"
    times = Figure.of(f"{label}: (vaekit - graph alone) / echo", added, "times", target=LATENCY_TARGET)
    return Measured([times, *(Figure.of(f"{label}: {name}", values, "us") for name, values in p50.items())])


def _measure_echo(plan: Plan, request: Request) -> dict[str, Any]:
    with started(echo()) as running:
        if running.ask(request) != request.body:
            raise SystemExit("the echo server returned other bytes than it received")
        return require_all_answered(running, running.load(request, 1, plan.seconds))


def _measure_server(plan: Plan, server: Server, connections: int, x: Rows) -> Answer:
    """A function that starts the server, checks its ELBO of x against the graph, and measures it under load."""

    def measure() -> dict[str, Any]:
        with started(server) as running:
            request = server.ask(x)
            check(running, request, plan.elbo(LARGE, x))
            return require_all_answered(running, running.load(request, connections, plan.seconds))

    return measure


def idle(plan: Plan) -> Measured:
    """CPU and memory of an idle service."""
    server = ours(plan, LARGE)
    with started(server) as running:
        running.ask(server.ask(models.rows(LARGE)[:1]))
        time.sleep(2.0)
        before, seconds = servers.cpu_seconds(running.pid), max(10.0, 6 * plan.seconds)
        time.sleep(seconds)
        share = 100 * (servers.cpu_seconds(running.pid) - before) / seconds
        memory = servers.proportional_bytes(running.pid) / 2**20
    return Measured(
        [
            Figure("idle: share of a core", share, "%", target=IDLE_TARGET),
            Figure("memory (PSS), two models", memory, "MiB", target=MEMORY_TARGET),
        ]
    )
