"""Fixtures: a service in this process and a service in its own process, both with the committed bundles."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from benchmarks.processes import free_port
from tests.versions import add_version
from vaekit_service.app import create_app
from vaekit_service.components import Components
from vaekit_service.logs import make_log
from vaekit_service.settings import load


@dataclass
class Running:
    """A service in this process."""

    http: httpx.AsyncClient
    app: FastAPI
    components: Components
    log: io.StringIO

    async def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        """POST a body as JSON; strings and bytes are sent unchanged."""
        content = body if isinstance(body, str | bytes) else json.dumps(body)
        return await self.http.post(path, content=content, headers={"content-type": "application/json"}, **more)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


Run = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def run(models: Path | None = None, *, wait: bool = True, **given: Any) -> AsyncIterator[Running]:
    log = io.StringIO()
    app = create_app(load(models=models, device="cpu", **given), make_log("json", "debug", log))
    async with app.router.lifespan_context(app):
        if wait:
            await app.state.components.registry.settled.wait()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
            yield Running(http, app, app.state.components, log)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def start() -> Run:
    """start(models, wait=True, **settings): a context manager that runs a service."""
    return run


@pytest.fixture(scope="module")
async def service(models_dir: Path, anyio_backend: str) -> AsyncIterator[Running]:
    """A service with both committed models; breast-cancer is the default model."""
    assert anyio_backend == "asyncio"
    async with run(models_dir, default_model="breast-cancer") as running:
        yield running


def on(kind: str) -> Any:
    """A fixture: a service with only one model, that of the fixture `kind` in tests/conftest.py."""

    @pytest.fixture(scope="module")
    async def running(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Running]:
        assert anyio_backend == "asyncio"
        async with run(request.getfixturevalue(kind).root) as service:
            yield service

    return running


on_mixed, on_several, on_folded, on_shown = on("mixed"), on("several"), on("folded"), on("shown")


@pytest.fixture
def copied(models_dir: Path, tmp_path: Path) -> Path:
    """A writable models folder with breast-cancer in it."""
    root = tmp_path / "models"
    shutil.copytree(models_dir / "breast-cancer" / "1", root / "breast-cancer" / "1")
    return root


@pytest.fixture(scope="session")
def more_versions() -> Callable[..., Path]:
    return add_version


class Process:
    """`vae serve` in its own process."""

    def __init__(self, *flags: str, **environment: str) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("VAE_")}
        self.popen = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from vaekit.cli import main; main()",
                "serve",
                "--port",
                "0",
                "--device",
                "cpu",
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**env, **environment},
        )
        assert self.popen.stdout is not None
        self.out = self.popen.stdout

    def until(self, pattern: str) -> str:
        """Read stdout up to a line that matches the pattern; return the first group of the match."""
        for line in self.out:
            if match := re.search(pattern, line):
                return match[1]
        raise AssertionError(f"ended before {pattern!r}: {self.popen.communicate()[1]}")

    def end(self) -> None:
        """Stop the process with SIGINT, so that it can remove its private copies of bundles."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
        try:
            self.popen.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.communicate()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """process(*flags, **environment): a process that is stopped after the test; its temporary files are in tmp_path."""
    started: list[Process] = []

    def begin(*flags: str, **environment: str) -> Process:
        started.append(Process(*flags, TMPDIR=str(tmp_path), **environment))
        return started[-1]

    yield begin
    for one in started:
        one.end()


# What the image sets; see Dockerfile
IMAGE = {"VAE_MODELS": "/models", "VAE_HOST": "0.0.0.0", "VAE_PORT": "8000", "VAE_DEVICE": "cpu"}


class Container(Process):
    """The entry point of the image, `vae`, with the arguments and the variables that a platform gives."""

    def __init__(self, *arguments: str, folder: Path, **environment: str) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("VAE_", "AIP_", "SAGEMAKER_"))}
        self.log = folder / "log.txt"
        self._log = self.log.open("w")
        self.popen = subprocess.Popen(
            [sys.executable, "-c", "from vaekit.cli import main; main()", *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**env, **IMAGE, "VAE_LOG_FORMAT": "json", "TMPDIR": str(folder), **environment},
        )
        assert self.popen.stdout is not None
        self.out = self.popen.stdout

    def wait_until_ready(self, url: str) -> None:
        """Probe like a platform until the probe succeeds."""
        end = monotonic() + 60
        while monotonic() < end and self.popen.poll() is None:
            try:
                if httpx.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def warnings(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["level"] == "warning"]

    def end(self) -> None:
        super().end()
        self._log.close()


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    started: list[Container] = []

    def begin(*arguments: str, **environment: str) -> Container:
        started.append(Container(*arguments, folder=tmp_path, **environment))
        return started[-1]

    yield begin
    for one in started:
        one.end()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def mounted(tmp_path: Path, models_dir: Path) -> Callable[[str], Path]:
    """mounted(layout): a folder as a platform mounts it."""

    def make(layout: str) -> Path:
        below = {"bundle": "", "versions": "1", "models": "breast-cancer/1"}[layout]
        shutil.copytree(models_dir / "breast-cancer" / "1", tmp_path / "mounted" / below)
        return tmp_path / "mounted"

    return make
