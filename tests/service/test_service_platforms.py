"""Plays KServe, SageMaker and Vertex AI: starts the container's command as they do, probes, calls and ends it."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.conftest import Process
from tests.service.keyed import KEYS, TEXT, bearer
from tests.stores import storing
from vaekit.errors import ConfigError
from vaekit_service import exposure
from vaekit_service.http.platforms import attributes_of
from vaekit_service.platform_settings import KILLED_AFTER
from vaekit_service.settings import load

ROWS = [[float(i + 1)] * 30 for i in range(3)]
# What the image sets; see Dockerfile
IMAGE = {"VAE_MODELS": "/models", "VAE_HOST": "0.0.0.0", "VAE_PORT": "8000", "VAE_DEVICE": "cpu"}
HEALTH, PREDICT = "/v1/endpoints/12/deployedModels/34", "/v1/endpoints/12/deployedModels/34:predict"
PUBLIC = "paths of the platform need no key"


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
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def mounted(tmp_path: Path, models_dir: Path) -> Callable[[str], Path]:
    """mounted(layout): a folder as a platform mounts it."""

    def make(layout: str) -> Path:
        below = {"bundle": "", "versions": "1", "models": "breast-cancer/1"}[layout]
        shutil.copytree(models_dir / "breast-cancer" / "1", tmp_path / "mounted" / below)
        return tmp_path / "mounted"

    return make


def kserve(folder: Path, port: int) -> list[str]:
    return ["serve", "--model_name=my-cancer", f"--model_dir={folder}", f"--http_port={port}"]


@pytest.mark.parametrize("layout", ["bundle", "versions"])
def test_kserve_mounts_a_folder_and_passes_its_arguments(container: Any, port: int, mounted: Any, layout: str) -> None:
    url = f"http://127.0.0.1:{port}"
    process = container(*kserve(mounted(layout), port))
    process.wait_until_ready(f"{url}/v1/models/my-cancer")
    assert httpx.get(f"{url}/v1/models").json() == {"models": ["my-cancer"]}
    reply = httpx.post(f"{url}/v1/models/my-cancer:predict", json={"instances": ROWS})
    assert len(reply.json()["predictions"]) == 3
    assert PUBLIC in [line["event"].partition(":")[0] for line in process.warnings()]


def test_kserve_passes_a_folder_without_a_bundle(container: Any, port: int, tmp_path: Path) -> None:
    process = container(*kserve(tmp_path, port))
    assert process.popen.wait(60) == 1
    assert f"model my-cancer: {tmp_path}: no manifest.json there" in process.log.read_text().replace("\n", "")


def sagemaker(folder: Path, port: int) -> dict[str, str]:
    return {"VAE_PLATFORM": "sagemaker", "SM_MODEL_DIR": str(folder), "SAGEMAKER_BIND_TO_PORT": str(port)}


def npy(rows: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(rows))
    return file.getvalue()


@pytest.mark.parametrize("layout", ["bundle", "versions", "models"])
def test_sagemaker_runs_serve_and_calls_ping_and_invocations(
    container: Any, port: int, mounted: Any, layout: str
) -> None:
    url = f"http://127.0.0.1:{port}"
    process = container("serve", **sagemaker(mounted(layout), port))
    process.wait_until_ready(f"{url}/ping")
    as_json = httpx.post(f"{url}/invocations", json={"inputs": ROWS, "alpha": 0.1}).json()
    assert (as_json["model"], as_json["alpha"], len(as_json["score"])) == ("breast-cancer", 0.1, 3)
    headers = {"content-type": "application/x-npy", "accept": "application/x-npy"}
    arrays = httpx.post(f"{url}/invocations", content=npy(ROWS), headers=headers)
    found = np.load(io.BytesIO(arrays.content))
    assert found["score"].tolist() == as_json["score"]
    assert [line["platform"] for line in process.warnings() if line["event"].startswith(PUBLIC)] == ["sagemaker"]


def test_invocations_take_csv_and_lines_as_sagemaker_sends_them(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    container("serve", **sagemaker(mounted("bundle"), port)).wait_until_ready(f"{url}/ping")
    expected = httpx.post(f"{url}/invocations", json={"inputs": ROWS}).json()["score"]
    columns = [column["name"] for column in httpx.get(f"{url}/models/breast-cancer").json()["input"]["columns"]]
    plain = "".join(",".join(map(str, row)) + "\n" for row in ROWS)
    named = ",".join(columns) + "\n" + plain
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    for text, kind in (
        (plain, "text/csv"),
        (plain, "text/csv; charset=utf-8"),
        (plain, "text/csv;header=absent"),
        (named, "text/csv; header=present"),
        (lines, "application/jsonlines"),
    ):
        headers = {"content-type": kind}
        assert httpx.post(f"{url}/invocations", content=text, headers=headers).json()["score"] == expected, kind
    headers = {"content-type": "text/csv", "accept": "application/jsonlines"}
    reply = httpx.post(f"{url}/invocations", content=plain, headers=headers)
    assert [json.loads(line)["score"] for line in reply.text.splitlines()] == expected
    reply = httpx.post(f"{url}/invocations", content=plain, headers={"content-type": "text/csv", "accept": "text/csv"})
    assert len(reply.text.splitlines()) == 4


def test_custom_attributes_name_the_operation_and_its_options(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    container("serve", **sagemaker(mounted("bundle"), port)).wait_until_ready(f"{url}/ping")

    def invoke(attributes: str, **more: Any) -> httpx.Response:
        headers = {"x-amzn-sagemaker-custom-attributes": attributes, **more.pop("headers", {})}
        return httpx.post(f"{url}/invocations", headers=headers, **more)

    reply = invoke("operation=encode", json={"inputs": ROWS})
    assert set(reply.json()) >= {"mu", "sigma"}
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "operation=encode"
    assert len(invoke("operation=sample", json={"n": 2, "seed": 1}).json()["samples"]) == 2
    csv = {"content-type": "text/csv", "accept": "text/csv"}
    stream = invoke("operation=encode", content=",".join(map(str, ROWS[0])) + "\n", headers=csv)
    assert stream.text.startswith("mu.0,")
    assert stream.headers["x-amzn-sagemaker-custom-attributes"] == "operation=encode"
    array = {"content": npy(ROWS), "headers": {"content-type": "application/x-npy"}}
    assert invoke("alpha=0.2,explain=1", **array).json()["alpha"] == 0.2
    assert "alpha" in invoke("c000b4f9-df62-4c85-a0bf-7c525f9104a4", json={"inputs": ROWS}).json()
    refused = invoke("operation=delete", json={"inputs": ROWS})
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "operation: 'delete' is none of encode, decode, sample, elbo",
    )
    assert invoke("alpha=x", **array).status_code == 422


def test_custom_attributes_are_options_or_nothing() -> None:
    assert attributes_of(b"alpha=0.1,operation=elbo") == attributes_of(b"alpha=0.1&operation=elbo")
    assert attributes_of(b"a trace: 12") == {}
    with pytest.raises(ValueError, match="gives an option twice"):
        attributes_of(b"alpha=0.1,alpha=0.2")


def test_sagemaker_routes_exist_only_on_sagemaker(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    container(*kserve(mounted("bundle"), port)).wait_until_ready(f"{url}/readyz")
    assert httpx.get(f"{url}/ping").status_code == 404
    assert httpx.post(f"{url}/invocations", json={"inputs": ROWS}).status_code == 404


def test_with_keys_only_the_routes_of_sagemaker_are_open(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    process = container("serve", VAE_KEYS=TEXT, **sagemaker(mounted("bundle"), port))
    process.wait_until_ready(f"{url}/ping")
    assert httpx.post(f"{url}/invocations", json={"inputs": ROWS}).status_code == 200
    for path, body in (("/elbo", {"inputs": ROWS}), ("/encode", {"inputs": ROWS})):
        assert httpx.post(url + path, json=body).status_code == 401
        assert httpx.post(url + path, json=body, headers=bearer(KEYS["infer"])).status_code == 200
    assert httpx.get(f"{url}/models").status_code == 401
    assert [line["event"].partition(":")[0] for line in process.warnings()] == [PUBLIC]


def load_until(stop: threading.Event, url: str, statuses: list[int]) -> None:
    with httpx.Client(timeout=60) as client:
        while not stop.is_set():
            try:
                statuses.append(client.post(f"{url}/invocations", json={"inputs": ROWS * 100}).status_code)
            except httpx.ConnectError:  # the listener is closed
                return


def test_sagemaker_ends_a_container_under_load(container: Any, port: int, mounted: Any) -> None:
    """Every request that was accepted is answered, and the process ends by itself."""
    url = f"http://127.0.0.1:{port}"
    process = container("serve", **sagemaker(mounted("bundle"), port))
    process.wait_until_ready(f"{url}/ping")
    stop, statuses = threading.Event(), list[int]()
    callers = [threading.Thread(target=load_until, args=(stop, url, statuses)) for _ in range(4)]
    for caller in callers:
        caller.start()
    while len(statuses) < 8:
        sleep(0.01)
    start = monotonic()
    process.popen.send_signal(signal.SIGTERM)
    try:
        assert process.popen.wait(KILLED_AFTER) == 0
        assert monotonic() - start < 10
    finally:
        stop.set()
        for caller in callers:
            caller.join(60)
    assert set(statuses) == {200}


@pytest.mark.slow
def test_sagemaker_need_not_kill_a_container_whose_caller_never_ends_its_request(
    container: Any, port: int, mounted: Any
) -> None:
    """With the settings of the platform, and 30 s after SIGTERM."""
    process = container("serve", VAE_BODY_SECONDS="600", **sagemaker(mounted("bundle"), port))
    process.wait_until_ready(f"http://127.0.0.1:{port}/ping")
    with socket.create_connection(("127.0.0.1", port)) as caller:
        head = "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        caller.sendall(head.encode())
        sleep(0.5)
        start = monotonic()
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(KILLED_AFTER) == 0
        assert monotonic() - start > 15  # it waited for the request


def vertex(port: int, **more: str) -> dict[str, str]:
    given = {"AIP_HTTP_PORT": str(port), "AIP_HEALTH_ROUTE": HEALTH, "AIP_PREDICT_ROUTE": PREDICT}
    return {"VAE_PLATFORM": "vertex", **given, **more}


def test_vertex_names_port_routes_and_the_folder_of_the_model(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    folder = mounted("bundle")
    process = container("serve", **vertex(port, AIP_STORAGE_URI=str(folder)))
    process.wait_until_ready(url + HEALTH)
    body = {"instances": ROWS, "parameters": {"alpha": 0.2}}
    found = httpx.post(url + PREDICT, json=body).json()
    assert list(found) == ["predictions"]
    assert len(found["predictions"]) == 3
    refused = httpx.post(url + PREDICT, json={"instances": [[1.0]]})
    assert (refused.status_code, list(refused.json())) == (400, ["error"])
    assert [line["platform"] for line in process.warnings() if line["event"].startswith(PUBLIC)] == ["vertex"]


def test_vertex_names_an_artifact_in_a_store(container: Any, port: int, tmp_path: Path, models_dir: Path) -> None:
    with storing(tmp_path / "store") as store:
        shutil.copytree(models_dir / "breast-cancer" / "1", store.folder / "bucket" / "artifact")
        given = vertex(port, AIP_STORAGE_URI="s3://bucket/artifact", VAE_CACHE=str(tmp_path / "cache"))
        process = container("serve", **given, **store.environment)
        process.wait_until_ready(f"http://127.0.0.1:{port}{HEALTH}")
        reply = httpx.post(f"http://127.0.0.1:{port}{PREDICT}", json={"instances": ROWS})
        assert len(reply.json()["predictions"]) == 3
        process.end()


def test_vertex_without_its_variables_is_a_one_line_error(container: Any) -> None:
    process = container("serve", VAE_PLATFORM="vertex")
    assert process.popen.wait(60) == 1
    assert "VAE_PLATFORM=vertex: AIP_HEALTH_ROUTE is not set" in process.log.read_text()


def test_no_platform_is_assumed_from_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AIP_HTTP_PORT": "1", "AIP_PREDICT_ROUTE": PREDICT, "SAGEMAKER_BIND_TO_PORT": "2"}.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert (settings.port, settings.platform, settings.predict_route) == (8000, None, None)
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        exposure.checked(settings, "0.0.0.0")


def test_the_variables_of_a_platform_hold_instead_of_those_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**IMAGE, "VAE_PLATFORM": "sagemaker"}.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert (settings.port, str(settings.models), settings.shutdown_seconds) == (8080, "/opt/ml/model", 20)
    monkeypatch.setenv("VAE_SHUTDOWN_SECONDS", "3")
    assert load().shutdown_seconds == 3
    assert load(port=9).port == 9


def test_a_platform_without_keys_may_listen_unless_its_routes_need_keys() -> None:
    assert exposure.checked(load(platform="kserve"), "0.0.0.0").platform == "kserve"
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        exposure.checked(load(platform="kserve", public="probes"), "0.0.0.0")


def test_an_end_that_takes_longer_than_sagemaker_waits_is_refused() -> None:
    exposure.checked(load(platform="sagemaker", drain_seconds=4), "0.0.0.0")
    with pytest.raises(ConfigError, match="SageMaker kills the service 30 s after SIGTERM"):
        exposure.checked(load(platform="sagemaker", drain_seconds=5), "0.0.0.0")
    exposure.checked(load(platform="kserve", drain_seconds=5), "0.0.0.0")


@pytest.mark.parametrize("route", ["predict", "/a{b}", "/a?b"])
def test_a_route_must_be_a_path(route: str) -> None:
    with pytest.raises(ConfigError, match="expected a path that begins with /"):
        load(predict_route=route)


def test_an_unknown_platform_is_refused() -> None:
    with pytest.raises(ConfigError, match="VAE_PLATFORM='azure': the platforms are kserve, sagemaker, vertex"):
        load(platform="azure")
