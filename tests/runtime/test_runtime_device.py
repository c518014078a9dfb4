"""The installed ONNX Runtime and the requested device. A requested device that is not available is an error."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from vaekit import Model
from vaekit.errors import DeviceError, MissingExtra
from vaekit.runtime import device

HAS_CUDA_BUILD = device.CUDA in onnxruntime.get_available_providers()


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def version(name: str) -> str:
        if name not in names:
            raise metadata.PackageNotFoundError(name)
        return "1.31.1"

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_one_installed_distribution_is_accepted(monkeypatch, name):
    installed(monkeypatch, name)
    assert device.check_distribution() == name


def test_two_installed_distributions_are_an_error(monkeypatch, models_dir):
    installed(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    with pytest.raises(MissingExtra, match="both installed and break each other"):
        Model.load(models_dir / "digits")


def test_no_installed_distribution_is_an_error(monkeypatch, models_dir):
    installed(monkeypatch)
    with pytest.raises(MissingExtra, match=r"ONNX Runtime is not installed: install vaekit\[cpu\] or vaekit\[gpu\]"):
        Model.load(models_dir / "digits")


@pytest.mark.parametrize(
    ("text", "parsed"), [("auto", ("auto", 0)), ("cpu", ("cpu", 0)), ("cuda", ("cuda", 0)), ("cuda:3", ("cuda", 3))]
)
def test_a_device_is_auto_cpu_or_cuda_with_an_index(text, parsed):
    assert device.parse_device(text) == parsed


@pytest.mark.parametrize("text", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:100", "cpu:0", "cuda:0\n"])
def test_any_other_text_is_refused_as_a_device(text):
    with pytest.raises(DeviceError, match="is not auto, cpu, cuda or cuda:<index>"):
        device.parse_device(text)


@pytest.mark.skipif(HAS_CUDA_BUILD, reason="this ONNX Runtime has a CUDA provider")
def test_cuda_without_a_cuda_build_is_an_error_that_says_what_to_install(models_dir):
    with pytest.raises(DeviceError, match=r"no CUDA provider; install vaekit\[gpu\]"):
        Model.load(models_dir / "digits", device="cuda")


class Session:
    """A session as ONNX Runtime opens it if CUDA does not work: on the CPU, without an error."""

    def __init__(self, _path: str, _options: object, *, providers: list[object], enable_fallback: int) -> None:
        assert enable_fallback == 0
        self._cuda = any(isinstance(provider, tuple) for provider in providers)

    def get_providers(self) -> list[str]:
        return [device.CPU]


def test_a_silent_fallback_to_the_cpu_is_an_error_if_cuda_was_requested(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [device.CUDA, device.CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with pytest.raises(DeviceError, match="fell back to"):
        device.open_session(Path("x.onnx"), "cuda:1")
    assert device.open_session(Path("x.onnx"), "auto").get_providers() == [device.CPU]


def test_an_error_of_onnx_runtime_becomes_a_device_error_with_its_text(monkeypatch):
    class Fails(Session):
        def __init__(self, path: str, options: object, *, providers: list[object], enable_fallback: int) -> None:
            super().__init__(path, options, providers=providers, enable_fallback=enable_fallback)
            if self._cuda:
                raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [device.CUDA, device.CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Fails)
    with pytest.raises(DeviceError, match="device cuda:0: CUDA failure 100"):
        device.open_session(Path("x.onnx"), "cuda")
    assert device.open_session(Path("x.onnx"), "auto").get_providers() == [device.CPU]


def test_cuda_graphs_without_cuda_are_an_error(monkeypatch, models_dir):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [device.CPU])
    graphs = device.Cuda(graphs=True)
    with pytest.raises(DeviceError, match="device cpu: CUDA graphs need a CUDA device"):
        Model.load(models_dir / "digits", device="cpu", cuda=graphs)
    for check in (lambda: device.check_device("auto", graphs), lambda: device.check_device("cuda", graphs)):
        with pytest.raises(DeviceError, match="no CUDA provider"):
            check()
    device.check_device("auto", device.Cuda(memory_bytes=1))  # options for CUDA do not require a CUDA device


def test_cuda_options_are_passed_to_onnx_runtime(monkeypatch):
    recorded: list[object] = []

    class Recorded(Session):
        def __init__(self, path: str, options: object, *, providers: list[object], enable_fallback: int) -> None:
            super().__init__(path, options, providers=providers, enable_fallback=enable_fallback)
            recorded.append(providers)

        def get_providers(self) -> list[str]:
            return [device.CUDA, device.CPU]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [device.CUDA, device.CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorded)
    device.open_session(Path("x.onnx"), "cuda:1")
    device.open_session(Path("x.onnx"), "auto", cuda=device.Cuda(memory_bytes=2**30, graphs=True))
    always = {
        "use_tf32": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "1",
    }
    more = {"device_id": "0", "gpu_mem_limit": "1073741824", "enable_cuda_graph": "1"}
    assert recorded == [
        [(device.CUDA, {"device_id": "1", **always}), device.CPU],
        [(device.CUDA, {**always, **more}), device.CPU],
    ]


def test_memory_in_use_is_none_without_the_cuda_library(monkeypatch):
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert device.cuda_memory(0) is None


@pytest.mark.parametrize(("error", "found"), [(0, (2**30, 2**32)), (2, None)])
def test_memory_in_use_is_total_minus_free_memory(monkeypatch, error, found):
    class Library:
        def __init__(self, name: str) -> None:
            assert name == "libcudart.so.13"

        def cudaSetDevice(self, index: int) -> int:  # noqa: N802  its name
            assert index == 3
            return 0

        def cudaMemGetInfo(self, free: Any, total: Any) -> int:  # noqa: N802  its name
            free._obj.value, total._obj.value = 3 * 2**30, 4 * 2**30
            return error

    monkeypatch.setattr("ctypes.CDLL", Library)
    assert device.cuda_memory(3) == found
