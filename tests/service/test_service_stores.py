"""A service whose models are in an object store: cached, updated, and not taken down by the store."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import fsspec
import httpx
import pytest

from tests.hub import hub
from tests.stores import Store, storing
from tests.versions import add_version
from vaekit.bundle.proposal import PROPOSAL_FILE
from vaekit.errors import StorageError
from vaekit.storage import mirror as mirroring
from vaekit.storage.hub import CARD

pytestmark = pytest.mark.anyio

BODY = {"inputs": [[1.0] * 30]}
ELBO = "/models/breast-cancer/elbo"
URL = "s3://bucket/models"
AWAY = "the store cannot be read; the copies that are here stay"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> Iterator[Store]:
    """An object store with breast-cancer."""
    with storing(tmp_path / "store") as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        shutil.copytree(models_dir / "breast-cancer", inside(running) / "breast-cancer")
        yield running


def inside(store: Store) -> Path:
    """The folder of models in the store."""
    return store.folder / "bucket" / "models"


async def versions(running: Any) -> dict[str, int]:
    """Look now; the version that serves of each model."""
    await running.components.updates.looked()
    listed = (await running.http.get("/models")).json()["models"]
    return {model["name"]: model["version"] for model in listed}


async def test_models_of_a_store_answer_like_local_ones(
    start: Any, store: Store, models_dir: Path, tmp_path: Path
) -> None:
    async with start(models_dir) as local, start(URL, cache=tmp_path / "cache") as far:
        expected = (await local.post(ELBO, BODY)).json()
        assert (await far.post("/elbo", BODY)).json() == expected  # the only model is the default
        assert (await far.http.get("/readyz")).json()["ready"] == ["breast-cancer"]
    assert store.objects()


async def test_a_file_system_of_fsspec_and_a_given_name(start: Any, models_dir: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.put(f"{models_dir}/breast-cancer/1/", "/one/", recursive=True)
    async with start(model="cancer=memory://one", cache=tmp_path / "cache") as running:
        assert await versions(running) == {"cancer": 1}
        assert (await running.post("/models/cancer/elbo", BODY)).status_code == 200


async def test_a_new_version_in_the_store_takes_over_and_a_removed_one_leaves(
    start: Any, store: Store, models_dir: Path, tmp_path: Path
) -> None:
    async with start(URL, cache=tmp_path / "cache") as running:
        add_version(inside(store), 2)
        shutil.copytree(models_dir / "digits", inside(store) / "digits")
        assert await versions(running) == {"breast-cancer": 2, "digits": 1}
        (add_version(inside(store), 3) / PROPOSAL_FILE).write_text("{}")
        assert await versions(running) == {"breast-cancer": 2, "digits": 1}
        shutil.rmtree(inside(store) / "breast-cancer" / "2")
        shutil.rmtree(inside(store) / "digits")
        assert await versions(running) == {"breast-cancer": 1}


async def test_a_new_version_that_is_invalid_takes_nothing_down(
    start: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "RETRY_SECONDS", 0)
    async with start(URL, cache=tmp_path / "cache") as running:
        graph = add_version(inside(store), 2) / "elbo.onnx"
        good = graph.read_bytes()
        graph.write_bytes(good + b"\0")
        assert await versions(running) == {"breast-cancer": 1}
        (listed,) = (await running.http.get("/models")).json()["models"]
        assert "sha256" in listed["failed"]["2"]
        graph.write_bytes(good)
        assert await versions(running) == {"breast-cancer": 2}


async def test_a_store_that_is_away_takes_no_model_down_and_writes_one_line(
    start: Any, store: Store, tmp_path: Path
) -> None:
    async with start(URL, cache=tmp_path / "cache") as running:
        inside(store).rename(store.folder / "away")
        for _ in range(5):
            assert await versions(running) == {"breast-cancer": 1}
            assert "vae_store_readable 0.0" in (await running.http.get("/metrics")).text
        assert (await running.post(ELBO, BODY)).status_code == 200
        (store.folder / "away").rename(inside(store))
        for _ in range(3):
            await versions(running)
            assert "vae_store_readable 1.0" in (await running.http.get("/metrics")).text
        events = [(line["level"], line["event"]) for line in running.lines() if "store" in line["event"]]
    assert events == [("error", AWAY), ("info", "the store can be read again")]


async def test_a_restart_without_the_store_serves_the_copies(start: Any, store: Store, tmp_path: Path) -> None:
    async with start(URL, cache=tmp_path / "cache"):
        pass
    inside(store).rename(store.folder / "away")
    async with start(URL, cache=tmp_path / "cache") as running:
        assert (await running.post(ELBO, BODY)).status_code == 200


async def test_a_store_that_is_empty_at_the_start_is_waited_for(start: Any, store: Store, tmp_path: Path) -> None:
    inside(store).rename(store.folder / "away")
    async with start(URL, cache=tmp_path / "cache") as running:
        reply = await running.http.get("/readyz")
        assert (reply.status_code, reply.json()["detail"].partition(":")[0]) == (503, "no model in s3")
        (store.folder / "away").rename(inside(store))
        assert await versions(running) == {"breast-cancer": 1}
        assert (await running.http.get("/readyz")).status_code == 200


async def test_a_cache_that_cannot_be_written_stops_the_start(start: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(StorageError, match="cache"):
        async with start("memory://models", cache=tmp_path / "cache"):
            pass


def test_vae_serve_takes_a_url(process: Callable[..., Any], store: Store, tmp_path: Path) -> None:
    started = process("--models", URL, "--cache", str(tmp_path / "cache"), **store.environment)
    url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
    started.until("^(ready): breast-cancer")
    assert httpx.post(f"{url}/elbo", json=BODY).status_code == 200


def test_vae_serve_takes_a_repository_of_the_hub(process: Callable[..., Any], models_dir: Path, tmp_path: Path) -> None:
    from tests.hub import Repository

    with hub() as running:
        repository = running.repositories["me/cancer"] = Repository(private=False)
        bundle = models_dir / "breast-cancer" / "1"
        files = {p.relative_to(bundle).as_posix(): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
        repository.commit("main", {**files, CARD: b"# a card"})
        environment = {**running.environment(str(tmp_path / "hf")), "VAE_CACHE": str(tmp_path / "cache")}
        started = process("--models", "hf://me/cancer", **environment)
        url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
        started.until("^(ready): breast-cancer")
        assert httpx.post(f"{url}/elbo", json=BODY).status_code == 200
        started.end()


def test_a_store_that_hangs_delays_neither_the_listener_nor_the_end(
    process: Callable[..., Any], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = f"s3://bucket/models?endpoint_override=127.0.0.1:{silent.getsockname()[1]}&scheme=http"
        keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        started = process("--models", away, VAE_CACHE=str(tmp_path / "cache"), VAE_DRAIN_SECONDS="0", **keys)
        url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/readyz").status_code == 503
        start = monotonic()
        started.popen.send_signal(signal.SIGTERM)
        assert started.popen.wait(30) == 0
        assert monotonic() - start < 10
