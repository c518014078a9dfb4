"""The time of each stage of a request, in the header Server-Timing and in the metrics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.service.conftest import run
from tests.service.test_service_wire import NPY, npy
from vaekit_service.engine.engine import Engine
from vaekit_service.engine.jobs import Job
from vaekit_service.stages import STAGES, Stages

pytestmark = pytest.mark.anyio


def timing(reply: Any) -> dict[str, float]:
    """Milliseconds by stage, from the header."""
    return {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", reply.headers["server-timing"])}


def counts(text: str) -> dict[str, float]:
    """The number of requests by stage, from the metrics."""
    found = re.findall(r'vae_stage_duration_seconds_count{stage="(\w+)"} ([\d.]+)', text)
    return {stage: float(n) for stage, n in found}


async def test_a_reply_says_how_long_each_stage_took(service: Any, benign_rows: Any) -> None:
    before = counts((await service.http.get("/metrics")).text)
    rows = np.repeat(benign_rows, 8, axis=0)
    reply = await service.http.post("/elbo", content=npy(rows), headers=NPY)
    assert reply.status_code == 200
    found = timing(reply)
    assert tuple(found) == STAGES
    assert all(ms > 0 for ms in found.values())
    assert found["run"] > found["encode"]
    for path, body in (("/encode", {"inputs": rows[:1].tolist()}), ("/sample", {"n": 2})):
        assert tuple(timing(await service.post(path, body))) == STAGES
    after = counts((await service.http.get("/metrics")).text)
    assert {stage: after[stage] - before[stage] for stage in STAGES} == dict.fromkeys(STAGES, 3.0)


async def test_a_refused_request_has_no_stages(service: Any) -> None:
    before = counts((await service.http.get("/metrics")).text)
    reply = await service.post("/elbo", {"inputs": [["x"]]})
    assert reply.status_code == 422
    assert "server-timing" not in reply.headers
    assert counts((await service.http.get("/metrics")).text) == before


async def test_the_header_can_be_turned_off(models_dir: Path, benign_rows: Any) -> None:
    async with run(models_dir, default_model="breast-cancer", server_timing=False) as quiet:
        reply = await quiet.post("/elbo", {"inputs": benign_rows[:1].tolist()})
        assert reply.status_code == 200
        assert "server-timing" not in reply.headers
        assert counts((await quiet.http.get("/metrics")).text)["run"] == 1.0


def test_the_header_is_in_milliseconds() -> None:
    stages = Stages(read=0.001, decode=0.0002, queue=0.0, run=1.5, encode=0.00005)
    assert stages.header() == b"read;dur=1.000, decode;dur=0.200, queue;dur=0.000, run;dur=1500.000, encode;dur=0.050"


async def test_a_request_of_several_batches_waits_once_and_runs_in_all_of_them(
    breast_cancer: Any, benign_rows: Any
) -> None:
    engine = Engine(max_queue_rows=100_000)
    engine.start()
    rows = np.repeat(benign_rows, 40, axis=0)
    job = Job(breast_cancer, "elbo", len(rows), rows, num_samples=4, max_batch_rows=64)
    await engine.submit(job)
    await engine.close()
    assert 0.0 < job.stages.queue < job.stages.run
