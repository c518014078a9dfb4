"""`vae serve` as a process: address, signals, start-up errors, and the memory of a hostile body."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

URL = r"listening on (http://127\.0\.0\.1:\d+) "
ROW = [1.0] * 30


@pytest.fixture
def serve(process: Callable[..., Any], models_dir: Path) -> Callable[..., tuple[Any, str]]:
    """serve(**environment): (a process that is ready, its address)."""

    def begin(**environment: str) -> tuple[Any, str]:
        started = process("--models", str(models_dir), "--default-model", "breast-cancer", **environment)
        url = started.until(URL)
        started.until("^(ready): digits")
        return started, url

    return begin


def open_request(url: str, body: bytes) -> socket.socket:
    """A connection with a POST /elbo whose body is not sent yet."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(post_head(body))
    return connection


def post_head(body: bytes) -> bytes:
    """The head of a POST /elbo."""
    head = "POST /elbo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode()


def wait_in_flight(url: str, count: int) -> None:
    """Wait until `count` requests are in flight, besides the one for /metrics."""
    while f"vae_http_requests_in_flight {count + 1}.0" not in httpx.get(f"{url}/metrics").text:
        pass


def test_sigterm_finishes_requests_in_flight_and_exits_with_0(serve: Any) -> None:
    process, url = serve(VAE_DRAIN_SECONDS="0")
    body = json.dumps({"inputs": [ROW]}).encode()
    with open_request(url, body) as connection:
        wait_in_flight(url, 1)
        for _ in range(2):  # some supervisors send two
            process.popen.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.popen.wait(0.5)
        connection.sendall(body)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert b'"elbo"' in reply
    assert process.popen.wait(30) == 0


def test_while_draining_readyz_is_503_and_requests_are_still_answered(serve: Any) -> None:
    process, url = serve(VAE_DRAIN_SECONDS="100")
    assert httpx.get(f"{url}/readyz").status_code == 200
    process.popen.send_signal(signal.SIGTERM)
    while httpx.get(f"{url}/readyz").status_code == 200:
        pass
    assert httpx.get(f"{url}/readyz").json()["detail"] == "the service is shutting down"
    assert httpx.post(f"{url}/elbo", json={"inputs": [ROW]}).status_code == 200
    process.popen.send_signal(signal.SIGINT)
    assert process.popen.wait(30) == 0


def test_while_draining_every_reply_closes_its_connection(serve: Any) -> None:
    process, url = serve(VAE_DRAIN_SECONDS="100")
    body = json.dumps({"inputs": [ROW]}).encode()
    requests: list[tuple[str, str, int, bytes | None]] = [  # status while draining, body
        ("POST", "/elbo", 200, body),  # the fast path
        ("POST", "/elbo", 400, b"{"),
        ("GET", "/models", 200, None),
        ("GET", "/healthz", 200, None),
        ("GET", "/readyz", 503, None),
        ("GET", "/nowhere", 404, None),
        ("DELETE", "/elbo", 405, None),
    ]

    def close_headers(client: httpx.Client) -> list[tuple[int, list[str]]]:
        replies = [
            client.request(method, path, content=content, headers={"content-type": "application/json"})
            for method, path, _, content in requests
        ]
        return [(reply.status_code, reply.headers.get_list("connection")) for reply in replies]

    with httpx.Client(base_url=url) as client, open_request(url, body) as connection:
        before = close_headers(client)
        assert [named for _, named in before] == [[]] * len(requests)
        wait_in_flight(url, 1)
        process.popen.send_signal(signal.SIGTERM)
        while client.get("/readyz").status_code == 200:
            pass
        assert close_headers(client) == [(status, ["close"]) for _, _, status, _ in requests]
        connection.sendall(body)  # in flight since before the signal
        reply = b"".join(iter(lambda: connection.recv(65536), b""))  # ends: the service closes the connection
    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\nconnection: close\r\n" in reply.lower()


