"""Runs on a CUDA device; skipped if there is none. test_runtime_session.py tests the same buffers on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from vaekit import Model
from vaekit.errors import DeviceError
from vaekit.runtime import device, session
from vaekit.runtime.device import Cuda

MODELS = Path(__file__).resolve().parents[2] / "models"


def cuda_works() -> bool:
    if device.CUDA not in onnxruntime.get_available_providers():
        return False
    try:
        Model.load(MODELS / "digits", device="cuda").close()
    except DeviceError:
        return False
    return True


pytestmark = pytest.mark.skipif(not cuda_works(), reason="no CUDA device that this ONNX Runtime can use")


@pytest.fixture(params=["breast-cancer", "digits"])
def name(request) -> str:
    return request.param


@pytest.fixture
def rows(name, benign_rows, digit_images) -> Any:
    return benign_rows if name == "breast-cancer" else digit_images[:400]


@pytest.fixture
def cuda(name) -> Iterator[Model]:
    with Model.load(MODELS / name, device="cuda") as model:
        yield model


def answers(model: Model, rows: Any) -> list[Any]:
    n = len(rows)
    latents = np.random.default_rng(0).standard_normal((n, model.manifest.latent_dim))
    calls = [model.encode(rows), model.decode(latents), model.elbo(rows), model.surprise(rows, num_samples=3)]
    return [*calls, model.sample(n, seed=0), model.sample(n, seed=0, observe=True)]


def assert_close(got: list[Any], want: list[Any], model: Model) -> None:
    tolerance = model.manifest.golden.tolerance[device.CUDA]
    for one, other in zip(got, want, strict=True):
        for key, array in one.arrays().items():
            close = {"rtol": tolerance.relative, "atol": tolerance.absolute}
            np.testing.assert_allclose(array, getattr(other, key), **close, err_msg=key)


def test_cuda_gives_the_same_results_as_the_cpu(name, cuda, rows):
    with Model.load(MODELS / name, device="cpu") as cpu:
        assert (cuda.device, cpu.device) == ("cuda", "cpu")
        for n in (1, 3, 64, len(rows)):
            assert_close(answers(cuda, rows[:n]), answers(cpu, rows[:n]), cuda)


def test_an_unavailable_device_is_an_error():
    with pytest.raises(DeviceError, match="device cuda:99"):
        Model.load(MODELS / "digits", device="cuda:99")


def test_calls_through_buffers_give_the_same_results_as_plain_calls(cuda):
    for graph in cuda.graphs.values():
        feeds = {
            t.name: np.zeros([{"N": 7, "K": 4}.get(str(s), s) for s in t.shape], t.dtype) for t in graph.graph.inputs
        }
        for got, want in zip(graph.run(feeds, 64), graph.native.run(graph.outputs, feeds), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_most_nodes_run_on_the_device(cuda):
    for operation, graph in cuda.graphs.items():
        assert graph.nodes[device.CUDA] > graph.nodes.get(device.CPU, 0), operation


def test_a_warmed_model_allocates_no_buffers_for_batches_of_default_draws(cuda, rows, monkeypatch):
    for call in cuda.warm_up_calls(len(rows)):
        call()
    monkeypatch.setattr(session, "Buffers", None)  # calling it would raise
    for n in (1, 2, 5, 100, len(rows)):
        cuda.encode(rows[:n])
        cuda.elbo(rows[:n])
        cuda.surprise(rows[:n])
        cuda.sample(n, seed=1, observe=True)


def test_recorded_cuda_graphs_give_the_same_results_as_plain_calls_in_any_thread(name, cuda, rows):
    want = {n: answers(cuda, rows[:n]) for n in (1, 3, 64, 300)}
    with Model.load(MODELS / name, device="cuda", cuda=Cuda(graphs=True)) as model, ThreadPoolExecutor(1) as thread:
        for call in model.warm_up_calls(256):  # so that 300 rows are not recorded
            thread.submit(call).result()
        for n in (*want, *want):
            assert_close(thread.submit(answers, model, rows[:n]).result(), want[n], cuda)
            assert_close(answers(model, rows[:n]), want[n], cuda)


def test_a_memory_limit_is_respected(name, rows):
    with Model.load(MODELS / name, device="cuda", cuda=Cuda(memory_bytes=2**28)) as model:
        model.elbo(rows)
    with pytest.raises(DeviceError):
        Model.load(MODELS / name, device="cuda", cuda=Cuda(memory_bytes=1024))  # less than the weights


def test_memory_in_use_is_reported(cuda):
    assert cuda.device_memory is not None
    assert cuda.device_memory > 2**20
