"""The repository under the Open Inference Protocol: index, load, unload, states, and the names of models."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.keyed import KEYS, TEXT, bearer
from tests.service.v2.cases import KSERVE, MLSERVER, TRAP, X, case_of
from tests.service.v2.talk_v2 import BREAST, ROW, infer, outputs, refused, rows
from vaekit.errors import ConfigError
from vaekit_service.settings import load

pytestmark = pytest.mark.anyio

ADMIN = bearer(KEYS["all"])
MODEL = "/v2/repository/models/breast-cancer"


@pytest.fixture
async def admin(start: Any, copied: Path) -> AsyncIterator[Any]:
    """A service with admin routes and breast-cancer in a folder that may be changed."""
    async with start(copied, keys=TEXT, admin=True, poll_seconds=3600.0) as running:
        running.http.headers.update(ADMIN)
        running.folder = copied
        yield running


@case_of(KSERVE, "load with an empty body", 200)
async def test_load_with_an_empty_body_answers_the_name(admin: Any) -> None:
    for body in (b"", b"{}", b'{"parameters": {}}'):
        reply = await admin.http.post(f"{MODEL}/load", content=body)
        assert reply.json() == {"name": "breast-cancer", "load": True}
    refused(await admin.http.post(f"{MODEL}/load", content=b'{"parameters": {"config": "{}"}}'), 501)


@case_of(KSERVE, "load of a model that cannot be loaded", 503)
async def test_a_model_that_cannot_be_loaded_is_a_503(admin: Any) -> None:
    shutil.copytree(admin.folder / "breast-cancer", admin.folder / "broken")
    refused(await admin.http.post("/v2/repository/models/broken/load"), 503)


@case_of(KSERVE, "load of an unknown model", 404)
async def test_load_of_an_unknown_model_is_a_404(admin: Any) -> None:
    refused(await admin.http.post("/v2/repository/models/nothing/load"), 404)
    refused(await admin.http.post("/v2/repository/models/breast-cancer.other/load"), 404)


@case_of(KSERVE, "unload of an unknown model", 404)
async def test_unload_of_an_unknown_model_is_a_404(admin: Any) -> None:
    refused(await admin.http.post("/v2/repository/models/nothing/unload"), 404)


@case_of(KSERVE, "a model that is not ready: /ready and /infer", 503)
async def test_a_model_that_is_not_ready_answers_ready_and_infer_with_503(admin: Any) -> None:
    assert (await admin.http.get("/v2/models/breast-cancer/ready")).json() == {"name": "breast-cancer", "ready": True}
    assert (await admin.http.post(f"{MODEL}/unload")).json() == {"name": "breast-cancer", "unload": True}
    for suffix in ("", ".encode", ".decode", ".sample"):
        home = f"/v2/models/breast-cancer{suffix}"
        assert "unloaded" in refused(await admin.http.get(f"{home}/ready"), 503)
        assert "unloaded" in refused(await infer(admin.http, f"{home}/infer", rows(X)), 503)
    [state] = {one["state"] for one in (await admin.http.post("/v2/repository/index")).json()}
    assert state == "UNAVAILABLE"
    assert (await admin.http.post("/v2/repository/index", content=b'{"ready": true}')).json() == []
    assert (await admin.http.get("/v2/models")).json() == {"models": []}
    assert (await admin.post("/elbo", {"inputs": [ROW]})).status_code == 503  # the bundle is not served at all


@case_of(MLSERVER, "load after unload", 200)
async def test_a_model_answers_again_after_unload_and_load(admin: Any) -> None:
    before = outputs(await infer(admin.http, BREAST, rows(X)))["elbo"]
    await admin.http.post(f"{MODEL}/unload")
    await admin.components.updates.settle()
    assert admin.components.registry.loaded == []  # its memory is free
    await admin.components.updates.looked()
    assert admin.components.registry.loaded == []  # and stays so
    assert (await admin.http.post(f"{MODEL}.encode/load")).json() == {"name": "breast-cancer.encode", "load": True}
    assert outputs(await infer(admin.http, BREAST, rows(X)))["elbo"] == before


@case_of(TRAP, "a cold start (MLServer#1134)", 503)
async def test_a_model_that_still_loads_is_a_503_and_not_a_400(start: Any, models_dir: Path) -> None:
    async with start(models_dir, wait=False) as running:
        for path in ("/v2/health/ready", "/v2/models/breast-cancer/ready", "/v2/models/breast-cancer"):
            reply = await running.http.get(path)
            refused(reply, 503)
            assert reply.headers["retry-after"] == "1"
        refused(await infer(running.http, BREAST, rows(X)), 503)
        assert (await running.http.get("/v2/health/live")).status_code == 200
        await running.components.registry.settled.wait()
        assert (await infer(running.http, BREAST, rows(X))).status_code == 200


def test_the_name_of_a_bundle_has_no_dot() -> None:
    """So a.encode is always the encoder of a."""
    with pytest.raises(ConfigError, match=r"no model 'a\.encode': names must match"):
        load(model="a.encode=models/digits/1")


async def test_a_folder_with_a_dot_in_its_name_is_no_model(start: Any, copied: Path) -> None:
    shutil.copytree(copied / "breast-cancer", copied / "breast-cancer.encode")
    async with start(copied) as running:
        found = outputs(await infer(running.http, "/v2/models/breast-cancer.encode/infer", rows(X)))
        assert set(found) == {"mu", "sigma"}
        assert (await running.http.get("/models")).json()["models"][0]["name"] == "breast-cancer"
        assert len((await running.http.get("/models")).json()["models"]) == 1
