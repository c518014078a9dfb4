"""Loading a model: open, verify, replay. A bundle that does not reproduce its golden outputs is refused."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaekit import Model
from vaekit.bundle.write import digest
from vaekit.errors import BundleError, DeviceError, FormatError, GoldenMismatch, IntegrityError
from vaekit.runtime.golden import replay

OPERATIONS = ("encode", "prior", "decode", "observe", "elbo", "surprise")


@pytest.fixture
def folder(models_dir: Path, tmp_path: Path) -> Path:
    """A copy of breast-cancer/1 that a test may change."""
    shutil.copytree(models_dir / "breast-cancer" / "1", tmp_path / "breast-cancer" / "1")
    return tmp_path / "breast-cancer" / "1"


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def change_golden(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change golden.npz, and put its new sha256 into the manifest."""
    with np.load(folder / "golden.npz") as old:
        arrays = {name: old[name] for name in old.files}
    change(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (folder / "golden.npz").write_bytes(buffer.getvalue())
    change_manifest(folder, lambda manifest: manifest["golden"].update(sha256=digest(buffer.getvalue())))


def test_a_model_loads_from_a_version_folder_or_a_model_folder(folder):
    for path in (folder, folder.parent, str(folder)):
        with Model.load(path, device="cpu") as model:
            assert model.manifest.version == 1


def test_the_latest_version_loads_by_default(folder):
    shutil.copytree(folder, folder.with_name("10"))
    change_manifest(folder.with_name("10"), lambda manifest: manifest.update(version=10))
    with Model.load(folder.parent, device="cpu") as model:
        assert model.manifest.version == 10


def test_closing_deletes_the_private_copy(folder):
    with Model.load(folder, device="cpu") as model:
        copy = model.bundle.path("encoder.onnx").parent
        assert copy.is_dir()
    assert not copy.exists()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_changed_golden_output_with_a_correct_sha256_is_a_mismatch(folder, operation):
    def change_output(arrays: dict[str, np.ndarray]) -> None:
        name = next(name for name in arrays if name.startswith(f"{operation}.out."))
        arrays[name].flat[-1] += 0.01 * (1 + abs(arrays[name].flat[-1]))

    change_golden(folder, change_output)
    with pytest.raises(GoldenMismatch, match=f"{operation}: .*, golden "):
        Model.load(folder, device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_golden_output_that_is_not_finite_is_a_mismatch(folder, value):
    change_golden(folder, lambda arrays: arrays["elbo.out.kl"].__setitem__(0, value))
    with pytest.raises(GoldenMismatch, match="elbo: kl: the golden output is not finite"):
        Model.load(folder, device="cpu")


def test_a_golden_output_of_another_shape_is_a_mismatch(folder):
    change_golden(folder, lambda arrays: arrays.update({"elbo.out.kl": arrays["elbo.out.kl"][:-1]}))
    with pytest.raises(GoldenMismatch, match="shape"):
        Model.load(folder, device="cpu")


@pytest.mark.parametrize("name", ["elbo.out.kl", "elbo.out.novel"])
def test_missing_or_extra_golden_outputs_are_refused(folder, name):
    change_golden(folder, lambda arrays: arrays.pop(name) if name in arrays else arrays.update({name: np.zeros(1)}))
    with pytest.raises(FormatError, match=r"elbo: golden outputs .*, but the graph has "):
        Model.load(folder, device="cpu")


@pytest.mark.parametrize("side", ["in", "out"])
def test_an_operation_without_golden_rows_is_refused(folder, side):
    def drop(arrays: dict[str, np.ndarray]) -> None:
        for name in [name for name in arrays if name.startswith(f"decode.{side}.")]:
            del arrays[name]

    change_golden(folder, drop)
    with pytest.raises(FormatError, match="decode has no golden rows"):
        Model.load(folder, device="cpu")


def test_a_provider_without_a_tolerance_is_refused(folder):
    change_manifest(folder, lambda manifest: manifest["golden"]["tolerance"].pop("CPUExecutionProvider"))
    with pytest.raises(FormatError, match=r"golden\.npz has no tolerance for CPUExecutionProvider, only for: "):
        Model.load(folder, device="cpu")


def test_a_graph_replaced_by_another_valid_graph_is_refused(folder):
    (folder / "elbo.onnx").write_bytes((folder / "surprise.onnx").read_bytes())
    with pytest.raises(IntegrityError, match=r"elbo.onnx: sha256"):
        Model.load(folder, device="cpu")


def test_a_folder_without_a_bundle_is_a_format_error(tmp_path):
    with pytest.raises(FormatError, match=r"no manifest\.json"):
        Model.load(tmp_path / "nothing")


def test_a_refused_bundle_leaves_no_copy(folder, tmp_path, monkeypatch):
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    change_golden(folder, lambda arrays: arrays["elbo.out.kl"].__setitem__(0, 1e6))
    with pytest.raises(GoldenMismatch):
        Model.load(folder, device="cpu")
    with pytest.raises(DeviceError):
        Model.load(folder, device="tpu")
    assert list((tmp_path / "copies").iterdir()) == []


def replace(folder: Path, file: str, content: bytes) -> None:
    """Replace a file, and its sha256 in the manifest."""
    old, new = digest((folder / file).read_bytes()), digest(content)
    (folder / file).write_bytes(content)
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_draws_that_are_not_finite_are_refused(folder, value):
    draws = np.load(folder / "noise.npy")
    draws[3, 1] = value
    file = io.BytesIO()
    np.save(file, draws)
    replace(folder, "noise.npy", file.getvalue())
    with pytest.raises(FormatError, match=r"noise\.npy: a draw is not finite"):
        Model.load(folder, device="cpu")


def test_a_graph_with_nothing_in_it_is_refused(folder):
    replace(folder, "elbo.onnx", b"")
    with pytest.raises(BundleError, match=r"^elbo\.onnx: ONNX Runtime cannot open the graph: ") as caught:
        Model.load(folder, device="cpu")
    assert "/elbo.onnx" not in str(caught.value)  # the private copy


def test_a_graph_with_other_inputs_is_refused(folder):
    replace(folder, "elbo.onnx", (folder / "decoder.onnx").read_bytes())
    with pytest.raises(GoldenMismatch, match=r"elbo: the graph cannot run its golden rows: "):
        Model.load(folder, device="cpu")


def test_replay_runs_every_operation(breast_cancer):
    ran = []

    def run(operation: Any, feeds: Any) -> Any:
        ran.append(operation)
        return breast_cancer.run(operation, feeds)

    replay(run, breast_cancer.bundle, breast_cancer.providers)
    assert sorted(ran) == sorted(OPERATIONS)
