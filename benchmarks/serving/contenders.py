"""The compared servers: how to start each, how to send it rows, and how to read its reply."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import venvs
from benchmarks.processes import command
from benchmarks.serving.arms.graph import agrees
from benchmarks.serving.models import K, Shape
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Request, Running, Server
from benchmarks.venvs import Peer
from vaekit.client.wire import NPY_TYPE

Rows = NDArray[np.float64]

OURS, PLAIN, COMPILED = "vaekit", "FastAPI + torch", "FastAPI + torch.compile"


def json_request(x: Rows, **options: int) -> Request:
    """Lists of numbers, for vaekit, the plain server, LitServe and Ray Serve."""
    return Request(json.dumps({"inputs": x.tolist(), **options}).encode())


def npy_request(x: Rows, accept: str = NPY_TYPE) -> Request:
    out = io.BytesIO()
    np.save(out, x)
    return Request(out.getvalue(), f"/elbo?num_samples={K}", NPY_TYPE, accept)


def v2_request(x: Rows) -> Request:
    """The Open Inference Protocol in JSON."""
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP64", "data": x.ravel().tolist()}
    return Request(json.dumps({"inputs": [tensor]}).encode(), "/v2/models/vae/infer")


def argument_request(x: Rows) -> Request:
    """An object with the method's arguments, for BentoML."""
    return Request(json.dumps({"x": x.tolist()}).encode())


def by_name(reply: bytes) -> Sequence[float]:
    return [float(value) for value in json.loads(reply)["elbo"]]


def from_npy(reply: bytes) -> Sequence[float]:
    return [float(value) for value in np.load(io.BytesIO(reply))["elbo"]]


def from_tensors(reply: bytes) -> Sequence[float]:
    tensors = {one["name"]: one["data"] for one in json.loads(reply)["outputs"]}
    return [float(value) for value in tensors["elbo"]]


def first_column(reply: bytes) -> Sequence[float]:
    return [float(row[0]) for row in json.loads(reply)]


def ours(plan: Plan, shape: Shape, *, npy: bool = False) -> Server:
    """`vae serve` with its default settings and one thread per call, for requests with K draws."""
    assert plan.bundles
    start = (sys.executable, "-m", "vaekit", "serve", "--models", str(plan.work / "models"), "--port", "PORT")
    flags = ("--device", plan.device, "--threads", "1", "--log-level", "error", "--default-model", shape.name)
    if npy:
        return Server(OURS, (*start, *flags), npy_request, from_npy, ready="/readyz")
    return Server(OURS, (*start, *flags), partial(json_request, num_samples=K), by_name, ready="/readyz")


def plain(plan: Plan, shape: Shape, *, compiled: bool = False) -> Server:
    assert plan.bundles
    how = [plan.device, *(["compiled"] if compiled else [])]
    start = command("serving.arms.plain", [str(plan.work / f"{shape.name}.npz"), "PORT", *how])
    return Server(COMPILED if compiled else PLAIN, tuple(start), json_request, by_name)


def echo() -> Server:
    return Server("echo", tuple(command("serving.arms.echo", ["PORT"])), json_request, by_name)


# (package, arm, function that makes a request, function that reads a reply, path for readiness)
PEERS: dict[str, tuple[Peer, str, Any, Any, str]] = {
    "LitServe": (venvs.LITSERVE, "peer_litserve", json_request, by_name, "/health"),
    "MLServer": (venvs.MLSERVER, "peer_mlserver", v2_request, from_tensors, "/v2/models/vae/ready"),
    "BentoML": (venvs.BENTOML, "peer_bentoml", argument_request, first_column, "/readyz"),
    "Ray Serve": (venvs.RAY, "peer_ray", json_request, by_name, "/elbo"),
}


def peers(plan: Plan, shape: Shape) -> list[Server]:
    """All peers, each in its own environment; empty if peers are left out."""
    return [] if plan.peers is None else [peer(plan, plan.peers, shape, name) for name in PEERS]


def peer(plan: Plan, folder: Path, shape: Shape, name: str) -> Server:
    """One of PEERS in its environment, which is made below `folder` if it does not exist."""
    package, arm, asked, read, ready = PEERS[name]
    python = venvs.make(package, folder).absolute()
    start = command(f"serving.arms.{arm}", [*plan.files(shape), "PORT"], python)
    return Server(name, tuple(start), asked, read, ready)


def installed(folder: Path) -> dict[str, list[str]]:
    """The packages of each peer's environment."""
    return {name: venvs.installed(package, folder) for name, (package, *_) in PEERS.items()}


def check(running: Running, request: Request, want: Rows) -> None:
    """Stop unless the server returns the ELBO of the graph."""
    got = running.server.elbo(running.ask(request))
    if not agrees(got, want):
        raise SystemExit(f"{running.server.name} returns {got[:3]}, but the graph {want[:3]}")


def require_all_answered(running: Running, found: dict[str, Any]) -> dict[str, Any]:
    """The result of a load. Stop unless every request was answered with status 200."""
    if set(found["statuses"]) != {"200"}:
        raise SystemExit(f"{running.server.name} did not answer every request, by status: {found['statuses']}")
    return found
