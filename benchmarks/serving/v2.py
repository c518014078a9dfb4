"""Compares the routes of the Open Inference Protocol: as JSON with MLServer, in bytes with our own route for arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks import venvs
from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import models
from benchmarks.serving.contenders import (
    Rows,
    check,
    from_npy,
    from_tensors,
    npy_request,
    ours,
    peer,
    require_all_answered,
)
from benchmarks.serving.models import LARGE, SMALL, K, Shape
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Request, Server, started

CONNECTIONS = 32
SHAPES = (SMALL, LARGE)
JSON_ROWS, BINARY_ROWS = (1, 64), (1, 64, 512)  # rows of one request
JSON_TARGET, BINARY_TARGET = 3.0, 0.9  # requests per second over those of MLServer, and of our own arrays
LENGTH = "inference-header-content-length"
PEER = "MLServer"

Found = dict[str, dict[str, Any]]  # by the name of the load


def measure(plan: Plan) -> Measured:
    """JSON of ours and of MLServer's, then bytes and npy of ours. All replies must have the ELBO of the graph."""
    figures: list[Figure] = []
    if plan.peers is not None:
        for shape in SHAPES:
            servers = {"vaekit": as_v2(plan, shape), PEER: peer(plan, plan.peers, shape, PEER)}
            runs = {name: partial(_json, plan, shape, server) for name, server in servers.items()}
            figures += json_figures(shape, run_rounds(runs, plan.rounds))
    for shape in SHAPES:
        found = run_rounds({"vaekit": partial(_binary, plan, shape)}, plan.rounds)["vaekit"]
        figures += binary_figures(shape, found)
    peers = None if plan.peers is None else venvs.installed(venvs.MLSERVER, plan.peers)
    return Measured(figures, {"peers_installed": peers})


def as_v2(plan: Plan, shape: Shape, *, binary: bool = False) -> Server:
    """Our server with its default settings, asked by this protocol for K draws."""
    own = ours(plan, shape)
    ask = partial(binary_request if binary else json_request, model=shape.name)
    return Server(own.name, own.command, ask, from_bytes if binary else from_tensors, ready="/v2/health/ready")


def json_request(x: Rows, *, model: str) -> Request:
    """Flat numbers, as most clients write them."""
    tensor = {"name": "inputs", "shape": list(x.shape), "datatype": "FP64", "data": x.ravel().tolist()}
    body = {"parameters": {"num_samples": K}, "inputs": [tensor]}
    return Request(json.dumps(body).encode(), f"/v2/models/{model}/infer")


def binary_request(x: Rows, *, model: str) -> Request:
    """Rows and all outputs in bytes, as tritonclient asks by default."""
    data = np.ascontiguousarray(x, "<f8").tobytes()
    size = {"binary_data_size": len(data)}
    tensor = {"name": "inputs", "shape": list(x.shape), "datatype": "FP64", "parameters": size}
    head = json.dumps({"parameters": {"num_samples": K, "binary_data_output": True}, "inputs": [tensor]}).encode()
    path, kind = f"/v2/models/{model}/infer", "application/octet-stream"
    return Request(head + data, path, kind, kind, more={LENGTH: str(len(head))})


def from_bytes(reply: bytes) -> Sequence[float]:
    """The ELBO of a reply in bytes, whose JSON ends where its brackets are closed."""
    head, end = json.JSONDecoder().raw_decode(reply.decode("latin-1"))
    for one in head["outputs"]:
        size = one["parameters"]["binary_data_size"]
        if one["name"] == "elbo":
            return [float(value) for value in np.frombuffer(reply, "<f8", one["shape"][0], end)]
        end += size
    raise ValueError("the reply has no elbo")


def _json(plan: Plan, shape: Shape, server: Server) -> Found:
    """The loads of JSON_ROWS on one server."""
    return _loads(plan, shape, server, {f"{n}": (server, n) for n in JSON_ROWS})


def _binary(plan: Plan, shape: Shape) -> Found:
    """The loads of BINARY_ROWS on one process of ours, in bytes and as npy in turn."""
    own = as_v2(plan, shape, binary=True)
    npy = Server(own.name, own.command, npy_request, from_npy)
    contending = {"V2": own, "npy": npy}
    loads = {f"{name} {n}": (server, n) for n in BINARY_ROWS for name, server in contending.items()}
    return _loads(plan, shape, own, loads)


def _loads(plan: Plan, shape: Shape, server: Server, loads: Mapping[str, tuple[Server, int]]) -> Found:
    found = {}
    with started(server) as running:
        for name, (asked, n) in loads.items():
            x = models.rows(shape)[:n]
            request = asked.ask(x)
            check(replace(running, server=asked), request, plan.elbo(shape, x))
            run = running.load_per_cpu_second(request, CONNECTIONS, plan.seconds)
            found[name] = require_all_answered(running, run)
    return found


def json_figures(shape: Shape, found: Mapping[str, Sequence[Found]]) -> list[Figure]:
    """Our requests per second over those of MLServer, and both."""
    figures = []
    for n in JSON_ROWS:
        label = f"V2, JSON, D = {shape.dims}, {_rows(n)}"
        rates = {name: [run[f"{n}"] for run in runs] for name, runs in found.items()}
        figures += _compared(label, "vaekit", PEER, rates, JSON_TARGET)
    return figures


def binary_figures(shape: Shape, found: Sequence[Found]) -> list[Figure]:
    """The requests per second in bytes over those as npy, and both."""
    figures = []
    for n in BINARY_ROWS:
        label = f"V2, bytes, D = {shape.dims}, {_rows(n)}"
        rates = {name: [run[f"{name} {n}"] for run in found] for name in ("V2", "npy")}
        figures += _compared(label, "V2", "npy", rates, BINARY_TARGET)
    return figures


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _compared(
    label: str, own: str, other: str, runs: Mapping[str, Sequence[Mapping[str, float]]], target: float
) -> list[Figure]:
    def ratios(figure: str) -> list[float]:
        return [a[figure] / b[figure] for a, b in zip(runs[own], runs[other], strict=True)]

    of = Figure.of
    return [
        of(f"{label}: {own} / {other}", ratios("requests_per_second"), "times", target=target, better="higher"),
        of(f"{label}: {own} / {other}, per CPU second", ratios("requests_per_cpu_second"), "times", better="higher"),
        *(
            of(f"{label}: {name}", [run["requests_per_second"] for run in each], "requests/s")
            for name, each in runs.items()
        ),
    ]
