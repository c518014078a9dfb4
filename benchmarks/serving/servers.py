"""Starts a server on one core and the load generator on another."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import ROOT, TAIL, command, environment, free_port, run
from benchmarks.serving.load import WARM_UP

START_TIMEOUT = 120.0  # seconds for a server to start
SERVER_CORE, LOAD_CORE = 0, 1  # indices among the cores that this process may use


@dataclass(frozen=True)
class Request:
    """A request to a server."""

    body: bytes
    path: str = "/elbo"
    content_type: str = "application/json"
    accept: str = "application/json"
    key: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)  # further headers

    def wire(self) -> bytes:
        """The request as bytes."""
        fields = {"host": "localhost", **self.headers(), "content-length": str(len(self.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body

    def headers(self) -> dict[str, str]:
        """The headers without host and length."""
        key = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        return {"content-type": self.content_type, "accept": self.accept, **key, **self.more}


@dataclass(frozen=True)
class Server:
    """A contender: how to start it, how to send it rows, and how to read the ELBO from its reply."""

    name: str
    command: tuple[str, ...]  # PORT stands for its port
    ask: Callable[[NDArray[np.float64]], Request]
    elbo: Callable[[bytes], Sequence[float]]
    ready: str | None = None  # a path that returns 200 when ready; None: ready when it accepts connections


@dataclass(frozen=True)
class Running:
    """A running server."""

    server: Server
    port: int
    pid: int

    def ask(self, request: Request) -> bytes:
        """The reply's body."""
        asked = urllib.request.Request(self._url(request.path), data=request.body, headers=request.headers())
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return bytes(reply.read())

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET; the status must be 200."""
        asked = urllib.request.Request(self._url(path), headers=dict(headers or {}))
        with urllib.request.urlopen(asked, timeout=5) as reply:
            return bytes(reply.read())

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def load(self, request: Request, *rest: object, loop: str = "load") -> dict[str, Any]:
        """Run a load generator on its own core and return its result. `rest` are its arguments from CONNECTIONS on."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(request.wire())
            file.flush()
            return run_pinned(f"serving.{loop}", [str(self.port), file.name, *map(str, rest)], core=LOAD_CORE)

    def load_per_cpu_second(self, request: Request, connections: int, seconds: float) -> dict[str, Any]:
        """The result of a closed loop, with the requests per CPU second of the server, warm-up included.

        Other work on the machine changes these little.
        """
        before = cpu_seconds(self.pid)
        found = self.load(request, connections, seconds)
        sent = found["requests_per_second"] * (WARM_UP + seconds)
        return {**found, "requests_per_cpu_second": sent / (cpu_seconds(self.pid) - before)}


def run_pinned(module: str, arguments: Sequence[str], *, core: int) -> dict[str, Any]:
    """Run a module of benchmarks on one core, and return the JSON in its last line of output.

    Raises:
        SystemExit: the module failed; the message ends with the end of its output.
    """
    return run(module, [*pinned(core), *command(module, arguments)])


def pinned(core: int) -> list[str]:
    """The prefix that runs a command on one core, if the system supports it."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)])]


@contextmanager
def started(server: Server) -> Iterator[Running]:
    """Run the server during the block, then stop all its processes."""
    port = free_port()
    start = [*pinned(SERVER_CORE), *(part.replace("PORT", str(port)) for part in server.command)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            start, cwd=ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            running = Running(server, port, process.pid)
            _wait(running, process, output)
            yield running
        finally:
            stop(process)


def _wait(running: Running, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            if running.server.ready is None:
                socket.create_connection(("127.0.0.1", running.port), timeout=5).close()
            else:
                running.get(running.server.ready)
            return
        time.sleep(0.1)
    output.seek(0)
    raise SystemExit(f"{running.server.name} does not answer:\n{output.read().decode(errors='replace')[-TAIL:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server with SIGTERM, then kill its remaining processes: some peers end before their workers."""
    try:
        descendants = children(process.pid)
    except FileNotFoundError:
        descendants = []
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the server's process group
    for one in descendants:  # workers with their own process group
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and its children so far."""
    ticks = 0
    for one in (pid, *children(pid)):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def proportional_bytes(pid: int) -> int:
    """Memory of a process and its children as PSS: shared pages are divided among their users."""
    total = 0
    for one in (pid, *children(pid)):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def children(pid: int) -> list[int]:
    """All descendants of a process."""
    by_thread = Path(f"/proc/{pid}/task").glob("*/children")  # a process belongs to the thread that started it
    found = [int(one) for path in by_thread for one in path.read_text().split()]
    return found + [more for one in found for more in children(one)]
