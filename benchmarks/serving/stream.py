"""Measures the latency of single rows while bulk requests stream in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import models
from benchmarks.serving.contenders import check, npy_request, ours, require_all_answered
from benchmarks.serving.models import LARGE
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Running, started

BATCH = 512  # rows of a full batch
BULK_ROWS, BULK_CONNECTIONS = 2_048, 2
RATE, CONNECTIONS = 50.0, 8  # single rows per second, evenly spaced; enough connections that no request waits
TARGET = 4.0  # for p99 of single rows, in times of one batch


def measure(plan: Plan) -> Measured:
    """p99 of single rows during a stream of bulk requests, in units of one full batch in the graph alone."""
    x = models.rows(LARGE)[:BATCH]
    found = run_rounds({"served": partial(_round, plan), "batch": partial(plan.graph_alone, LARGE, x)}, plan.rounds)
    batch = [run["p50"] for run in found["batch"]]
    tails = {name: [run[name]["seconds"]["200"]["p99"] for run in found["served"]] for name in ("idle", "streaming")}
    units = [tail / one for tail, one in zip(tails["streaming"], batch, strict=True)]
    added = [(a - b) / one for a, b, one in zip(tails["streaming"], tails["idle"], batch, strict=True)]
    rates = [BULK_ROWS * run["bulk"]["requests_per_second"] for run in found["served"]]
    label = f"one row of JSON beside {BULK_CONNECTIONS} x {BULK_ROWS} rows of npy"
    figures = [
        Figure.of(f"{label}: p99 / one batch of {BATCH}", units, "batches", target=TARGET),
        Figure.of(f"{label}: (p99 - p99 idle) / one batch", added, "batches"),
        Figure.of(f"one batch of {BATCH}, graph alone", [1e3 * one for one in batch], "ms"),
        *(Figure.of(f"one row of JSON, p99 {name}", [1e3 * one for one in tail], "ms") for name, tail in tails.items()),
        Figure.of("bulk rows meanwhile", rates, "rows/s"),
    ]
    return Measured(figures, {"rounds": found["served"]})


def _round(plan: Plan) -> dict[str, Any]:
    server, rows = ours(plan, LARGE), models.rows(LARGE)
    seconds = 4 * plan.seconds  # longer than other loads, because p99 needs many single rows
    with started(server) as running, ThreadPoolExecutor(1) as pool:
        check(running, server.ask(rows[:1]), plan.elbo(LARGE, rows[:1]))
        idle = _measure_single_rows(running, seconds)
        bulk = pool.submit(running.load, npy_request(rows[:BULK_ROWS]), BULK_CONNECTIONS, seconds + 2.0)
        streaming = _measure_single_rows(running, seconds)
        return {"idle": idle, "streaming": streaming, "bulk": require_all_answered(running, bulk.result())}


def _measure_single_rows(running: Running, seconds: float) -> dict[str, Any]:
    request = running.server.ask(models.rows(LARGE)[:1])
    return require_all_answered(running, running.load(request, CONNECTIONS, RATE, seconds, "even", loop="open_loop"))
