"""Measures latency, replies and refusals at fixed request rates below and above the service's peak.

Above the peak, a request has 64 rows of npy instead of one row of JSON. The limits of the queue are in rows and bytes,
and only such requests reach them with the number of connections that a load generator on one core can handle.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import models
from benchmarks.serving.contenders import check, ours, require_all_answered
from benchmarks.serving.models import LARGE
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Request, Running, started

SHARES = (0.5, 0.8, 1.2)  # of the peak
OVERLOAD, GOODPUT_TARGET = 2.0, 0.9  # request rate, and target for 200s per second, both in multiples of the peak
PEAK_CONNECTIONS, CONNECTIONS = 32, 512
HEAVY_ROWS = 64
EXPECTED = ("200", "429")  # statuses of a service that works under overload


def measure(plan: Plan) -> Measured:
    """Measure shares of the peak with single rows, then twice the peak with heavier requests."""
    runs = run_rounds({"vaekit": partial(_round, plan)}, plan.rounds)["vaekit"]
    figures = [Figure.of("JSON of one row, peak", [run["peak"] for run in runs], "requests/s")]
    for share in SHARES:
        figures += _of_share(f"JSON of one row, {share:.0%} of the peak", [run[str(share)] for run in runs])
    figures += _of_overload([run["heavy"] for run in runs], [run["heavy_peak"] for run in runs])
    return Measured(figures, {"rounds": runs})


def _round(plan: Plan) -> dict[str, Any]:
    """Results of one round: peaks in a closed loop, and replies at the fixed rates."""
    single, heavy = ours(plan, LARGE), ours(plan, LARGE, npy=True)
    one, many = models.rows(LARGE)[:1], models.rows(LARGE)[:HEAVY_ROWS]
    with started(single) as running:
        check(running, request := single.ask(one), plan.elbo(LARGE, one))
        found: dict[str, Any] = {"peak": _peak(plan, running, request)}
        for share in SHARES:
            found[str(share)] = _offered(plan, running, request, share * found["peak"])
    with started(heavy) as running:
        check(running, request := heavy.ask(many), plan.elbo(LARGE, many))
        found["heavy_peak"] = _peak(plan, running, request)
        found["heavy"] = _offered(plan, running, request, OVERLOAD * found["heavy_peak"])
    return found


def _peak(plan: Plan, running: Running, request: Request) -> float:
    return float(
        require_all_answered(running, running.load(request, PEAK_CONNECTIONS, plan.seconds))["requests_per_second"]
    )


def _offered(plan: Plan, running: Running, request: Request, rate: float) -> dict[str, Any]:
    return running.load(request, CONNECTIONS, rate, plan.seconds, "poisson", loop="open_loop")


def _of_share(label: str, runs: list[dict[str, Any]]) -> list[Figure]:
    return [
        *(Figure.of(f"{label}: {q}", [_milliseconds(run, "200", q) for run in runs], "ms") for q in ("p50", "p99")),
        *(Figure.of(f"{label}: {status}s", [_percent(run, [status]) for run in runs], "%") for status in EXPECTED),
    ]


def _of_overload(runs: list[dict[str, Any]], peaks: list[float]) -> list[Figure]:
    label = f"npy of {HEAVY_ROWS} rows, {OVERLOAD:g} times the peak"
    over = [run["goodput_per_second"] / peak for run, peak in zip(runs, peaks, strict=True)]
    neither = [100 - _percent(run, EXPECTED) for run in runs]
    seen = [status for status in EXPECTED if all(status in run["seconds"] for run in runs)]
    return [
        Figure.of(f"{label}: 200s per second / peak", over, "times", target=GOODPUT_TARGET, better="higher"),
        Figure.of(f"{label}: neither 200 nor 429", neither, "%", target=0.0),
        Figure.of(f"{label}: 429s", [_percent(run, ["429"]) for run in runs], "%"),
        *(Figure.of(f"{label}: p99 of {s}s", [_milliseconds(run, s, "p99") for run in runs], "ms") for s in seen),
        Figure.of(f"npy of {HEAVY_ROWS} rows, peak", peaks, "requests/s"),
    ]


def _percent(run: dict[str, Any], statuses: Sequence[str]) -> float:
    """The percentage of due requests answered with one of the statuses."""
    counts: dict[str, int] = run["statuses"]
    due: int = sum(counts.values()) + run["unanswered"]
    return 100 * sum(counts.get(status, 0) for status in statuses) / due


def _milliseconds(run: dict[str, Any], status: str, quantile: str) -> float:
    return 1e3 * float(run["seconds"][status][quantile])
