"""Compares the service with its peers: requests per second and latency of JSON bodies, by number of connections."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import models
from benchmarks.serving.contenders import (
    COMPILED,
    OURS,
    PLAIN,
    check,
    installed,
    json_request,
    ours,
    peers,
    plain,
    require_all_answered,
)
from benchmarks.serving.gpu import gpu_utilisation
from benchmarks.serving.models import LARGE, SMALL, Shape
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Server, started
from benchmarks.serving.sweep import Point

CONNECTIONS = 32  # number of connections at which contenders are compared
# Targets: requests per second over those of a peer and of plain torch, and p99 over that of the best other server.
PEER_TARGET, PLAIN_TARGET, TAIL_TARGET = 3.0, 5.0, 0.5
DEFAULT_K = f"{OURS}, its default K"


@dataclass(frozen=True)
class Load:
    """A number of connections, and of rows per request."""

    connections: int
    rows: int = 1


Found = dict[Load, dict[str, Any]]
ROW, ROWS = Load(CONNECTIONS), Load(CONNECTIONS, 8)


def measure(plan: Plan) -> Measured:
    """Measure D = 784 by number of connections, with one and eight rows per request, and D = 30 at CONNECTIONS only."""
    sweep = [Load(n) for n in plan.pick((1, 8, 32, 128), (8, 32))]
    found = _all(plan, LARGE, [*sweep, ROWS])
    figures = [*compared(LARGE, ROW, found), *compared(LARGE, ROWS, found)]
    if not plan.quick:
        figures += compared(SMALL, ROW, _all(plan, SMALL, [ROW]))
    servers = {name: runs for name, runs in found.items() if name != DEFAULT_K}
    points = [_point(name, load, runs) for name, runs in servers.items() for load in sweep]
    facts = {} if plan.peers is None else {"peers_installed": installed(plan.peers)}
    return Measured(figures, {"sweep": [asdict(point) for point in points], **facts})


def _all(plan: Plan, shape: Shape, loads: list[Load]) -> dict[str, list[Found]]:
    """The results by contender and round, then by load. A server is started once per round for all loads."""
    contending = [ours(plan, shape), plain(plan, shape), *peers(plan, shape)]
    contenders: dict[str, Callable[[], Found]] = {
        server.name: partial(measure_server, plan, shape, server, loads) for server in contending
    }
    with_default_k = Server(DEFAULT_K, contending[0].command, json_request, contending[0].elbo, contending[0].ready)
    contenders[DEFAULT_K] = partial(measure_server, plan, shape, with_default_k, [ROW], num_samples=None)
    return run_rounds(contenders, plan.rounds)


def measure_server(plan: Plan, shape: Shape, server: Server, loads: list[Load], **options: Any) -> Found:
    """Start the server; for each load check its ELBO against the graph, then measure it."""
    found = {}
    with started(server) as running:
        for load in loads:
            x = models.rows(shape)[: load.rows]
            check(running, request := server.ask(x), plan.elbo(shape, x, **options))
            with gpu_utilisation(plan.device) as utilisation:
                run = require_all_answered(running, running.load(request, load.connections, plan.seconds))
            found[load] = run | utilisation
    return found


def compared(shape: Shape, load: Load, found: dict[str, list[Found]]) -> list[Figure]:
    """Ratios of requests per second to each other server, and of p99 to the best other; then the underlying figures."""
    runs = {name: [run[load] for run in each] for name, each in found.items() if all(load in run for run in each)}
    rates = {name: [one["requests_per_second"] for one in each] for name, each in runs.items()}
    tails = {name: [1e3 * one["p99"] for one in each] for name, each in runs.items()}
    others = [name for name in runs if name not in (OURS, DEFAULT_K)]
    label = f"D = {shape.dims}, {load.rows} row{'s' if load.rows > 1 else ''}, {load.connections} connections"
    best = [min(each) for each in zip(*(tails[name] for name in others), strict=True)]
    return [
        *(
            _ratio_figure(f"{label}: {OURS} / {name}", rates[OURS], rates[name], _target(shape, load, name))
            for name in others
        ),
        Figure.of(f"{label}: p99, {OURS} / the best other", _ratios(tails[OURS], best), "times", target=TAIL_TARGET),
        *(Figure.of(f"{label}: {name}", values, "requests/s") for name, values in rates.items()),
        *(Figure.of(f"{label}: {name}, p99", values, "ms") for name, values in tails.items()),
        *(
            Figure.of(f"{label}: {name}, GPU busy", [one["busy"] for one in each], "%")
            for name, each in runs.items()
            if all("busy" in one for one in each)
        ),
    ]


def _ratio_figure(name: str, ours: list[float], other: list[float], target: float | None) -> Figure:
    return Figure.of(name, _ratios(ours, other), "times", target=target, better="higher")


def _ratios(ours: list[float], other: list[float]) -> list[float]:
    """The ratio in each round."""
    return [a / b for a, b in zip(ours, other, strict=True)]


def _target(shape: Shape, load: Load, name: str) -> float | None:
    if name in (PLAIN, COMPILED) and shape is LARGE:
        return PLAIN_TARGET
    return PEER_TARGET if load.rows == 1 else None


def _point(name: str, load: Load, runs: list[Found]) -> Point:
    middle = {key: statistics.median(run[load][key] for run in runs) for key in ("requests_per_second", "p50", "p99")}
    return Point(name, load.connections, middle["requests_per_second"], 1e3 * middle["p50"], 1e3 * middle["p99"])
