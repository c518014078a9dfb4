"""A bad publish or an unreadable folder costs one version or one model, never the service, and is said loudly."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from vaekit import Model
from vaekit.bundle import find, models, versions
from vaekit.errors import ConfigError, FormatError
from vaekit_service.server import check_models

pytestmark = pytest.mark.anyio
ROW = [1.0] * 30
NAME = "breast-cancer"


def flip(folder: Path) -> None:
    graph = folder / "elbo.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)


def lose(folder: Path) -> None:
    (folder / "decoder.onnx").unlink()


def cut(folder: Path) -> None:
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:100])


def empty(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"")


def misname(folder: Path) -> None:
    shutil.copy(folder.parent / "1/manifest.json", folder / "manifest.json")


def unlink(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("nowhere")


BROKEN: dict[str, Callable[[Path], None]] = {
    "a flipped bit": flip,
    "a missing file": lose,
    "half a manifest": cut,
    "an empty manifest": empty,
    "a manifest that is a link to nowhere": unlink,
    "the manifest of another version": misname,
}


@pytest.mark.parametrize("case", BROKEN)
async def test_where_the_newest_version_is_broken_the_newest_that_verifies_serves(
    start: Any, copied: Path, more_versions: Any, case: str
) -> None:
    for version in (2, 10, 11):
        more_versions(copied, version)
    for version in (10, 11):
        BROKEN[case](copied / NAME / str(version))
    async with start(copied) as service:
        assert (await service.http.get("/readyz")).status_code == 200
        for path in ("/elbo", f"/models/{NAME}/elbo", f"/models/{NAME}/versions/2/elbo"):
            reply = await service.post(path, {"inputs": [ROW]})
            assert (reply.status_code, reply.json()["version"]) == (200, 2)
        assert (await service.http.get(f"/models/{NAME}")).json()["version"] == 2
        assert (await service.post(f"/models/{NAME}/versions/11/elbo", {"inputs": [ROW]})).status_code == 503
        [model] = (await service.http.get("/models")).json()["models"]
        assert (model["version"], model["state"], model["versions"]) == (2, "ready", [1, 2, 10, 11])
        assert model["failed"].keys() == {"10", "11"}
        assert f"{NAME}/11" in model["failed"]["11"]
        metrics = (await service.http.get("/metrics")).text.splitlines()
        for version in (10, 11):
            assert f'vae_model_failed{{model="{NAME}",version="{version}"}} 1.0' in metrics
        events = [(line["event"], line["version"]) for line in service.lines() if "version" in line]
        assert {("model failed", 11), ("model failed", 10), ("older version serves", 2)} <= set(events)


async def test_while_an_older_version_loads_in_place_of_a_broken_one_the_model_is_not_ready_yet(
    start: Any, copied: Path, more_versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaekit_service.repository import loader as model_loader

    flip(more_versions(copied, 2))
    leave, load = asyncio.Event(), model_loader.open_version
    loop = asyncio.get_running_loop()

    def held(served: Any, *args: Any) -> Any:
        if served.version == 1:
            asyncio.run_coroutine_threadsafe(leave.wait(), loop).result(30)
        return load(served, *args)

    monkeypatch.setattr(model_loader, "open_version", held)
    async with start(copied, wait=False) as service:
        registry = service.components.registry
        while registry.find(NAME, "2").state != "failed":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        reply = await service.post("/elbo", {"inputs": [ROW]})
        assert (reply.status_code, reply.headers.get("retry-after")) == (503, "1")
        assert (await service.http.get("/readyz")).status_code == 503
        leave.set()
        await registry.settled.wait()
        assert (await service.post("/elbo", {"inputs": [ROW]})).status_code == 200


async def test_an_older_version_that_a_request_is_loading_is_not_loaded_twice(
    start: Any, copied: Path, more_versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaekit_service.repository import loader as model_loader

    flip(more_versions(copied, 2))
    leave, load = asyncio.Event(), model_loader.open_version
    loop, opened = asyncio.get_running_loop(), []

    def held(served: Any, *args: Any) -> Any:
        opened.append(served.version)
        if served.version == 2:
            asyncio.run_coroutine_threadsafe(leave.wait(), loop).result(30)
        return load(served, *args)

    monkeypatch.setattr(model_loader, "open_version", held)
    async with start(copied, wait=False) as service:
        registry = service.components.registry
        while opened != [2]:
            await asyncio.sleep(0.01)
        first = asyncio.create_task(service.post(f"/models/{NAME}/versions/1/elbo", {"inputs": [ROW]}))
        while registry.find(NAME, "1").loading is None:
            await asyncio.sleep(0.01)
        leave.set()
        assert (await first).status_code == 200
        await registry.settled.wait()
        assert (await service.post("/elbo", {"inputs": [ROW]})).json()["version"] == 1
    assert opened == [2, 1]


async def test_a_model_of_which_no_version_loads_is_shown_at_its_newest(
    start: Any, copied: Path, models_dir: Path, more_versions: Any
) -> None:
    shutil.copytree(models_dir / "digits", copied / "digits")
    for folder in (more_versions(copied, 2), copied / NAME / "1"):
        flip(folder)
    async with start(copied) as service:
        listed = {model["name"]: model for model in (await service.http.get("/models")).json()["models"]}
        assert (listed[NAME]["version"], listed[NAME]["state"]) == (2, "failed")
        assert listed[NAME]["failed"].keys() == {"1", "2"}
        assert listed["digits"]["state"] == "ready"
        assert (await service.post(f"/models/{NAME}/elbo", {"inputs": [ROW]})).status_code == 503


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """unreadable(folder): as if it were another user's, of mode 0700; the superuser may read those."""
    locked: set[Path] = set()
    for name in ("iterdir", "open", "stat", "lstat", "is_file"):
        real = getattr(Path, name)

        def checked(self: Path, *args: Any, _real: Any = real, _name: str = name, **given: Any) -> Any:
            if any(folder in self.parents or (folder == self and _name == "iterdir") for folder in locked):
                raise PermissionError(13, "Permission denied", str(self))
            return _real(self, *args, **given)

        monkeypatch.setattr(Path, name, checked)
    return locked.add


