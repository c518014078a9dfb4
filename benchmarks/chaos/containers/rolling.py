"""Restarts and kills replicas behind nginx under load, and counts what callers notice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from benchmarks.chaos.containers.stack import Stack, docker, running
from benchmarks.chaos.load import CONNECTIONS, answered, disturbed, failed, one_row
from benchmarks.plan import Plan
from benchmarks.report import Figure, Measured

REPLICAS = 3
ROUNDS = (5, 1)  # full, quick; rolling restarts of all replicas
KILLS = (5, 1)
GRACE = 40  # seconds, as stop_grace_period of docker-compose.yml
PORT = 18080


def measure(plan: Plan) -> Measured:
    """Count failed requests while every replica is restarted, one after the other, and while replicas are killed."""
    with running(plan.work / "stack", REPLICAS, ["nginx"], PORT) as stack:
        restarts = [_under_load(stack, _restart_all) for _ in range(plan.pick(*ROUNDS))]
        kills = [_under_load(stack, _kill_one) for _ in range(plan.pick(*KILLS))]
    figures = [
        *_figures("rolling restart of 3 replicas behind nginx", restarts, most_failed=0),
        # A reply whose head has been passed on cannot be asked for again.
        *_figures("kill -9 of one of 3 replicas behind nginx", kills, most_failed=CONNECTIONS * len(kills)),
    ]
    return Measured(figures, {"restarts": restarts, "kills": kills})


def _under_load(stack: Stack, disturb: Callable[[Stack], None]) -> dict[str, Any]:
    """The load's result, which lasts until the replicas are disturbed and ready again."""
    return disturbed(stack.port, one_row(stack.key), lambda: disturb(stack))


def _restart_all(stack: Stack) -> None:
    for container in stack.containers("service"):
        docker("restart", "--time", str(GRACE), container)
        stack.wait_until_ready(container)


def _kill_one(stack: Stack) -> None:
    container = stack.containers("service")[0]
    kill_process(container)
    stack.wait_until_ready(container)


def kill_process(container: str) -> None:
    """Kill the first process of a container, and so all of them, as the kernel does when memory runs out.

    `docker kill` would count as a stop by hand, after which no restart policy applies.
    """
    os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", container)), signal.SIGKILL)


def _figures(name: str, results: list[dict[str, Any]], most_failed: int) -> list[Figure]:
    return [
        Figure(f"{name}: requests failed", sum(map(failed, results)), "requests", target=float(most_failed)),
        Figure(f"{name}: requests answered", sum(map(answered, results)), "requests"),
        Figure(f"{name}: rounds", len(results), "rounds"),
        Figure.of(f"{name}: p99", [1e3 * one["p99"] for one in results], "ms"),
        Figure.of(f"{name}: longest time without any answer", [1e3 * one["longest_gap"] for one in results], "ms"),
    ]
