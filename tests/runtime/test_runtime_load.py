"""Loading: open, verify, replay; a bundle that does not give its golden outputs does not serve."""

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
from vaekit.errors import DeviceError, FormatError, GoldenMismatch, IntegrityError
from vaekit.runtime.golden import replay

OPERATIONS = ("encode", "prior", "decode", "observe", "elbo", "surprise")


@pytest.fixture
def folder(models_dir: Path, tmp_path: Path) -> Path:
    """A copy of breast-cancer/1 that a test may spoil."""
    shutil.copytree(models_dir / "breast-cancer" / "1", tmp_path / "breast-cancer" / "1")
    return tmp_path / "breast-cancer" / "1"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def regild(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Alter golden.npz and sign it anew."""
    with np.load(folder / "golden.npz") as old:
        arrays = {name: old[name] for name in old.files}
    change(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (folder / "golden.npz").write_bytes(buffer.getvalue())
    rewrite(folder, lambda manifest: manifest["golden"].update(sha256=digest(buffer.getvalue())))


def test_a_bundle_loads_from_its_own_folder_or_from_its_models(folder):
    for path in (folder, folder.parent, str(folder)):
        with Model.load(path, device="cpu") as model:
            assert model.manifest.version == 1


def test_the_latest_version_loads_by_default(folder):
    shutil.copytree(folder, folder.with_name("10"))
    rewrite(folder.with_name("10"), lambda manifest: manifest.update(version=10))
    with Model.load(folder.parent, device="cpu") as model:
        assert model.manifest.version == 10


def test_closing_takes_the_private_copy_away(folder):
    with Model.load(folder, device="cpu") as model:
        copy = model.bundle.path("encoder.onnx").parent
        assert copy.is_dir()
    assert not copy.exists()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_altered_golden_output_that_is_signed_anew_is_a_mismatch(folder, operation):
    def nudge(arrays: dict[str, np.ndarray]) -> None:
        name = next(name for name in arrays if name.startswith(f"{operation}.out."))
        arrays[name].flat[-1] += 0.01 * (1 + abs(arrays[name].flat[-1]))

    regild(folder, nudge)
    with pytest.raises(GoldenMismatch, match=f"{operation}: .*, golden "):
        Model.load(folder, device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_golden_output_that_is_not_finite_is_no_pass(folder, value):
    regild(folder, lambda arrays: arrays["elbo.out.kl"].__setitem__(0, value))
    with pytest.raises(GoldenMismatch, match="elbo: kl: the golden output is not finite"):
        Model.load(folder, device="cpu")


def test_a_golden_output_of_another_shape_is_a_mismatch(folder):
    regild(folder, lambda arrays: arrays.update({"elbo.out.kl": arrays["elbo.out.kl"][:-1]}))
    with pytest.raises(GoldenMismatch, match="shape"):
        Model.load(folder, device="cpu")


@pytest.mark.parametrize("name", ["elbo.out.kl", "elbo.out.novel"])
def test_golden_outputs_are_those_of_the_graph_no_more_and_no_less(folder, name):
    regild(folder, lambda arrays: arrays.pop(name) if name in arrays else arrays.update({name: np.zeros(1)}))
    with pytest.raises(FormatError, match=r"elbo: golden outputs .*, but the graph has "):
        Model.load(folder, device="cpu")


@pytest.mark.parametrize("side", ["in", "out"])
def test_an_operation_without_golden_rows_does_not_serve(folder, side):
    def drop(arrays: dict[str, np.ndarray]) -> None:
        for name in [name for name in arrays if name.startswith(f"decode.{side}.")]:
            del arrays[name]

    regild(folder, drop)
    with pytest.raises(FormatError, match="decode has no golden rows"):
        Model.load(folder, device="cpu")


def test_a_provider_without_a_tolerance_does_not_serve(folder):
    rewrite(folder, lambda manifest: manifest["golden"]["tolerance"].pop("CPUExecutionProvider"))
    with pytest.raises(FormatError, match=r"golden\.npz has no tolerance for CPUExecutionProvider, only for: "):
        Model.load(folder, device="cpu")


def test_a_swapped_graph_is_refused_even_where_it_is_a_good_one(folder):
    (folder / "elbo.onnx").write_bytes((folder / "surprise.onnx").read_bytes())
    with pytest.raises(IntegrityError, match=r"elbo.onnx: sha256"):
        Model.load(folder, device="cpu")


def test_a_folder_that_holds_no_bundle_is_a_format_error(tmp_path):
    with pytest.raises(FormatError, match=r"no manifest\.json"):
        Model.load(tmp_path / "nothing")


def test_a_refused_bundle_leaves_no_copy_behind(folder, tmp_path, monkeypatch):
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    regild(folder, lambda arrays: arrays["elbo.out.kl"].__setitem__(0, 1e6))
    with pytest.raises(GoldenMismatch):
        Model.load(folder, device="cpu")
    with pytest.raises(DeviceError):
        Model.load(folder, device="tpu")
    assert list((tmp_path / "copies").iterdir()) == []


def test_replay_meets_every_operation(breast_cancer):
    ran = []

    def run(operation: Any, feeds: Any) -> Any:
        ran.append(operation)
        return breast_cancer.run(operation, feeds)

    replay(run, breast_cancer.bundle, breast_cancer.providers)
    assert sorted(ran) == sorted(OPERATIONS)
