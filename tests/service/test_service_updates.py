"""The models folder changes while the service runs: new versions are swapped in, broken ones never, old ones leave."""

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
from vaekit_service.repository.source import ModelSource

pytestmark = pytest.mark.anyio
ROW = [1.0] * 30
NAME = "breast-cancer"
SELDOM = 3600.0  # seconds between two looks of the service itself; the tests look


def flip(folder: Path) -> None:
    graph = folder / "elbo.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)


async def version(service: Any, path: str = "/elbo") -> int | str:
    """The version that answers, or the problem."""
    reply = await service.post(path, {"inputs": [ROW]})
    return reply.json()["version"] if reply.status_code == 200 else reply.json()["detail"]


async def listed(service: Any) -> dict[str, Any]:
    """The entries of /models by name."""
    return {model["name"]: model for model in (await service.http.get("/models")).json()["models"]}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tuple[asyncio.Event, threading.Event]]:
    """held(version): (set once that version is being opened, to be set so that it goes on)."""
    loop_events: dict[int, tuple[asyncio.Event, threading.Event]] = {}
    real = model_loader.open_version

    def open_version(served: Any, *args: Any) -> Model:
        if served.version in loop_events:
            begun, leave = loop_events[served.version]
            loop.call_soon_threadsafe(begun.set)
            assert leave.wait(30)
        return real(served, *args)

    def hold(number: int) -> tuple[asyncio.Event, threading.Event]:
        nonlocal loop
        loop = asyncio.get_running_loop()
        loop_events[number] = asyncio.Event(), threading.Event()
        return loop_events[number]

    loop: Any = None
    monkeypatch.setattr(model_loader, "open_version", open_version)
    return hold


