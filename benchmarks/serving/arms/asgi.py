"""The service's app behind a server of another make, with that server's defaults and none of vaekit's limits.

python -m benchmarks.serving.arms.asgi SERVER PORT MODELS DEFAULT_MODEL
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from vaekit_service.app import create_app
from vaekit_service.settings import load


def app() -> Any:
    """The app with the settings of the environment."""
    return create_app(load(device="cpu", threads=1, log_level="error"))


def _uvicorn(http: Any) -> Callable[[int], None]:
    def run(port: int) -> None:
        import uvicorn

        uvicorn.run(app(), port=port, http=http, ws="none", log_level="critical", access_log=False)

    return run


def _hypercorn(port: int) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    asyncio.run(serve(app(), config))


def _granian(port: int) -> None:
    from granian import Granian
    from granian.constants import Interfaces

    Granian(
        "benchmarks.serving.arms.asgi:app",
        port=port,
        interface=Interfaces.ASGI,
        factory=True,
        log_enabled=False,
    ).serve()


SERVERS: dict[str, tuple[str, Callable[[int], None]]] = {  # by name: the package that it needs
    "uvicorn httptools": ("uvicorn", _uvicorn("httptools")),
    "uvicorn h11": ("uvicorn", _uvicorn("h11")),
    "hypercorn": ("hypercorn", _hypercorn),
    "granian": ("granian", _granian),
}


def installed() -> list[str]:
    return [name for name, (package, _) in SERVERS.items() if find_spec(package) is not None]


if __name__ == "__main__":
    server, port, models, default_model = sys.argv[1:]
    os.environ |= {"VAE_MODELS": models, "VAE_DEFAULT_MODEL": default_model}
    SERVERS[server][1](int(port))
