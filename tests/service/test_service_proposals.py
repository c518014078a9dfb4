"""Proposed versions in the service, and the way from a score log to thresholds that an operator accepted."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.bundle.test_proposals import NAME, PROPOSAL, propose
from tests.kinds import GROUPED_NAMES, NAMES, Published, grouped_rows, mixed_rows
from tests.live import serving
from vaekit import Client, Model
from vaekit.bundle import Calibration, versions
from vaekit.bundle.grouped import every_row
from vaekit.bundle.proposal import PROPOSAL_FILE, accept
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit_service.repository.actions import ModelActions

pytestmark = pytest.mark.anyio


async def serving_version(service: Any) -> tuple[int, list[int]]:
    await service.components.updates.look()
    (model,) = (await service.http.get("/models")).json()["models"]
    return model["version"], model["proposed"]


async def test_a_proposed_version_answers_by_number_alone_until_it_is_accepted(start: Any, copied: Path) -> None:
    async with start(copied) as service:
        folder = propose(copied, 2)
        assert await serving_version(service) == (1, [2])
        rows = {"inputs": [[1.0] * 30]}
        assert (await service.post("/elbo", rows)).json()["version"] == 1
        by_number = await service.post(f"/models/{NAME}/versions/2/elbo", rows)
        assert by_number.json()["version"] == 2
        accept(folder)
        assert await serving_version(service) == (2, [])
        assert (await service.post("/elbo", rows)).json()["version"] == 2
        assert not any(line["event"] == "older version serves" for line in service.lines())


async def test_a_start_beside_a_proposed_version_serves_the_one_before(start: Any, copied: Path) -> None:
    propose(copied, 2)
    async with start(copied) as service:
        assert await serving_version(service) == (1, [2])


async def test_a_model_with_proposed_versions_alone_is_not_served_until_one_is_accepted(
    start: Any, copied: Path
) -> None:
    marker = copied / NAME / "1" / PROPOSAL_FILE
    marker.write_bytes(PROPOSAL.to_json())
    async with start(copied) as service:
        reply = await service.post("/elbo", {"inputs": [[1.0] * 30]})
        assert reply.status_code == 503
        assert "all versions are proposed" in reply.json()["detail"]
        accept(marker.parent)
        await service.components.updates.look()
        assert (await service.post("/elbo", {"inputs": [[1.0] * 30]})).status_code == 200


async def test_a_service_goes_on_with_the_version_in_memory_if_only_proposed_ones_remain(
    start: Any, copied: Path
) -> None:
    async with start(copied) as service:
        propose(copied, 2)
        (copied / NAME / "1").rename(copied / "gone")
        assert (await serving_version(service))[0] == 1
        assert (await service.post("/elbo", {"inputs": [[1.0] * 30]})).json()["version"] == 1


async def test_an_admin_cannot_pin_a_proposed_version(start: Any, copied: Path) -> None:
    propose(copied, 2)
    async with start(copied) as service:
        actions = ModelActions(service.components.registry, service.components.updates)
        with pytest.raises(InputError, match=f"first run vae models accept {NAME}@2"):
            await actions.pin(NAME, "2")
        assert await serving_version(service) == (1, [2])


async def test_a_pin_to_a_number_does_not_accept_a_proposal_that_gets_the_number(start: Any, copied: Path) -> None:
    rows = {"inputs": [[1.0] * 30]}
    async with start(copied, pins=f"{NAME}=2") as service:
        folder = propose(copied, 2)
        assert await serving_version(service) == (2, [2])
        reply = await service.post("/elbo", rows)
        assert (reply.status_code, f"vae models accept {NAME}@2" in reply.json()["detail"]) == (503, True)
        accept(folder)
        assert await serving_version(service) == (2, [])
        assert (await service.post("/elbo", rows)).json()["version"] == 2


async def test_the_version_in_memory_goes_on_if_its_pinned_number_becomes_a_proposal(start: Any, copied: Path) -> None:
    async with start(copied, pins=f"{NAME}=1") as service:
        (copied / NAME / "1").rename(copied / "gone")
        propose_from(copied / "gone", copied)
        await service.components.updates.look()
        served = service.components.registry.models[NAME].serving
        assert (served.model is not None, served.proposed) == (True, False)
        assert (await service.post("/elbo", {"inputs": [[1.0] * 30]})).status_code == 200


def propose_from(folder: Path, root: Path) -> None:
    """Copy a folder to version 1, which is proposed."""
    temporary = root / NAME / ".copy"
    shutil.copytree(folder, temporary)
    (temporary / PROPOSAL_FILE).write_bytes(PROPOSAL.to_json())
    temporary.rename(root / NAME / "1")


def vae(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("payloads", [False, True])
async def test_from_the_score_log_to_accepted_thresholds(
    payloads: bool, copied: Path, tmp_path: Path, benign_rows: NDArray[np.float64]
) -> None:
    log, labels = tmp_path / "log", tmp_path / "labels.csv"
    rows = benign_rows[:200]
    settings = {"score_log": log, "score_log_payloads": payloads, "poll_seconds": 0.05}
    with serving(copied, **settings) as url, Client(url) as client:
        scored = client.elbo(rows, ids=[f"part-{i}" for i in range(len(rows))])
    labels.write_text("id,label\n" + "".join(f"part-{i},ok\n" for i in range(len(rows))) + "unknown,bad\n")
    assert "200 of 201 labels have a score" in vae("feedback", labels, "--scores", log, "--anomaly", "bad")
    told = vae(
        "calibrate", NAME, "--models", copied, "--feedback", labels, "--scores", log, "--anomaly", "bad", "--device",
        "cpu",
    )  # fmt: skip
    assert "is proposed: it is only used where it is named" in told
    with serving(copied, **settings) as url, Client(url) as client:
        assert client.elbo(rows[:1]).version == 1
        assert client.elbo(rows[:1], model=NAME, version=2).version == 2
        assert f"{NAME}@2 beside {NAME}@1" in vae("models", "accept", f"{NAME}@2", "--models", copied, "--dry-run")
        assert client.elbo(rows[:1]).version == 1
        vae("models", "accept", f"{NAME}@2", "--models", copied)
        for _ in range(400):
            if client.elbo(rows[:1]).version == 2:
                break
            await asyncio.sleep(0.05)
        after = client.elbo(rows)
    assert (after.version, versions(copied, NAME)) == (2, [1, 2])
    np.testing.assert_allclose(after.score, scored.score, rtol=1e-4, atol=1e-3)
    with Model.load(copied / NAME, device="cpu") as model:
        np.testing.assert_allclose(model.calibration().scores, np.sort(scored.score), rtol=1e-4, atol=1e-3)
        assert "confirmed as normal" in model.manifest.calibration.assumption
        assert model.manifest.provenance.rows["calibration"] == 200
    assert np.mean(after.p_value <= 0.1) <= 0.1
    assert pq.read_table(log).num_rows > 200


@pytest.mark.parametrize("kind", ["mixed", "images", "grouped"])
async def test_logged_rows_of_every_kind_give_the_calibration_of_their_scores(
    kind: str, models_dir: Path, mixed: Published, grouped: Published, tmp_path: Path
) -> None:
    name = {"mixed": "mixed", "images": "digits", "grouped": "grouped"}[kind]
    source = {"mixed": mixed.root, "images": models_dir, "grouped": grouped.root}[kind]
    shutil.copytree(source / name, tmp_path / "models" / name)
    rows: Any = None
    if kind == "mixed":
        rows = [dict(zip(NAMES, row, strict=True)) for row in mixed_rows(60, seed=3).tolist()]
        rows[0]["colour"], rows[1]["load"] = "unheard of", None
    if kind == "grouped":
        rows = [dict(zip(GROUPED_NAMES, row, strict=True)) for row in grouped_rows(120, seed=3).tolist()]
    settings = {"score_log": tmp_path / "log", "score_log_payloads": True}
    with serving(tmp_path / "models", **settings) as url, Client(url) as client:
        if kind == "images":
            rows = np.clip(client.sample(60, model=name, seed=1).samples, 0, 255).astype(np.uint8)
        scored = client.elbo(rows, ids=range(len(rows)), model=name)
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n" + "".join(f"{i},0\n" for i in range(len(rows))))
    words = ("--models", tmp_path / "models", "--feedback", labels, "--scores", tmp_path / "log", "--device", "cpu")
    vae("calibrate", name, *words)
    with Model.load(tmp_path / "models" / name / "2", device="cpu") as model:
        calibration = every_row(model.calibration())
        assert isinstance(calibration, Calibration)
        np.testing.assert_allclose(np.sort(calibration.held_out), np.sort(scored.score), rtol=1e-4, atol=1e-3)
        assert calibration.novel_scores.size == sum(map(bool, scored.novel or ()))
        assert (model.manifest.groups is None) == (kind != "grouped")
