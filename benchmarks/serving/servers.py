"""Starts what is measured on one core and what measures it on another. Knows processes and cores; no figures."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import ROOT, TAIL, command, environment, run

LISTEN_AFTER = 120.0  # seconds that a server has to start
SERVER_CORE, LOAD_CORE = 0, 1  # places among the cores this process may use


@dataclass(frozen=True)
class Request:
    """What a server is asked."""

    body: bytes
    path: str = "/elbo"
    content_type: str = "application/json"
    accept: str = "application/json"

    def wire(self) -> bytes:
        """The whole of it, as it goes over a connection."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {self.content_type}\r\n"
            f"accept: {self.accept}\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(frozen=True)
class Server:
    """A contender: how it is started, how rows are put to it, and where the ELBO is in what it says."""

    name: str
    command: tuple[str, ...]  # PORT stands for its port
    ask: Callable[[NDArray[np.float64]], Request]
    elbo: Callable[[bytes], Sequence[float]]
    ready: str | None = None  # a path that says 200 once it is; None: as soon as it takes connections


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    pid: int

    def ask(self, request: Request) -> bytes:
        """The reply's body."""
        headers = {"content-type": request.content_type, "accept": request.accept}
        asked = urllib.request.Request(self._url(request.path), data=request.body, headers=headers)
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return bytes(reply.read())

    def get(self, path: str) -> bytes:
        """What it says at a path, with status 200."""
        with urllib.request.urlopen(self._url(path), timeout=5) as reply:
            return bytes(reply.read())

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def load(self, request: Request, *rest: object, loop: str = "load") -> dict[str, Any]:
        """What a loop, of so many connections first, came to; it has a core of its own."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(request.wire())
            file.flush()
            return ask(f"serving.{loop}", [str(self.port), file.name, *map(str, rest)], core=LOAD_CORE)


def ask(module: str, arguments: Sequence[str], *, core: int) -> dict[str, Any]:
    """The last line that a module of benchmarks prints, as JSON; it runs on one core.

    Raises:
        SystemExit: it failed; the message ends with its last words.
    """
    return run(module, [*pinned(core), *command(module, arguments)])


def pinned(core: int) -> list[str]:
    """What runs a command on one core, where that can be asked for."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)])]


@contextmanager
def started(server: Server) -> Iterator[Running]:
    """The server, answering, for the time of the block; nothing of it is left afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [*pinned(SERVER_CORE), *(part.replace("PORT", str(port)) for part in server.command)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            start, cwd=ROOT, env=environment(), stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            running = Running(server, port, process.pid)
            _wait(running, process, said)
            yield running
        finally:
            _stop(process)


def _wait(running: Running, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    end = time.monotonic() + LISTEN_AFTER
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            if running.server.ready is None:
                socket.create_connection(("127.0.0.1", running.port), timeout=5).close()
            else:
                running.get(running.server.ready)
            return
        time.sleep(0.1)
    said.seek(0)
    raise SystemExit(f"{running.server.name} does not answer:\n{said.read().decode(errors='replace')[-TAIL:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it as an operator would, then whatever it leaves: some peers end before their workers, or without them."""
    try:
        below = children(process.pid)
    except FileNotFoundError:
        below = []
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # a group of its own
    for one in below:  # those that have made groups of their own
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    process.wait()


def cpu_seconds(pid: int) -> float:
    """Of a process and its children so far."""
    ticks = 0
    for one in (pid, *children(pid)):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def proportional_bytes(pid: int) -> int:
    """Memory of a process and its children, pages that several share counted by their shares (PSS)."""
    total = 0
    for one in (pid, *children(pid)):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def children(pid: int) -> list[int]:
    """Processes below a process, all of them."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = [int(one) for one in text.split()]
    return found + [more for one in found for more in children(one)]