async def test_an_unreadable_model_is_failed_and_the_others_are_served(
    start: Any, copied: Path, models_dir: Path, unreadable: Callable[[Path], None]
) -> None:
    shutil.copytree(models_dir / "digits", copied / "digits")
    unreadable(copied / "digits")
    async with start(copied) as service:
        listed = {model["name"]: model for model in (await service.http.get("/models")).json()["models"]}
        assert (listed["digits"]["state"], listed["digits"]["versions"]) == ("failed", [])
        assert "Permission denied" in listed["digits"]["reason"]
        assert str(copied) not in listed["digits"]["reason"]
        assert (await service.http.get("/readyz")).status_code == 200
        assert (await service.post(f"/models/{NAME}/elbo", {"inputs": [ROW]})).status_code == 200
        for path in ("/models/digits/sample", "/models/digits/versions/0/sample"):
            reply = await service.post(path, {"n": 1})
            assert (reply.status_code, "Permission denied" in reply.json()["detail"]) == (503, True)
        assert "vae_model_failed" in (await service.http.get("/metrics")).text
        assert any(line["event"] == "model failed" and line["model"] == "digits" for line in service.lines())


async def test_an_unreadable_version_is_failed_and_an_older_one_serves(
    start: Any, copied: Path, more_versions: Any, unreadable: Callable[[Path], None]
) -> None:
    unreadable(more_versions(copied, 2))
    async with start(copied) as service:
        [model] = (await service.http.get("/models")).json()["models"]
        assert (model["version"], model["state"]) == (1, "ready")
        assert "Permission denied" in model["failed"]["2"]


def test_other_readers_of_a_models_folder_say_what_they_cannot_read(
    copied: Path, unreadable: Callable[[Path], None]
) -> None:
    unreadable(copied / NAME)
    assert models(copied) == [NAME]
    for read in (versions, find):
        with pytest.raises(FormatError, match=r"breast-cancer: the folder cannot be read: Permission denied"):
            read(copied, NAME)
    with pytest.raises(FormatError, match=r"breast-cancer/manifest\.json: cannot be read: Permission denied"):
        Model.load(copied / NAME)


def test_a_models_folder_must_exist_and_may_be_empty(tmp_path: Path, unreadable: Callable[[Path], None]) -> None:
    check_models(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="no such folder; name an existing one with --models or VAE_MODELS"):
        check_models(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="this is a file"):
        check_models(tmp_path / "file")
    unreadable(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        check_models(tmp_path)
    with pytest.raises(ConfigError, match="file': Permission denied"):
        check_models(tmp_path / "file")


def test_serving_a_folder_that_is_not_there_ends_with_a_sentence(process: Any, tmp_path: Path) -> None:
    started = process("--models", str(tmp_path / "nowhere"))
    out, err = started.popen.communicate(timeout=60)
    assert (started.popen.returncode, out) == (1, "")
    assert err.count("\n") <= 2
    assert "no such folder" in " ".join(err.split())


def test_an_empty_models_folder_waits_and_is_not_ready(process: Any, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    started = process("--models", str(tmp_path / "models"))
    url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
    assert started.until(r"^(not ready): no model")
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert httpx.get(f"{url}/readyz").status_code == 503
