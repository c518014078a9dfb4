"""The service beside others and beside the graph alone, in one command.

    python -m benchmarks.serving [--quick] [--only PART ...] --out build/benchmarks/serving.json

The server has one core and the load another. Every contender serves the same weights with two draws a row, rounds are
interleaved, and before it is measured each must give the ELBO that the graph gives.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.report import Figure, in_turns, publish
from benchmarks.serving import models, servers
from benchmarks.serving.models import LARGE, SMALL, Shape
from benchmarks.serving.servers import Running, Server, started
from vaekit.client.wire import NPY_TYPE
from vaekit.runtime import Model

K = 2
CONNECTIONS, BULK_CONNECTIONS = 32, 4
PACKAGES = ["fastapi", "starlette", "uvicorn", "torch", "onnxruntime", "numpy"]
RELATIVE, ABSOLUTE = 1e-4, 1e-2  # float32 sums of 784 terms, in another order
TIMES_AS_PLAIN = 5.0
OF_THE_GRAPH = {512: 0.95, 64: 0.85}  # by rows of a request
ECHOES, IDLE, MEMORY = 2.0, 0.2, 120.0  # times, % of a core, MiB


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float
    work: Path

    @cached_property
    def bundles(self) -> dict[Shape, Path]:
        return {shape: models.make(shape, self.work) for shape in (SMALL, LARGE)}


def vaekit(plan: Plan, shape: Shape, body: bytes, **more: Any) -> Server:
    """`vae serve` with one thread a call."""
    assert plan.bundles
    command = (sys.executable, "-m", "vaekit", "serve", "--models", str(plan.work / "models"), "--port", "PORT")
    flags = ("--device", "cpu", "--threads", "1", "--log-level", "error", "--default-model", shape.name)
    return Server("vaekit", (*command, *flags), body, ready="/readyz", **more)


def plain(plan: Plan, shape: Shape, body: bytes) -> Server:
    assert plan.bundles
    weights = str(plan.work / f"{shape.name}.npz")
    command = (sys.executable, "-m", "benchmarks.serving.arms.plain", weights, "PORT", str(K))
    return Server("FastAPI + torch", command, body)


def echo(body: bytes) -> Server:
    command = (sys.executable, "-m", "benchmarks.serving.arms.echo", "PORT")
    return Server("echo", command, body, content_type="application/octet-stream")


def json_body(x: NDArray[np.float64], **options: int) -> bytes:
    return json.dumps({"inputs": x.tolist(), **options}).encode()


def npy_body(x: NDArray[np.float64]) -> bytes:
    out = io.BytesIO()
    np.save(out, x)
    return out.getvalue()


def check(running: Running, plan: Plan, shape: Shape, x: NDArray[np.float64]) -> None:
    """Refuse to measure a server that says something else than the graph."""
    with Model.load(plan.bundles[shape], device="cpu", threads=1) as model:
        want = model.elbo(x, num_samples=K).elbo
    got = np.array(servers.elbo_of(running))
    if got.shape != want.shape or not np.allclose(got, want, RELATIVE, ABSOLUTE):
        raise SystemExit(f"{running.server.name} gives {got[:3]}, where the graph gives {want[:3]}")


def single(plan: Plan) -> list[Figure]:
    """One row of JSON a request, at both widths, against a server as it is written first."""
    figures = []
    for shape in (SMALL, LARGE):
        x = models.rows(shape)[:1]
        contending = (vaekit(plan, shape, json_body(x, num_samples=K)), plain(plan, shape, json_body(x)))
        contenders = {server.name: _loaded(plan, server, CONNECTIONS, shape, x) for server in contending}
        found = in_turns(contenders, plan.rounds)
        label = f"D = {shape.dims}, {CONNECTIONS} connections, one row"
        target = TIMES_AS_PLAIN if shape is LARGE else None
        pairs = list(zip(found["vaekit"], found["FastAPI + torch"], strict=True))
        times = [a["requests_per_second"] / b["requests_per_second"] for a, b in pairs]
        figures.append(Figure.of(f"{label}: vaekit / FastAPI + torch", times, "times", target=target, better="higher"))
        tails = [a["p99"] / b["p99"] for a, b in pairs]
        figures.append(Figure.of(f"{label}: p99, vaekit / FastAPI + torch", tails, "times"))
        for name, runs in found.items():
            figures.append(Figure.of(f"{label}: {name}", [run["requests_per_second"] for run in runs], "requests/s"))
            figures.append(Figure.of(f"{label}: {name}, p99", [1e3 * run["p99"] for run in runs], "ms"))
    return figures


def _loaded(
    plan: Plan, server: Server, connections: int, shape: Shape, x: NDArray[np.float64]
) -> Callable[[], dict[str, Any]]:
    """Start the server, see that it gives the graph's ELBO of x, load it."""

    def measure() -> dict[str, Any]:
        with started(server) as running:
            check(running, plan, shape, x)
            return answered(running.load(plan.work, connections, plan.seconds))

    return measure