def test_a_connection_made_before_the_listener_closed_is_served_after_it(serve: Any) -> None:
    process, url = serve(VAE_DRAIN_SECONDS="0")
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"inputs": [ROW]}).encode()
    with ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(8)]
        silent = callers.pop()
        process.popen.send_signal(signal.SIGTERM)
        with suppress(ConnectionRefusedError, ConnectionResetError):
            while True:
                socket.create_connection((host, int(port))).close()
        for caller in callers:
            caller.settimeout(10)
            caller.sendall(post_head(body) + body)
        for caller in callers:
            reply = b"".join(iter(lambda caller=caller: caller.recv(65536), b""))  # type: ignore[misc]  # bound at once
            assert reply.startswith(b"HTTP/1.1 200 OK")
            assert b"\r\nconnection: close\r\n" in reply.lower()
        assert process.popen.wait(10) == 0
        assert silent.recv(1) == b""


def test_a_request_that_outlasts_the_shutdown_limit_is_aborted(serve: Any) -> None:
    process, url = serve(VAE_DRAIN_SECONDS="0", VAE_SHUTDOWN_SECONDS="1")
    with open_request(url, b"x" * 100) as connection:
        wait_in_flight(url, 1)
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(30) == 0
        connection.recv(65536)


def test_the_printed_curl_command_works(process: Any, models_dir: Path) -> None:
    for name in ("breast-cancer", "digits"):
        started = process("--models", str(models_dir), "--default-model", name)
        line = started.until(r"^\s+(curl .*)$")
        _, _, url, _, header, _, body = shlex.split(line)
        reply = httpx.post(url, content=body, headers=dict([header.split(": ")]))
        assert (reply.status_code, reply.json()["model"]) == (200, name)
        assert reply.json()["is_anomaly"] == [False]


def refused(*flags: str, **environment: str) -> str:
    """The line that `vae serve` prints to stderr before it exits with 1."""
    command = [sys.executable, "-c", "from vaekit.cli import main; main()", "serve", "--port", "0", *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_cuda_without_a_gpu_is_an_error_at_start_up() -> None:
    from onnxruntime import get_available_providers

    if "CUDAExecutionProvider" in get_available_providers():
        pytest.skip("this ONNX Runtime has a CUDA provider")
    assert "error: device cuda" in refused(VAE_DEVICE="cuda")
    assert "error: device 'gpu' is not auto, cpu, cuda" in refused("--device", "gpu")
    assert "error: device cpu: CUDA graphs need a CUDA device" in refused("--device", "cpu", VAE_CUDA_GRAPHS="true")
    assert "error: device cuda: this ONNX Runtime has no CUDA provider" in refused(VAE_CUDA_GRAPHS="true")


def test_an_address_in_use_is_a_one_line_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"error: cannot listen on 127.0.0.1, port {port}: " in refused("--port", port)


def test_an_invalid_setting_is_named_with_its_value() -> None:
    assert "VAE_ALPHA='2': Input should be less than 1" in refused(VAE_ALPHA="2")
    assert "VAE_LOG_FORMAT='xml': " in refused("--log-format", "xml")


def peak_memory(pid: int) -> int:
    """Peak memory of the process in bytes."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    "make",
    [
        lambda: b'{"inputs": [[' + b"null," * 4_000_000 + b"null]]}",
        lambda: b'{"inputs": [' + b"[null]," * 3_000_000 + b"[null]]}",
        lambda: b'{"inputs": ' + b"[" * 20_000_000,
        lambda: b'{"inputs": [[1' + b"0" * 20_000_000 + b"]]}",
        lambda: b'{"inputs": [{' + b'"":0,' * 4_000_000 + b'"":0}]}',
    ],
    ids=["a row of nulls", "rows of null", "brackets", "one number", "one object"],
)
def test_20_mb_of_nulls_are_refused_in_constant_memory(serve: Any, make: Any) -> None:
    process, url = serve()
    body = make()
    headers = {"content-type": "application/json"}
    before = peak_memory(process.popen.pid)
    reply = httpx.post(f"{url}/elbo", content=body, headers=headers, timeout=30)
    assert reply.status_code in (400, 413, 422)
    assert peak_memory(process.popen.pid) - before < 3 * len(body)  # the body itself, but no parsed tree
    assert httpx.get(f"{url}/readyz").status_code == 200


def test_the_graph_that_probes_a_device_runs(tmp_path: Path) -> None:
    import numpy as np

    from vaekit.runtime import device

    graph = tmp_path / "probe.onnx"
    graph.write_bytes(device._PROBE)
    [y] = device.open_session(graph, "cpu").run(["y"], {"x": np.ones(1, np.float32)})
    assert y == [-1.0]
