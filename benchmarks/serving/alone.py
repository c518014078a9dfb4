"""Compares the service with the graph alone and with an echo server, and measures it idle."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.report import Figure, Measured, in_turns
from benchmarks.serving import models, servers
from benchmarks.serving.contenders import Rows, answered, check, echo, ours
from benchmarks.serving.models import LARGE
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Request, Server, started

Answer = Callable[[], dict[str, Any]]

BULK_CONNECTIONS = 4
OF_THE_GRAPH = {512: 0.95, 64: 0.85}  # by rows of a request
ECHOES, IDLE, MEMORY = 2.0, 0.2, 120.0  # times, % of a core, MiB


def bulk(plan: Plan) -> Measured:
    """Rows per second of arrays over HTTP, against the graph alone on the same core."""
    figures = []
    for n, target in OF_THE_GRAPH.items():
        x = models.rows(LARGE)[:n]
        served = _loaded(plan, ours(plan, LARGE, npy=True), BULK_CONNECTIONS, x)
        contenders: dict[str, Answer] = {"served": served, "alone": partial(plan.alone, LARGE, x)}
        found = in_turns(contenders, plan.rounds)
        rates = [n * run["requests_per_second"] for run in found["served"]]
        graph = [run["rows_per_second"] for run in found["alone"]]
        label = f"D = {LARGE.dims}, {n} rows of npy"
        shares = [a / b for a, b in zip(rates, graph, strict=True)]
        figures.append(Figure.of(f"{label}: vaekit / graph alone", shares, "times", target=target, better="higher"))
        figures.append(Figure.of(f"{label}: vaekit", rates, "rows/s"))
        figures.append(Figure.of(f"{label}: graph alone", graph, "rows/s"))
    return Measured(figures)


def latency(plan: Plan) -> Measured:
    """One connection, one row: the time added to the graph's own, in units of an echo of the same bytes."""
    x = models.rows(LARGE)[:1]
    server = ours(plan, LARGE)
    contenders: dict[str, Answer] = {
        "vaekit": _loaded(plan, server, 1, x),
        "echo": partial(_echoed, plan, server.ask(x)),
        "graph": partial(plan.alone, LARGE, x),
    }
    found = in_turns(contenders, plan.rounds)
    p50 = {name: [1e6 * run["p50"] for run in runs] for name, runs in found.items()}
    added = [(a - g) / e for a, e, g in zip(p50["vaekit"], p50["echo"], p50["graph"], strict=True)]
    label = f"D = {LARGE.dims}, 1 connection, one row, p50"
    times = Figure.of(f"{label}: (vaekit - graph alone) / echo", added, "times", target=ECHOES)
    return Measured([times, *(Figure.of(f"{label}: {name}", values, "us") for name, values in p50.items())])


def _echoed(plan: Plan, request: Request) -> dict[str, Any]:
    with started(echo()) as running:
        if running.ask(request) != request.body:
            raise SystemExit("the echo returns other bytes than it received")
        return answered(running, running.load(request, 1, plan.seconds))


def _loaded(plan: Plan, server: Server, connections: int, x: Rows) -> Answer:
    """Start the server, check its ELBO of x against the graph, and load it."""

    def measure() -> dict[str, Any]:
        with started(server) as running:
            request = server.ask(x)
            check(running, request, plan.elbo(LARGE, x))
            return answered(running, running.load(request, connections, plan.seconds))

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
            Figure("idle: share of a core", share, "%", target=IDLE),
            Figure("memory (PSS), two models", memory, "MiB", target=MEMORY),
        ]
    )