async def test_a_new_version_is_swapped_in_and_the_old_one_leaves(
    start: Any, copied: Path, more_versions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    async with start(copied, poll_seconds=SELDOM) as service:
        registry, updates = service.components.registry, service.components.updates
        old = registry.find(NAME, None)
        model, [before] = old.model, (tmp_path / "copies").iterdir()
        more_versions(copied, 2)
        assert await version(service) == 1
        await updates.look()
        assert await version(service) == 2
        assert (await listed(service))[NAME]["loaded"] == [2]
        await updates.settle()
        assert (old.model, model.graphs, before.exists()) == (None, {}, False)
        assert await version(service, f"/models/{NAME}/versions/1/elbo") == 1  # loaded again for who names it
        await updates.look()
        assert (await listed(service))[NAME]["loaded"] == [1, 2]
        assert await version(service) == 2


async def test_requests_keep_the_version_that_they_were_admitted_with(
    start: Any, copied: Path, more_versions: Any
) -> None:
    async with start(copied, poll_seconds=SELDOM) as service:
        registry, updates = service.components.registry, service.components.updates
        with registry.lend(None, None) as first, registry.lend(NAME, None) as second:
            more_versions(copied, 2)
            shutil.rmtree(copied / NAME / "1")
            await updates.look()
            assert await version(service) == 2
            for lease in (first, second):
                model = await lease.load()
                assert (model.manifest.version, model.sample(1, seed=0).samples.shape) == (1, (1, 30))
        await updates.settle()
        assert model.graphs == {}
        assert "no version '1'" in await version(service, f"/models/{NAME}/versions/1/elbo")


async def test_while_a_new_version_loads_the_old_one_answers_and_the_service_is_ready(
    start: Any, copied: Path, more_versions: Any, held: Any
) -> None:
    async with start(copied, poll_seconds=SELDOM) as service:
        begun, leave = held(2)
        more_versions(copied, 2)
        looking = asyncio.create_task(service.components.updates.look())
        await begun.wait()
        assert await version(service) == 1
        assert (await service.http.get("/readyz")).status_code == 200
        leave.set()
        await looking
        assert await version(service) == 2


async def test_a_broken_version_never_serves_and_is_tried_again_after_a_pause_or_a_change(
    start: Any, copied: Path, more_versions: Any
) -> None:
    async with start(copied, poll_seconds=SELDOM) as service:
        updates = service.components.updates
        graph = more_versions(copied, 2) / "elbo.onnx"
        good = graph.read_bytes()
        flip(graph.parent)
        await updates.look()
        assert await version(service) == 1
        found = (await listed(service))[NAME]
        assert (found["version"], found["state"], found["failed"].keys()) == (1, "ready", {"2"})
        assert f"{NAME}/2/elbo.onnx: sha256" in found["failed"]["2"]
        assert str(copied) not in found["failed"]["2"]
        assert f'vae_model_failed{{model="{NAME}",version="2"}} 1.0' in (await service.http.get("/metrics")).text
        graph.write_bytes(good)
        await updates.look()  # its pause is not over
        assert await version(service) == 1
        service.components.registry.find(NAME, "2").retry_at = 0.0
        await updates.look()
        assert await version(service) == 2
        assert (await listed(service))[NAME]["failed"] == {}
        flip(more_versions(copied, 3))
        await updates.look()
        (copied / NAME / "3/elbo.onnx").write_bytes(good)
        shutil.copy(copied / NAME / "3/manifest.json", copied / NAME / "3/manifest")
        (copied / NAME / "3/manifest").rename(copied / NAME / "3/manifest.json")  # as a publisher replaces it
        await updates.look()
        assert await version(service) == 3


async def test_the_pause_of_a_version_that_goes_on_failing_doubles_up_to_a_limit(
    start: Any, copied: Path, more_versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(more_versions(copied, 2))
    monkeypatch.setattr(model_loader, "monotonic", lambda: now)
    now = 0.0
    async with start(copied, poll_seconds=SELDOM) as service:
        pauses = []
        for _ in range(7):
            broken = service.components.registry.find(NAME, "2")
            pauses.append(broken.retry_at - now)
            now = broken.retry_at
            await service.components.updates.look()
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 480.0, 480.0]


async def test_a_version_that_is_replaced_by_a_broken_one_goes_on_from_memory(
    start: Any, copied: Path, more_versions: Any
) -> None:
    more_versions(copied, 2)
    async with start(copied, poll_seconds=SELDOM) as service:
        shutil.rmtree(copied / NAME / "2")
        flip(more_versions(copied, 2))
        await service.components.updates.look()
        assert await version(service) == 2
        assert (await listed(service))[NAME]["failed"].keys() == {"2"}
        shutil.rmtree(copied / NAME / "2")
        await service.components.updates.look()
        assert await version(service) == 1


async def test_models_come_and_go_and_the_only_model_of_the_start_remains_the_default(
    start: Any, copied: Path, models_dir: Path
) -> None:
    async with start(copied, poll_seconds=SELDOM) as service:
        updates = service.components.updates
        shutil.copytree(models_dir / "digits", copied / "digits")
        await updates.look()
        assert (await service.post("/models/digits/sample", {"n": 1})).status_code == 200
        assert (await service.http.get("/readyz")).json() == {
            "status": "ready",
            "ready": [NAME, "digits"],
            "not_ready": {},
        }
        assert (await service.post("/sample", {"n": 1})).json()["model"] == NAME
        assert (await service.post("/models/default/sample", {"n": 1})).json()["model"] == NAME
        shutil.rmtree(copied / NAME)
        await updates.look()
        assert (await service.post(f"/models/{NAME}/sample", {"n": 1})).status_code == 404
        assert (await service.post("/sample", {"n": 1})).json()["model"] == "digits"


async def test_a_new_model_that_is_broken_does_not_end_the_readiness(
    start: Any, copied: Path, models_dir: Path
) -> None:
    async with start(copied, poll_seconds=SELDOM) as service:
        shutil.copytree(models_dir / "digits", copied / "digits")
        flip(copied / "digits/1")
        await service.components.updates.look()
        reply = await service.http.get("/readyz")
        assert (reply.status_code, reply.json()["ready"]) == (200, [NAME])
        assert "digits/1/elbo.onnx: sha256" in reply.json()["not_ready"]["digits"]


@pytest.mark.parametrize("gone", ["the folder", "its content"])
async def test_an_unmounted_folder_takes_no_model_away(start: Any, copied: Path, more_versions: Any, gone: str) -> None:
    async with start(copied, poll_seconds=SELDOM) as service:
        elsewhere = copied.rename(copied.with_name("elsewhere"))
        if gone == "its content":
            copied.mkdir()
        for _ in range(2):
            await service.components.updates.look()
        assert await version(service) == 1
        assert [line["event"] for line in service.lines()].count("the loaded models stay") == 1
        if gone == "its content":
            copied.rmdir()
        more_versions(elsewhere, 2)
        elsewhere.rename(copied)
        await service.components.updates.look()
        assert await version(service) == 2


async def test_a_look_that_fails_is_logged_and_not_the_last_one(
    start: Any, copied: Path, more_versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = ModelSource.scan, asyncio.Event()
    loop = asyncio.get_running_loop()

    def scan(self: ModelSource) -> Any:
        if not failed.is_set():
            loop.call_soon_threadsafe(failed.set)
            raise OSError(116, "Stale file handle")
        return real(self)

    async with start(copied, poll_seconds=0.02) as service:
        monkeypatch.setattr(ModelSource, "scan", scan)
        await failed.wait()
        shutil.copytree(copied, copied.with_name("other"))
        more_versions(copied.with_name("other"), 2).rename(copied / NAME / "2")
        while await version(service) != 2:
            await asyncio.sleep(0.01)
        [said] = [line for line in service.lines() if line["event"] == "look at the models failed"]
        assert "Stale file handle" in said["reason"]


async def test_a_model_that_arrives_in_an_empty_folder_makes_the_service_ready(start: Any, copied: Path) -> None:
    elsewhere = (copied / NAME).rename(copied.with_name("elsewhere"))
    async with start(copied, poll_seconds=SELDOM) as service:
        assert (await service.http.get("/readyz")).status_code == 503
        elsewhere.rename(copied / NAME)
        await service.components.updates.look()
        assert (await service.http.get("/readyz")).status_code == 200
        assert await version(service) == 1


@pytest.mark.parametrize("layout", ["breast-cancer", "breast-cancer/1"], ids=["model", "bundle"])
async def test_a_folder_of_one_model_keeps_its_name_when_a_manifest_breaks(
    start: Any, copied: Path, more_versions: Any, layout: str
) -> None:
    async with start(copied / layout) as running:
        assert running.components.registry.names == ["breast-cancer"]
        broken = more_versions(copied, 2) if layout == "breast-cancer" else copied / layout
        (broken / "manifest.json").write_text("{")
        await running.components.updates.looked()
        (model,) = (await running.http.get("/models")).json()["models"]
        assert (model["name"], model["version"], model["state"]) == ("breast-cancer", 1, "ready")
        assert (await running.post("/elbo", {"inputs": [[1.0] * 30]})).status_code == 200
