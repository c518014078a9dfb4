"""Runs the service in a thread, on a free port of this machine, for tests that send real HTTP requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from vaekit_service.app import create_app
from vaekit_service.settings import load


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        await self.config.app.state.components.registry.settled.wait()
        self.up.set()


class Mounted(Starlette):
    """An app below a path of another one."""

    def __init__(self, prefix: str, app: FastAPI) -> None:
        super().__init__(routes=[Mount(prefix, app)], lifespan=lambda _: app.router.lifespan_context(app))
        self.state.components = app.state.components


@contextmanager
def serving(models: Path, prefix: str = "", **settings: Any) -> Iterator[str]:
    """Run a service and yield its address once its models are loaded; stop the service at the end.

    Args:
        models: the models folder.
        prefix: a path, below which another app serves it, as a proxy would.
        settings: of the service.
    """
    app: Any = create_app(load(models=models, device="cpu", log_level="error", **settings))
    if prefix:
        app = Mounted(prefix, app)
    server = _Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.up.wait(30)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
