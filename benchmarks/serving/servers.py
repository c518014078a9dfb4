"""Starts what is measured on one core and what measures it on another. Knows processes and cores; no figures."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training.processes import ROOT, environment, run
from vaekit.client.wire import NPY_TYPE

PATIENCE = 120.0  # seconds that a server has to start


@dataclass(frozen=True)
class Server:
    """A contender: how it is started, and what it is asked."""

    name: str
    command: tuple[str, ...]  # PORT stands for its port
    body: bytes
    content_type: str = "application/json"
    accept: str = "application/json"
    path: str = "/elbo"
    ready: str | None = None  # a path that says 200 once it is; None: as soon as the request itself is answered

    def request(self) -> bytes:
        """The whole request, as it goes over the wire."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {self.content_type}\r\n"
            f"accept: {self.accept}\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    pid: int

    def ask(self) -> bytes:
        """The reply's body."""
        headers = {"content-type": self.server.content_type, "accept": self.server.accept}
        url = f"http://127.0.0.1:{self.port}{self.server.path}"
        asked = urllib.request.Request(url, data=self.server.body, headers=headers)
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return bytes(reply.read())

    def load(self, folder: Path, connections: int, seconds: float) -> dict[str, Any]:
        """What a closed loop of so many connections came to."""
        request = folder / "request.bin"
        request.write_bytes(self.server.request())
        module = "benchmarks.serving.load"
        return ask(module, [str(self.port), str(request), str(connections), str(seconds)], core=LOAD_CORE)


SERVER_CORE, LOAD_CORE = 0, 1  # places among the cores this process may use


def ask(module: str, arguments: Sequence[str], *, core: int) -> dict[str, Any]:
    """The last line that a module prints, as JSON; it runs on one core.

    Raises:
        SystemExit: it failed; the message ends with its last words.
    """
    return run(module, [*pinned(core), sys.executable, "-m", module, *arguments])


def pinned(core: int) -> list[str]:
    """What runs a command on one core, where that can be asked for."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)])]


@contextmanager
def started(server: Server) -> Iterator[Running]:
    """The server, answering, for the time of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*pinned(SERVER_CORE), *(part.replace("PORT", str(port)) for part in server.command)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        running = Running(server, port, process.pid)
        _wait(running, process)
        yield running
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait(running: Running, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            assert process.stderr is not None
            raise SystemExit(f"{running.server.name} ended at its start:\n{process.stderr.read().decode()[-2000:]}")
        try:
            if running.server.ready is None:
                running.ask()
            else:
                urllib.request.urlopen(f"http://127.0.0.1:{running.port}{running.server.ready}", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{running.server.name} did not answer within {PATIENCE:g} s")


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


def elbo_of(running: Running) -> list[float]:
    """The ELBO in a reply, of either type."""
    reply = running.ask()
    found = np.load(io.BytesIO(reply)) if running.server.accept == NPY_TYPE else json.loads(reply)
    return [float(value) for value in found["elbo"]]
