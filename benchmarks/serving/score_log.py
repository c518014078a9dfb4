"""Measures what the score log costs: requests per CPU second, and the latency of single rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import models
from benchmarks.serving.contenders import check, ours, require_all_answered
from benchmarks.serving.models import SMALL
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Server, started

CONNECTIONS = 32
TARGET = 0.95  # requests per second with the log over those without it
LOG = "score log"


@dataclass(frozen=True)
class Rate:
    """One load."""

    per_second: float
    per_cpu_second: float  # of the server, its thread that writes included
    p50: float  # ms
    p99: float  # ms


def measure(plan: Plan) -> Measured:
    """Single rows of JSON over 32 connections without the log, with it, and with payloads, in interleaved rounds."""
    off = ours(plan, SMALL)
    contenders = {
        "no log": off,
        LOG: _with(plan, off, "log"),
        f"{LOG} with payloads": _with(plan, off, "payloads", "VAE_SCORE_LOG_PAYLOADS=true"),
    }
    found = run_rounds({name: partial(_rate, plan, server) for name, server in contenders.items()}, plan.rounds)
    return Measured(_figures(found), {})


def _with(plan: Plan, server: Server, folder: str, *more: str) -> Server:
    return replace(server, command=("env", f"VAE_SCORE_LOG={plan.work / folder}", *more, *server.command))


def _rate(plan: Plan, server: Server) -> Rate:
    x = models.rows(SMALL)[:1]
    with started(server) as running:
        request = server.ask(x)
        check(running, request, plan.elbo(SMALL, x))
        found = require_all_answered(running, running.load_per_cpu_second(request, CONNECTIONS, plan.seconds))
    rates = found["requests_per_second"], found["requests_per_cpu_second"]
    return Rate(*rates, 1e3 * found["p50"], 1e3 * found["p99"])


def _figures(found: Mapping[str, list[Rate]]) -> list[Figure]:
    label, base = "D = 30, one row of JSON", found["no log"]
    figures = []
    for name, rates in found.items():
        figures.append(Figure.of(f"{label}: {name}", [rate.per_second for rate in rates], "requests/s"))
        figures.append(Figure.of(f"{label}: {name}, p50", [rate.p50 for rate in rates], "ms"))
        figures.append(Figure.of(f"{label}: {name}, p99", [rate.p99 for rate in rates], "ms"))
        if rates is base:
            continue
        for what in ("per_second", "per_cpu_second"):
            shares = [getattr(a, what) / getattr(b, what) for a, b in zip(rates, base, strict=True)]
            unit = "times" if what == "per_second" else "times, per CPU second"
            target = TARGET if (name, what) == (LOG, "per_second") else None
            figures.append(Figure.of(f"{label}: {name} / no log", shares, unit, target=target, better="higher"))
    return figures
