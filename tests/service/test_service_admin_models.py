"""Admin routes of models: reload, pin, unpin, load, unload. They need keys, and leave an audit line each."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import Running, run
from tests.service.keyed import bearer
from tests.versions import add_version
from vaekit_service.keys.key import entry, line, new_key

pytestmark = pytest.mark.anyio

ADMIN, READER = new_key(), new_key()
KEYS = line("a", entry(ADMIN, ["read", "infer", "admin"])) + line("r", entry(READER, ["read", "infer"]))
MODEL = "/admin/models/breast-cancer"


@pytest.fixture
def models(copied: Path) -> Path:
    """Three versions of one model; the third is broken."""
    for number in (2, 3):
        add_version(copied, number)
    with (copied / "breast-cancer" / "3" / "elbo.onnx").open("ab") as graph:
        graph.write(b"more than the manifest says")
    return copied


def serving(models: Path, **given: Any) -> Any:
    return run(models, keys=KEYS, admin=True, poll_seconds=3600.0, **given)


async def act(service: Running, path: str, key: str = ADMIN) -> httpx.Response:
    return await service.http.post(path, headers=bearer(key))


def summary(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    return next(model for model in reply.json()["models"] if model["name"] == "breast-cancer")


async def test_a_pin_and_an_unpin_take_effect_before_the_reply(models: Path, benign_rows: Any) -> None:
    async with serving(models) as service:
        pinned = summary(await act(service, f"{MODEL}/versions/1/pin"))
        assert (pinned["version"], pinned["pinned"]) == (1, 1)
        body = {"inputs": benign_rows[:1].tolist()}
        reply = await service.http.post("/models/breast-cancer/elbo", json=body, headers=bearer(ADMIN))
        assert reply.json()["version"] == 1
        unpinned = summary(await act(service, f"{MODEL}/unpin"))
        assert (unpinned["version"], unpinned["pinned"]) == (2, None)
    assert not (models / "breast-cancer" / "policy.json").exists()  # nothing is written


async def test_a_version_that_cannot_be_loaded_is_not_pinned(models: Path) -> None:
    async with serving(models) as service:
        for number, status in ((3, 503), (9, 404), ("x", 404)):
            refused = await act(service, f"{MODEL}/versions/{number}/pin")
            assert refused.status_code == status, refused.text
        assert (await act(service, "/admin/models/nothing/unpin")).status_code == 404
        now = summary(await service.http.get("/models", headers=bearer(ADMIN)))
        assert (now["version"], now["pinned"]) == (2, None)


async def test_a_loaded_version_stays_until_it_is_unloaded(models: Path) -> None:
    async with serving(models, max_old_versions=1) as service:
        assert summary(await act(service, f"{MODEL}/versions/1/load"))["loaded"] == [1, 2]
        serves = await act(service, f"{MODEL}/versions/2/unload")
        assert (serves.status_code, serves.json()["title"]) == (409, "Version serves")
        assert summary(await act(service, f"{MODEL}/versions/1/unload"))["loaded"] == [2]
        body = {"inputs": [[0.0] * 30]}
        again = await service.http.post("/models/breast-cancer/versions/1/elbo", json=body, headers=bearer(ADMIN))
        assert again.status_code == 200


async def test_calls_at_the_same_time_all_take_effect(copied: Path) -> None:
    for number in (2, 3, 4):
        add_version(copied, number)
    async with serving(copied, max_old_versions=9) as service:
        for number in (1, 2, 3):  # then they are in memory, so that no call waits for a load
            path = f"/models/breast-cancer/versions/{number}/elbo"
            await service.http.post(path, json={"inputs": [[0.0] * 30]}, headers=bearer(ADMIN))
        calls = ["versions/2/pin", *(f"versions/{number}/load" for number in (1, 2, 3))]
        for reply in await asyncio.gather(*(act(service, f"{MODEL}/{call}") for call in calls)):
            summary(reply)
        policy = service.components.registry.models["breast-cancer"].policy
    assert (policy.pinned, policy.loaded) == (2, (1, 2, 3))


async def test_a_reload_finds_new_versions_and_tries_broken_ones_again(models: Path) -> None:
    async with serving(models) as service:
        assert 3 in {int(v) for v in summary(await act(service, "/admin/models/reload"))["failed"]}
        shutil.rmtree(models / "breast-cancer" / "3")
        add_version(models, 3)
        add_version(models, 4)
        found = summary(await act(service, "/admin/models/reload"))
        assert (found["version"], found["failed"]) == (4, {})


async def test_each_call_needs_the_scope_and_leaves_an_audit_line(models: Path) -> None:
    async with serving(models) as service:
        assert (await act(service, f"{MODEL}/versions/1/pin", READER)).status_code == 403
        assert (await service.http.post(f"{MODEL}/unpin")).status_code == 401
        await act(service, f"{MODEL}/versions/1/load")
        audits = [each for each in service.lines() if each["event"] == "audit"]
        now = summary(await service.http.get("/models", headers=bearer(ADMIN)))
    assert [(each.get("key"), each["status"]) for each in audits] == [("r", 403), (None, 401), ("a", 200)]
    assert audits[-1]["parameters"] == {"name": "breast-cancer", "version": "1"}
    assert (now["pinned"], now["loaded"]) == (None, [1, 2])


async def test_without_the_setting_there_are_no_such_routes(models: Path) -> None:
    async with run(models, keys=KEYS) as service:
        assert (await act(service, "/admin/models/reload")).status_code == 404
