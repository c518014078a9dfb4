"""The model registry: loading, readiness, versions, and bundles that must not be served."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vaekit.runtime import Model
from vaekit_service.repository import loader as model_loader

pytestmark = pytest.mark.anyio
ROW = [1.0] * 30


def tamper(root: Path) -> None:
    graph = root / "breast-cancer/1/elbo.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")


def lose(root: Path) -> None:
    (root / "breast-cancer/1/decoder.onnx").unlink()


def rename(root: Path) -> None:
    (root / "breast-cancer").rename(root / "lung-cancer")


def renumber(root: Path) -> None:
    (root / "breast-cancer/1").rename(root / "breast-cancer/2")


def half_a_manifest(root: Path) -> None:
    manifest = root / "breast-cancer/1/manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:100])


FAULTS = {
    "a tampered graph": (tamper, "breast-cancer/1/elbo.onnx: sha256"),
    "a missing file": (lose, "breast-cancer/1/decoder.onnx: No such file"),
    "a folder of another name": (rename, "manifest.json is for breast-cancer/1; expected lung-cancer/1"),
    "a folder of another version": (renumber, "manifest.json is for breast-cancer/1; expected breast-cancer/2"),
    "half a manifest": (half_a_manifest, "breast-cancer/1/manifest.json"),
}


@pytest.mark.parametrize("case", FAULTS)
async def test_a_bad_bundle_fails_to_load_with_a_reason(start: Any, copied: Path, case: str) -> None:
    harm, reason = FAULTS[case]
    harm(copied)
    async with start(copied) as service:
        [model] = (await service.http.get("/models")).json()["models"]
        assert model["state"] == "failed"
        assert reason in model["reason"]
        assert str(copied) not in model["reason"]
        reply = await service.post("/elbo", {"inputs": [ROW]})
        assert reply.status_code == 503
        assert reason in reply.json()["detail"]
        assert "retry-after" not in reply.headers  # it would fail again
        reply = await service.http.get("/readyz")
        assert (reply.status_code, "retry-after" in reply.headers) == (503, False)
        assert (await service.http.get("/healthz")).status_code == 200


async def test_a_model_that_fails_to_load_does_not_affect_the_others(
    start: Any, copied: Path, models_dir: Path
) -> None:
    shutil.copytree(models_dir / "digits", copied / "digits")
    tamper(copied)
    async with start(copied) as service:
        assert (await service.http.get("/readyz")).status_code == 200
        assert (await service.post("/models/digits/sample", {"n": 1})).status_code == 200
        assert (await service.post("/models/breast-cancer/sample", {"n": 1})).status_code == 503
        lines = (await service.http.get("/metrics")).text.splitlines()
        assert [line for line in lines if line.startswith("vae_model_failed{")] == [
            'vae_model_failed{model="breast-cancer",version="1"} 1.0'
        ]
    async with start(copied, default_model="breast-cancer") as service:
        assert (await service.http.get("/readyz")).status_code == 503


async def test_a_half_written_bundle_is_not_listed(start: Any, copied: Path) -> None:
    home = copied / "breast-cancer"
    shutil.copytree(home / "1", home / ".writing-abc")
    shutil.copytree(home / "1", home / "2")
    (home / "2/manifest.json").unlink()
    async with start(copied) as service:
        [model] = (await service.http.get("/models")).json()["models"]
        assert (model["versions"], model["state"]) == ([1], "ready")
        [skipped] = [line for line in service.lines() if line["event"] == "skipped: no manifest.json"]
        assert (skipped["model"], skipped["version"]) == ("breast-cancer", 2)


async def test_without_any_bundle_the_service_is_alive_but_not_ready(start: Any, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        async with start(folder) as service:
            assert (await service.http.get("/healthz")).status_code == 200
            for reply in (await service.http.get("/readyz"), await service.post("/elbo", {"inputs": [ROW]})):
                assert reply.status_code == 503
                assert reply.json()["detail"].startswith(f"no model in {folder}: waiting")
                assert "retry-after" not in reply.headers
            reply = await service.post("/models/a/elbo", {"inputs": [ROW]})
            assert (reply.status_code, reply.json()["detail"]) == (404, "no model 'a'; served models: none")
            assert (await service.http.get("/models")).json() == {"default": None, "models": []}


async def test_a_loading_model_answers_503_until_it_is_loaded(
    start: Any, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave, load = threading.Event(), model_loader.open_version

    def held(*args: Any) -> Any:
        assert leave.wait(30)
        return load(*args)

    monkeypatch.setattr(model_loader, "open_version", held)
    async with start(models_dir, wait=False, default_model="digits") as service:
        reply = await service.http.get("/readyz")
        assert (reply.status_code, reply.json()["detail"]) == (503, "still loading: breast-cancer, digits")
        assert reply.headers["retry-after"] == "1"
        assert (await service.http.get("/healthz")).status_code == 200
        reply = await service.post("/sample", {"n": 1})
        assert reply.status_code == 503
        assert reply.json()["detail"] == "version 1 of model 'digits' is still loading; retry later"
        assert reply.headers["retry-after"] == "1"
        assert (await service.http.get("/models")).json()["models"][0]["state"] == "loading"
        leave.set()
        await service.components.registry.settled.wait()
        assert (await service.http.get("/readyz")).status_code == 200
        assert (await service.post("/sample", {"n": 1})).status_code == 200
        service.components.lifecycle.draining = True
        reply = await service.http.get("/readyz")
        assert (reply.json()["detail"], reply.headers["retry-after"]) == ("the service is shutting down", "1")


async def test_a_single_model_is_the_default_and_two_models_have_no_default(
    start: Any, copied: Path, models_dir: Path
) -> None:
    async with start(copied) as service:
        assert (await service.post("/sample", {"n": 1})).json()["model"] == "breast-cancer"
    async with start(models_dir) as service:
        reply = await service.post("/sample", {"n": 1})
        assert reply.status_code == 404
        assert reply.json()["detail"].endswith("served models: breast-cancer, digits")
    async with start(models_dir, default_model="nobody") as service:
        assert (await service.post("/sample", {"n": 1})).status_code == 404
        assert (await service.http.get("/readyz")).status_code == 503


async def test_the_latest_version_is_the_default_and_older_ones_load_on_request(
    start: Any, copied: Path, more_versions: Any
) -> None:
    for version in (2, 10):
        more_versions(copied, version)
    async with start(copied) as service:
        assert (await service.post("/sample", {"n": 1})).json()["version"] == 10
        assert [served.version for served in service.components.registry.loaded] == [10]
        replies = await asyncio.gather(
            *(service.post("/models/breast-cancer/versions/2/sample", {"n": 1}) for _ in range(4))
        )
        assert [reply.json()["version"] for reply in replies] == [2] * 4
        assert sorted(served.version for served in service.components.registry.loaded) == [2, 10]
        assert (await service.http.get("/models")).json()["models"][0]["versions"] == [1, 2, 10]


async def test_the_least_recently_used_old_version_is_unloaded(start: Any, copied: Path, more_versions: Any) -> None:
    for version in (2, 3, 4):
        more_versions(copied, version)
    async with start(copied, max_old_versions=2) as service:
        for version in (1, 2, 1, 3):
            path = f"/models/breast-cancer/versions/{version}/sample"
            assert (await service.post(path, {"n": 1})).json()["version"] == version
        assert sorted(served.version for served in service.components.registry.loaded) == [1, 3, 4]
        again = await service.post("/models/breast-cancer/versions/2/sample", {"n": 1})
        assert again.json()["version"] == 2


async def test_a_version_in_use_is_not_unloaded(start: Any, copied: Path, more_versions: Any) -> None:
    for version in (2, 3):
        more_versions(copied, version)
    async with start(copied, max_old_versions=1) as service:
        registry = service.components.registry
        with registry.lend("breast-cancer", "1") as lease:
            model = await lease.load()
            await service.post("/models/breast-cancer/versions/2/sample", {"n": 1})
            assert model.sample(1, seed=0).samples.shape == (1, 30)


async def test_an_old_version_that_failed_to_load_is_tried_again_after_a_pause(
    start: Any, copied: Path, more_versions: Any
) -> None:
    more_versions(copied, 2)
    graph = copied / "breast-cancer/1/elbo.onnx"
    good = graph.read_bytes()
    tamper(copied)
    path = "/models/breast-cancer/versions/1/sample"
    async with start(copied) as service:
        for content in (None, good):  # the second time the file is good again, but the pause is not over
            if content is not None:
                graph.write_bytes(content)
            reply = await service.post(path, {"n": 1})
            assert reply.status_code == 503
            assert "sha256" in reply.json()["detail"]
        assert (await service.post("/sample", {"n": 1})).status_code == 200
        service.components.registry.find("breast-cancer", "1").retry_at = 0.0  # the pause is over
        assert (await service.post(path, {"n": 1})).status_code == 200


async def test_waiting_for_an_old_version_has_a_deadline(
    start: Any, copied: Path, more_versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    more_versions(copied, 2)
    path = "/models/breast-cancer/versions/1"
    async with start(copied, answer_seconds=0.01) as service:
        leave, load = threading.Event(), model_loader.open_version

        def held(*args: Any) -> Any:
            assert leave.wait(30)
            return load(*args)

        monkeypatch.setattr(model_loader, "open_version", held)
        for reply in (await service.post(f"{path}/sample", {"n": 1}), await service.http.get(path)):
            assert reply.status_code == 504
        leave.set()


async def test_a_model_is_ready_after_its_warm_up_in_the_devices_thread(
    start: Any, copied: Path, more_versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    more_versions(copied, 2)
    leave, warmed = threading.Event(), []

    def warming(model: Model, max_rows: int) -> list[Callable[[], None]]:
        def call() -> None:
            assert leave.wait(30)
            warmed.append((model.manifest.version, max_rows, threading.current_thread().name))

        return [call, call]

    monkeypatch.setattr(Model, "warm_up_calls", warming)
    async with start(copied, wait=False, max_batch_rows=100) as service:
        assert (await service.http.get("/readyz")).json()["detail"] == "still loading: breast-cancer"
        leave.set()
        await service.components.registry.settled.wait()
        assert (await service.http.get("/readyz")).status_code == 200
        assert (await service.post("/models/breast-cancer/versions/1/sample", {"n": 1})).status_code == 200
    assert warmed == 2 * [(2, 100, "device")] + 2 * [(1, 100, "device")]


async def test_a_model_whose_warm_up_fails_is_failed_and_leaves_no_copy(
    start: Any, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    (tmp_path / "copies").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    monkeypatch.setattr(Model, "warm_up_calls", lambda *_: [fail])
    async with start(copied) as service:
        [model] = (await service.http.get("/models")).json()["models"]
        assert (model["state"], model["reason"]) == ("failed", "RuntimeError: CUDA failure 2: out of memory")
        assert list((tmp_path / "copies").iterdir()) == []
