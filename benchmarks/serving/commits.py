"""Compares the service with itself at another commit, and with its own observability turned off or on.

All contenders serve the committed model with 30 columns and its calibration. Requests per CPU second of the server are
compared, which other work on the machine changes little.
"""

from __future__ import annotations

import io
import math
import statistics
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
from scipy.stats import t

from benchmarks.processes import ROOT
from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving.contenders import Rows, by_name, check, from_npy, json_request
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Request, Server, started
from vaekit.client.wire import NPY_TYPE
from vaekit.runtime import Model

NAME, DIMS = "breast-cancer", 30
NOW, BEFORE = "now", "before"
TARGET = 0.95  # the upper end of the 95 % interval of each ratio is at least this
ROUNDS = (8, 3)  # full, quick


@dataclass(frozen=True)
class Load:
    """One kind of load."""

    rows: int
    connections: int
    is_npy: bool = False
    variables: tuple[str, ...] = ()  # of the server's environment

    def request(self, x: Rows) -> Request:
        if not self.is_npy:
            return json_request(x)
        out = io.BytesIO()
        np.save(out, x)
        return Request(out.getvalue(), "/elbo", NPY_TYPE, NPY_TYPE)


LOADS = {
    "single rows of JSON": Load(1, 32),
    "8 rows of JSON": Load(8, 32),
    "bulk, 512 rows of npy": Load(512, 4, is_npy=True),
    "overload, 512 connections": Load(1, 512, variables=("VAE_MAX_QUEUE_ROWS=64",)),
}


def commits(plan: Plan) -> Measured:
    """The ratio of this working tree to another commit, for each load."""
    assert plan.before is not None, "the part `commits` needs --before COMMIT"
    tree = extracted(plan.before, plan.work / "before")
    settings: dict[str, tuple[Path, Sequence[str]]] = {NOW: (ROOT, ()), BEFORE: (tree, ())}
    figures = [figure for name, load in LOADS.items() for figure in _compared(plan, name, load, settings, BEFORE)]
    return Measured(figures, {"before": plan.before})


def observability(plan: Plan) -> Measured:
    """The cost of the model health and of traces, for single rows."""
    name, load = next(iter(LOADS.items()))
    with trace_sink() as url:
        settings: dict[str, tuple[Path, Sequence[str]]] = {
            "no model health, no traces": (ROOT, ("VAE_HEALTH_ROWS=0",)),
            "model health (the default)": (ROOT, ()),
            "traces": (ROOT, ("VAE_HEALTH_ROWS=0", "VAE_TRACES=true", f"OTEL_EXPORTER_OTLP_ENDPOINT={url}")),
        }
        figures = _compared(plan, name, load, settings, next(iter(settings)))
    return Measured([replace(one, target=None) if ": traces" in one.name else one for one in figures])


def _compared(
    plan: Plan, name: str, load: Load, settings: dict[str, tuple[Path, Sequence[str]]], base: str
) -> list[Figure]:
    """Figures of each setting, (folder of the code, variables), and their ratios to one of them."""
    x = np.random.default_rng(0).normal(size=(load.rows, DIMS)) + 10.0
    with Model.load(ROOT / "models" / NAME / "1", device="cpu", threads=1) as model:
        want = np.asarray(model.elbo(x).elbo)
    contenders: dict[str, Callable[[], float]] = {
        each: partial(_rate, plan, server(folder, variables, load), load.request(x), load.connections, want)
        for each, (folder, variables) in settings.items()
    }
    found = run_rounds(contenders, plan.pick(*ROUNDS))
    figures = [Figure.of(f"{name}: {each}", rates, "requests/CPU s") for each, rates in found.items()]
    for each, rates in found.items():
        if each != base:
            value, low, high = ratio(rates, found[base])
            figures.append(Figure(f"{name}: {each} / {base}, 95 % interval", value, "times", low, high))
            upper = f"{name}: {each}, upper end of that interval"
            figures.append(Figure(upper, high, "times", target=TARGET, better="higher"))
    return figures


def ratio(rates: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
    """The ratio over paired rounds, and its 95 % interval: Student's t on the logarithms."""
    logs = [math.log(a / b) for a, b in zip(rates, base, strict=True)]
    mean = statistics.fmean(logs)
    half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _rate(plan: Plan, which: Server, request: Request, connections: int, want: Rows) -> float:
    """Answered requests per CPU second of the server."""
    with started(which) as running:
        check(running, request, want)
        found = running.load_per_cpu_second(request, connections, plan.seconds)
    statuses = {int(status): count for status, count in found["statuses"].items()}
    if not statuses.keys() <= {200, 429} or not statuses.get(200):
        raise SystemExit(f"{which.name}: statuses {statuses}")
    share = statuses[200] / sum(statuses.values())
    return float(share * found["requests_per_cpu_second"])


def server(folder: Path, variables: Sequence[str], load: Load) -> Server:
    """`vae serve` with the code in a folder."""
    path = f"PYTHONPATH={folder}:{folder / 'service'}:{folder / 'training'}"
    command = (
        "env",
        "-C",
        str(folder),
        path,
        *variables,
        *load.variables,
        sys.executable,
        "-m",
        "vaekit",
        "serve",
        "--port",
        "PORT",
    )
    flags = ("--models", str(ROOT / "models"), "--default-model", NAME, "--device", "cpu", "--threads", "1")
    read = from_npy if load.is_npy else by_name
    return Server(str(folder), (*command, *flags, "--log-level", "error"), json_request, read, "/readyz")


def extracted(commit: str, folder: Path) -> Path:
    """The files of a commit, in a folder."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


@contextmanager
def trace_sink() -> Iterator[str]:
    """The address of an HTTP server that takes traces and drops them."""

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Sink) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()
