"""The benchmark of the service: its load is what it says, and what it compares with does the same work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.serving import models
from benchmarks.serving.__main__ import K, Plan, answered, check, json_body
from benchmarks.serving.arms.plain import Vae
from benchmarks.serving.load import closed_loop, quantile
from benchmarks.serving.servers import Running, Server
from vaekit.runtime import Model

TINY = models.Shape(5, 8, 3)
SECONDS = 0.005  # that the server below takes


async def serve(reply: Callable[[], bytes]) -> tuple[asyncio.Server, int, list[int]]:
    """A server that takes so long for every request, and how many it had at a time."""
    at_once, most = [0], [0]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.read(65536):
            assert head.startswith(b"POST /elbo HTTP/1.1\r\n")
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            await asyncio.sleep(SECONDS)
            at_once[0] -= 1
            writer.write(reply())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], most


@pytest.mark.parametrize("last", [True, False])
def test_a_closed_loop_has_one_request_a_connection_under_way(last: bool) -> None:
    headers = b"content-length: 3\r\nx: y" if not last else b"x: y\r\ncontent-length: 3"

    async def measure() -> tuple[dict[str, Any], int]:
        server, port, most = await serve(lambda: b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\nabc")
        async with server:
            return await closed_loop(port, Server("x", (), b"abc").request(), 4, 0.5), most[0]

    found, most = asyncio.run(measure())
    assert most == 4
    assert set(found["statuses"]) == {"200"}
    assert SECONDS <= found["p50"] <= found["p95"] <= found["p99"]
    assert 20 < found["requests_per_second"] <= 4 / SECONDS
    assert sum(found["statuses"].values()) >= 10


def test_what_was_not_answered_is_not_measured() -> None:
    with pytest.raises(SystemExit, match="'503': 2"):
        answered({"statuses": {"200": 5, "503": 2}})


def test_quantiles_are_of_what_was_seen() -> None:
    assert [quantile(range(100), q) for q in (0.5, 0.99, 1.0)] == [50, 99, 99]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    models.make(TINY, folder)
    return folder


def test_the_plain_server_gives_what_the_graph_gives(made: Path) -> None:
    x = models.rows(TINY, 20)
    found = Vae(str(made / "d5.npz"), K).elbo(x.tolist())
    with Model.load(made / "models" / "d5", device="cpu") as model:
        want = model.elbo(x, num_samples=K)
    for name, values in found.items():
        np.testing.assert_allclose(values, getattr(want, name), rtol=1e-4, atol=1e-3)


def test_a_server_that_says_something_else_is_not_measured(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = models.rows(TINY, 2)
    plan = Plan(1, 0.1, made)
    plan.__dict__["bundles"] = {TINY: made / "models" / "d5" / "1"}
    truth = Vae(str(made / "d5.npz"), K).elbo(x.tolist())["elbo"]
    running = Running(Server("x", (), json_body(x)), 0, 0)
    reply = SimpleNamespace(elbo=truth)
    monkeypatch.setattr(Running, "ask", lambda _: json.dumps({"elbo": reply.elbo}).encode())
    check(running, plan, TINY, x)
    reply.elbo = [truth[0], truth[1] + 1.0]
    with pytest.raises(SystemExit, match="x gives"):
        check(running, plan, TINY, x)
