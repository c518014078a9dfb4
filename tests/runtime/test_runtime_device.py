"""Which ONNX Runtime there is and which device it gives: asked for and absent is an error, never a silent CPU."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
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
def test_one_distribution_is_right(monkeypatch, name):
    installed(monkeypatch, name)
    assert device.check_distribution() == name


def test_both_distributions_are_refused_in_one_sentence(monkeypatch, models_dir):
    installed(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    with pytest.raises(MissingExtra, match="both installed and break each other"):
        Model.load(models_dir / "digits")


def test_neither_distribution_is_refused_in_one_sentence(monkeypatch, models_dir):
    installed(monkeypatch)
    with pytest.raises(MissingExtra, match=r"no ONNX Runtime: install vaekit\[cpu\] or vaekit\[gpu\]"):
        Model.load(models_dir / "digits")


@pytest.mark.parametrize(
    ("text", "parsed"), [("auto", ("auto", 0)), ("cpu", ("cpu", 0)), ("cuda", ("cuda", 0)), ("cuda:3", ("cuda", 3))]
)
def test_a_device_is_auto_cpu_or_cuda_with_an_index(text, parsed):
    assert device.parse_device(text) == parsed


@pytest.mark.parametrize("text", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:100", "cpu:0", "cuda:0\n"])
def test_every_other_word_is_refused(text):
    with pytest.raises(DeviceError, match="is not auto, cpu, cuda or cuda:<index>"):
        device.parse_device(text)


@pytest.mark.skipif(HAS_CUDA_BUILD, reason="this ONNX Runtime has a CUDA provider")
def test_cuda_asked_for_and_absent_is_an_error_that_says_what_to_install(models_dir):
    with pytest.raises(DeviceError, match=r"no CUDA provider; install vaekit\[gpu\]"):
        Model.load(models_dir / "digits", device="cuda")


class Session:
    """What ONNX Runtime gives where CUDA does not work: a session on the CPU, and no error."""

    def __init__(self, _path: str, _options: object, *, providers: list[object], enable_fallback: int) -> None:
        assert enable_fallback == 0
        self._cuda = any(isinstance(provider, tuple) for provider in providers)

    def get_providers(self) -> list[str]:
        return [device.CPU]


def test_a_silent_fall_back_to_the_cpu_is_an_error_where_cuda_was_asked_for(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [device.CUDA, device.CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with pytest.raises(DeviceError, match="fell back to"):
        device.open_session(Path("x.onnx"), "cuda:1")
    assert device.open_session(Path("x.onnx"), "auto").get_providers() == [device.CPU]


def test_an_error_of_the_native_layer_is_a_device_error_with_its_text(monkeypatch):
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


def cuda_works(models: Path) -> bool:
    if not HAS_CUDA_BUILD:
        return False
    try:
        Model.load(models / "digits", device="cuda").close()
    except DeviceError:
        return False
    return True


MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.skipif(not cuda_works(MODELS), reason="no CUDA device that this ONNX Runtime can use")
class TestCuda:
    """Golden rows are replayed at load; here real rows meet the same tolerance."""

    @pytest.mark.parametrize("name", ["breast-cancer", "digits"])
    def test_cuda_gives_what_the_cpu_gives(self, name, benign_rows, digit_images):
        rows = benign_rows if name == "breast-cancer" else digit_images
        with Model.load(MODELS / name, device="cuda") as cuda, Model.load(MODELS / name, device="cpu") as cpu:
            assert (cuda.device, cpu.device) == ("cuda", "cpu")
            tolerance = cuda.manifest.golden.tolerance[device.CUDA]
            pairs = [
                (cuda.encode(rows), cpu.encode(rows)),
                (cuda.elbo(rows, features=True), cpu.elbo(rows, features=True)),
                (cuda.sample(20, seed=0), cpu.sample(20, seed=0)),
            ]
        for got, want in pairs:
            for key, array in got.arrays().items():
                close = {"rtol": tolerance.relative, "atol": tolerance.absolute}
                np.testing.assert_allclose(array, getattr(want, key), **close, err_msg=key)

    def test_a_device_that_is_not_there_is_an_error(self):
        with pytest.raises(DeviceError, match="device cuda:99"):
            Model.load(MODELS / "digits", device="cuda:99")
