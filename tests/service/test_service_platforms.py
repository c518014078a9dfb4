"""Plays KServe and Vertex AI: starts the container's command as they do, probes and calls it. Settings of platforms."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import IMAGE
from tests.stores import storing
from vaekit.errors import ConfigError
from vaekit_service import exposure
from vaekit_service.app import create_app
from vaekit_service.settings import load

PUBLIC = "paths of the platform need no key"
ROWS = [[float(i + 1)] * 30 for i in range(3)]
HEALTH, PREDICT = "/v1/endpoints/12/deployedModels/34", "/v1/endpoints/12/deployedModels/34:predict"


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


@pytest.mark.parametrize("route", ["predict", "/a{b}", "/a?b", "/", "/a/"])
def test_a_route_must_be_a_path(route: str) -> None:
    with pytest.raises(ConfigError, match="expected a path that begins with /"):
        load(predict_route=route)


@pytest.mark.parametrize("route", ["/elbo", "/models"])
def test_a_route_that_is_the_services_own_is_refused(route: str, models_dir: Path) -> None:
    with pytest.raises(ConfigError, match=f"VAE_PREDICT_ROUTE={route}: this path is one of the service's own"):
        create_app(load(models=models_dir, predict_route=route))


def test_an_unknown_platform_is_refused() -> None:
    with pytest.raises(ConfigError, match="VAE_PLATFORM='azure': the platforms are kserve, sagemaker, vertex"):
        load(platform="azure")
