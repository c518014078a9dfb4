"""A transport that returns a set reply and records requests; a live service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live import serving
from vaekit import Client


class Recorder(httpx.MockTransport):
    """Returns a copy of `answer` or raises it, and keeps the last request."""

    def __init__(self) -> None:
        super().__init__(self._handle)
        self.answer: httpx.Response | Exception = httpx.Response(200, json={})
        self.request: httpx.Request | None = None

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.request = request
        if isinstance(self.answer, Exception):
            raise self.answer
        answer = self.answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
def transport() -> Recorder:
    return Recorder()


@pytest.fixture
def client(transport: Recorder) -> Iterator[Client]:
    with Client("http://host", transport=transport) as client:
        yield client


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def url(models_dir: Path) -> Iterator[str]:
    """A live service with the committed bundles; breast-cancer is the default model."""
    with serving(models_dir, default_model="breast-cancer") as address:
        yield address
