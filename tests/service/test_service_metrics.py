"""Counts of requests without an answer, names as Triton has them, and the memory of GPUs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import run
from vaekit import Model
from vaekit.runtime.device import CudaMemory

pytestmark = pytest.mark.anyio


def samples(text: str, name: str) -> dict[str, float]:
    """The values of a metric by its labels."""
    return {labels: float(value) for labels, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE)}


async def test_every_request_without_an_answer_is_counted_by_its_reason(models_dir: Path, benign_rows: Any) -> None:
    async with run(models_dir, default_model="breast-cancer") as service:
        await service.post("/elbo", {"inputs": benign_rows[:2].tolist()})
        await service.post("/elbo", {"inputs": [["x"]]})
        await service.post("/elbo", {"inputs": benign_rows[:2].tolist(), "num_samples": 1})
        await service.post("/elbo", "{")
        await service.post("/models/nothing/elbo", {"inputs": [[1.0]]})
        await service.http.get("/no/such/path")
        await service.http.delete("/models")
        text = (await service.http.get("/metrics")).text
    assert samples(text, "vae_rejections_total") == {
        'reason="InputError"': 2.0,
        'reason="Unparsable"': 1.0,
        'reason="UnknownModel"': 1.0,
        'reason="Not Found"': 1.0,
        'reason="Method Not Allowed"': 1.0,
    }
    assert samples(text, "vae_invalid_rows_total") == {'model="breast-cancer",version="1"': 2.0}


async def test_the_counters_of_models_also_have_tritons_names_if_asked(models_dir: Path, benign_rows: Any) -> None:
    async with run(models_dir, default_model="breast-cancer", triton_metrics=True) as service:
        for n in (1, 3):
            await service.post("/elbo", {"inputs": benign_rows[:n].tolist()})
        await service.post("/elbo", {"inputs": [["x"]]})
        text = (await service.http.get("/metrics")).text
    model = 'model="breast-cancer",version="1"'
    one = {name: samples(text, f"nv_inference_{name}").get(model) for name in ("request_success", "count")}
    assert one == {"request_success": 2.0, "count": 4.0}
    assert samples(text, "nv_inference_exec_count")[model] == 2.0
    assert samples(text, "nv_inference_request_failure") == {model.replace(",", ',reason="REJECTED",'): 1.0}
    parts = [
        samples(text, f"nv_inference_{part}_duration_us")[model]
        for part in ("queue", "compute_input", "compute_infer", "compute_output")
    ]
    assert 0 < sum(parts) <= samples(text, "nv_inference_request_duration_us")[model] + 4
    async with run(models_dir, default_model="breast-cancer") as service:
        await service.post("/elbo", {"inputs": benign_rows[:1].tolist()})
        assert "nv_inference" not in (await service.http.get("/metrics")).text


async def test_the_memory_of_a_gpu_is_listed_once(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with run(models_dir) as service:
        text = (await service.http.get("/metrics")).text
        assert samples(text, "vae_device_memory_used_bytes") == {}
        monkeypatch.setattr(Model, "device_memory", CudaMemory(30, 100))  # of both models
        monkeypatch.setattr(Model, "device_name", "cuda:1")
        text = (await service.http.get("/metrics")).text
    assert samples(text, "vae_device_memory_used_bytes") == {'device="cuda:1"': 30.0}
    assert samples(text, "vae_device_memory_total_bytes") == {'device="cuda:1"': 100.0}
