"""The compose stack with three replicas, for the tests that need a Docker engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.chaos.containers.stack import Stack, build_all, has_engine, running
from benchmarks.processes import free_port

REPLICAS = 3


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine with the images of the stack; the test is skipped where none answers."""
    if not has_engine():
        pytest.skip("needs a Docker engine and docker-compose")
    build_all()


@pytest.fixture(scope="session")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001  builds the images
    """Three replicas behind nginx, Prometheus and Alertmanager."""
    folder, port = tmp_path_factory.mktemp("stack"), free_port()
    with running(folder, REPLICAS, ["nginx", "prometheus", "alertmanager"], port) as stack:
        yield stack