def _alone(plan: Plan, shape: Shape, x: NDArray[np.float64]) -> Callable[[], dict[str, Any]]:
    """Run the graph on x without a server, on the server's core."""
    source = plan.work / f"{shape.name}-{len(x)}-rows.npy"
    np.save(source, x)
    arguments = [str(plan.bundles[shape]), str(source), str(len(x)), str(K), str(plan.seconds)]
    return partial(servers.ask, "benchmarks.serving.arms.raw", arguments, core=servers.SERVER_CORE)


def answered(found: dict[str, Any]) -> dict[str, Any]:
    if set(found["statuses"]) != {"200"}:
        raise SystemExit(f"not every request was answered: {found['statuses']}")
    return found


def bulk(plan: Plan) -> list[Figure]:
    """Rows a second of arrays over HTTP, against the graph alone on the same core."""
    figures = []
    for n, target in OF_THE_GRAPH.items():
        x = models.rows(LARGE)[:n]
        ours = vaekit(plan, LARGE, npy_body(x), content_type=NPY_TYPE, accept=NPY_TYPE, path=f"/elbo?num_samples={K}")
        contenders = {"served": _loaded(plan, ours, BULK_CONNECTIONS, LARGE, x), "alone": _alone(plan, LARGE, x)}
        found = in_turns(contenders, plan.rounds)
        rates = [n * run["requests_per_second"] for run in found["served"]]
        graph = [run["rows_per_second"] for run in found["alone"]]
        label = f"D = {LARGE.dims}, {n} rows of npy"
        shares = [a / b for a, b in zip(rates, graph, strict=True)]
        figures.append(Figure.of(f"{label}: vaekit / graph alone", shares, "times", target=target, better="higher"))
        figures.append(Figure.of(f"{label}: vaekit", rates, "rows/s"))
        figures.append(Figure.of(f"{label}: graph alone", graph, "rows/s"))
    return figures


def latency(plan: Plan) -> list[Figure]:
    """One connection, one row: what is added to the graph's own time, in echoes of the same bytes."""
    x = models.rows(LARGE)[:1]
    body = json_body(x, num_samples=K)

    def echoed() -> dict[str, Any]:
        with started(echo(body)) as running:
            if running.ask() != body:
                raise SystemExit("the echo gives something else than it got")
            return answered(running.load(plan.work, 1, plan.seconds))

    ours = _loaded(plan, vaekit(plan, LARGE, body), 1, LARGE, x)
    found = in_turns({"vaekit": ours, "echo": echoed, "graph": _alone(plan, LARGE, x)}, plan.rounds)
    p50 = {name: [1e6 * run["p50"] for run in runs] for name, runs in found.items()}
    added = [(a - g) / e for a, e, g in zip(p50["vaekit"], p50["echo"], p50["graph"], strict=True)]
    label = f"D = {LARGE.dims}, 1 connection, one row, p50"
    return [
        Figure.of(f"{label}: (vaekit - graph alone) / echo", added, "times", target=ECHOES),
        *(Figure.of(f"{label}: {name}", values, "us") for name, values in p50.items()),
    ]


def idle(plan: Plan) -> list[Figure]:
    """What a service that nobody asks anything costs."""
    with started(vaekit(plan, LARGE, json_body(models.rows(LARGE)[:1], num_samples=K))) as running:
        running.ask()
        time.sleep(2.0)
        before, seconds = servers.cpu_seconds(running.pid), max(10.0, 6 * plan.seconds)
        time.sleep(seconds)
        share = 100 * (servers.cpu_seconds(running.pid) - before) / seconds
        memory = servers.proportional_bytes(running.pid) / 2**20
    return [
        Figure("idle: share of a core", share, "%", target=IDLE),
        Figure("memory (PSS), two models", memory, "MiB", target=MEMORY),
    ]


PARTS: dict[str, Callable[[Plan], list[Figure]]] = {"single": single, "bulk": bulk, "latency": latency, "idle": idle}


def main(arguments: Sequence[str]) -> None:
    """Measure part by part, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/serving.json"))
    options = parser.parse_args(arguments)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as work:
        plan = Plan(rounds=2 if options.quick else 5, seconds=2.0 if options.quick else 5.0, work=Path(work))
        try:
            for name in options.only or PARTS:
                Console(stderr=True).print(f"{name} ...", highlight=False)
                figures += PARTS[name](plan)
        finally:
            if figures:
                publish(options.out, "The service", figures, PACKAGES, quick=options.quick, num_samples=K)


if __name__ == "__main__":
    main(sys.argv[1:])
