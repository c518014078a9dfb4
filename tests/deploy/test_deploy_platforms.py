"""The image as KServe, SageMaker and Vertex AI start, probe, call and stop it, on a real Docker engine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.chaos.containers.stack import IMAGE, build, docker, has_engine, wait
from vaekit_service.platform_settings import KILLED_AFTER

pytestmark = pytest.mark.deploy
BUNDLE = Path(__file__).parents[2] / "models" / "breast-cancer" / "1"
ROWS = [[float(i + 1)] * 30 for i in range(3)]
PORT = 8080  # of all three platforms
HEALTH, PREDICT = "/v1/endpoints/12/deployedModels/34", "/v1/endpoints/12/deployedModels/34:predict"

Run = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def image() -> str:
    if not has_engine():
        pytest.skip("needs a Docker engine and docker-compose")
    build("service", IMAGE)
    return IMAGE


@pytest.fixture
def run(image: str) -> Iterator[Run]:
    """run(folder in the container, arguments, **variables): (a container with the bundle in it, its address)."""
    started: list[str] = []

    def begin(folder: str, *arguments: str, **variables: str) -> tuple[str, str]:
        given = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
        options = ["--detach", "--read-only", "--tmpfs", "/tmp", "--publish", f"127.0.0.1::{PORT}"]
        mount = ["--volume", f"{BUNDLE}:{folder}:ro"]
        started.append(docker("run", *options, *mount, *given, image, *arguments).strip())
        return started[-1], f"http://{docker('port', started[-1], f'{PORT}/tcp').split()[0]}"

    yield begin
    for container in started:
        docker("rm", "--force", container)


def wait_until_ready(url: str) -> None:
    def ready() -> bool:
        try:
            return httpx.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    wait(f"{url} answers 200", ready)


def test_kserve_mounts_a_bundle_and_names_it(run: Run) -> None:
    arguments = ("serve", "--model_name=my-cancer", "--model_dir=/mnt/models", f"--http_port={PORT}")
    container, url = run("/mnt/models", *arguments)
    wait_until_ready(f"{url}/v1/models/my-cancer")
    reply = httpx.post(f"{url}/v1/models/my-cancer:predict", json={"instances": ROWS})
    assert len(reply.json()["predictions"]) == 3
    log = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True).stderr
    assert "paths of the platform need no key" in log


def test_sagemaker_runs_serve_and_stops_it_within_its_time(run: Run) -> None:
    container, url = run("/opt/ml/model", "serve", VAE_PLATFORM="sagemaker")
    wait_until_ready(f"{url}/ping")
    assert len(httpx.post(f"{url}/invocations", json={"inputs": ROWS}).json()["score"]) == 3
    start = time.monotonic()
    docker("stop", "--time", f"{KILLED_AFTER:.0f}", container)
    assert time.monotonic() - start < KILLED_AFTER / 2
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"  # 137 if it was killed


def test_vertex_sets_port_and_routes(run: Run) -> None:
    routes = {"AIP_HEALTH_ROUTE": HEALTH, "AIP_PREDICT_ROUTE": PREDICT}
    given = {"VAE_PLATFORM": "vertex", "AIP_HTTP_PORT": str(PORT), "AIP_STORAGE_URI": "/artifact", **routes}
    _, url = run("/artifact", "serve", **given)
    wait_until_ready(url + HEALTH)
    assert len(httpx.post(url + PREDICT, json={"instances": ROWS}).json()["predictions"]) == 3
