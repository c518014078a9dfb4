"""Callers that do not send their body or do not read their reply hold limited memory, for a limited time."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

BIG = json.dumps({"n": 10_000}).encode()


@pytest.fixture
def serve(process: Callable[..., Any], models_dir: Path) -> Callable[..., tuple[Any, str]]:
    """serve(**environment): (a process that is ready, with digits as the default model; its address)."""

    def begin(**environment: str) -> tuple[Any, str]:
        started = process("--models", str(models_dir), "--default-model", "digits", **environment)
        url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
        assert started.until("^(ready|failed): digits") == "ready"
        return started, url

    return begin


def ask(url: str, body: bytes, declared: int | None = None) -> socket.socket:
    """A POST /sample on a connection with a small receive buffer, so that an unread reply stays with the server."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect((host, int(port)))
    length = len(body) if declared is None else declared
    head = "POST /sample HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += f"content-length: {length}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def in_flight(url: str) -> float:
    """Number of requests in flight, without the one for /metrics."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    [figure] = [line for line in lines if line.startswith("vae_http_requests_in_flight ")]
    return float(figure.split()[1]) - 1


def resident(pid: int) -> int:
    """Resident memory of the process in bytes."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def first_line(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        return file.readline()


@pytest.fixture
def connections() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_declared_bytes_that_never_arrive_block_no_other_caller(serve: Any, connections: ExitStack) -> None:
    _, url = serve()
    for _ in range(8):
        connections.enter_context(ask(url, b"", declared=32 * 2**20))
    while in_flight(url) < 8:
        pass
    assert httpx.post(f"{url}/sample", json={"n": 1}).status_code == 200


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_unread_replies_are_limited_together_and_aborted(serve: Any, connections: ExitStack) -> None:
    process, url = serve(VAE_REPLY_SECONDS="8", VAE_MAX_INFLIGHT_BYTES=str(48 * 2**20), VAE_MAX_QUEUE_ROWS="1000000")
    before = resident(process.popen.pid)
    asked = [connections.enter_context(ask(url, BIG)) for _ in range(24)]
    lines = [first_line(connection) for connection in asked]
    assert {line.split()[1] for line in lines} == {b"200", b"429"}
    refused = httpx.post(f"{url}/sample", content=BIG, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert resident(process.popen.pid) - before < 300 * 2**20
    while in_flight(url):
        pass
    taken = asked[[line.split()[1] for line in lines].index(b"200")]
    got = sum(map(len, iter(lambda: taken.recv(2**20), b"")))
    answered = httpx.post(f"{url}/sample", content=BIG, headers={"content-type": "application/json"}, timeout=30)
    assert len(answered.json()["samples"]) == 10_000
    assert got < len(answered.content) / 2
    process.popen.terminate()
    assert "the caller did not read its reply within 8 s" in process.popen.communicate(timeout=60)[1]
