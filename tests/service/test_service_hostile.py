"""`vae serve` as a process: endless heads take no memory, and connections beyond the limit get a 503."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and limits another process")
ROW = [1.0] * 30
MIB = 2**20
FLOODS = {
    "header lines": b"POST /elbo HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * (8 * MIB),
    "one value": b"POST /elbo HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * (48 * MIB),
    "one name": b"POST /elbo HTTP/1.1\r\nhost: localhost\r\n" + b"y" * (48 * MIB),
    "one path": b"POST /" + b"y" * (48 * MIB),
    "trailers": b"POST /elbo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n" + b"x: y\r\n" * (8 * MIB),
    "requests sent ahead": b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n" * MIB,
}


@pytest.fixture
def serve(process: Callable[..., Any], models_dir: Path) -> Callable[..., tuple[Any, str]]:
    """serve(files=None, **environment): the process, ready, and its address; files: its limit of open files."""

    def begin(files: int | None = None, **environment: str) -> tuple[Any, str]:
        started = process("--models", str(models_dir), "--default-model", "breast-cancer", **environment)
        if files is not None:
            import resource

            resource.prlimit(started.popen.pid, resource.RLIMIT_NOFILE, (files, files))
        url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
        assert started.until("^(ready|failed): digits") == "ready"
        return started, url

    return begin


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(30)
    return connection


def memory(pid: int, figure: str) -> int:
    """VmRSS or VmHWM in bytes."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(figure)]
    return int(line.split()[1]) * 1024


def metric(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(name))


@pytest.mark.slow
def test_heads_and_trailers_without_end_take_no_memory_and_leave_none(serve: Any) -> None:
    process, url = serve()
    httpx.post(f"{url}/elbo", json={"inputs": [ROW]}).raise_for_status()
    before = memory(process.popen.pid, "VmRSS")
    for name, flood in FLOODS.items():
        for _ in range(2):
            with connect(url) as connection, suppress(ConnectionError):
                connection.sendall(flood)
        assert memory(process.popen.pid, "VmHWM") - before < 16 * MIB, name
    assert httpx.post(f"{url}/elbo", json={"inputs": [ROW]}).status_code == 200


@pytest.mark.slow
def test_unfinished_heads_on_many_connections_take_little_memory(serve: Any) -> None:
    process, url = serve()
    httpx.post(f"{url}/elbo", json={"inputs": [ROW]}).raise_for_status()
    before = memory(process.popen.pid, "VmRSS")
    with ExitStack() as stack:
        for i in range(900):
            connection = stack.enter_context(connect(url))
            rest = b"x: y\r\n" * 99 if i % 2 else b"x: " + b"y" * 12_000
            connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n" + rest)
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert memory(process.popen.pid, "VmRSS") - before < 64 * MIB


def test_more_connections_than_open_files_allow_are_answered_503_logged_and_counted(serve: Any) -> None:
    process, url = serve(files=80)
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(url)) for _ in range(120)]
        refused = 0
        for connection in opened[40:]:
            with suppress(ConnectionError):
                refused += connection.recv(12) == b"HTTP/1.1 503"
        assert refused > 0
    assert httpx.post(f"{url}/elbo", json={"inputs": [ROW]}).status_code == 200
    assert metric(url, "vae_http_refused_total{") >= refused
    process.popen.terminate()
    log = process.popen.communicate(timeout=60)[1]
    assert "because of the limit of open files" in log
    assert "connections refused" in log


def test_the_cap_on_connections_is_a_setting_and_open_ones_are_a_metric(serve: Any) -> None:
    _, url = serve(VAE_MAX_CONNECTIONS="3")
    with ExitStack() as stack:
        kept = [stack.enter_context(connect(url)) for _ in range(2)]
        with httpx.Client() as client:
            assert client.get(f"{url}/healthz").status_code == 200
            beyond = httpx.get(f"{url}/healthz")
            assert (beyond.status_code, beyond.headers["retry-after"]) == (503, "1")
            assert beyond.json()["title"] == "Too many connections"
            while "\nvae_http_connections 3.0\n" not in client.get(f"{url}/metrics").text:
                pass  # the refused one is still closing
        kept[0].sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert kept[0].recv(15) == b"HTTP/1.1 200 OK"


def test_the_deadline_of_a_head_is_a_setting(serve: Any) -> None:
    _, url = serve(VAE_HEAD_SECONDS="0.2")
    with connect(url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert connection.recv(12) == b"HTTP/1.1 408"
    with connect(url) as connection:
        assert connection.recv(12) == b""
