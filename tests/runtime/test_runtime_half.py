"""Models in float16: their graphs, golden rows, tolerances and calibrations."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.kinds import Published
from vaekit import Model
from vaekit.bundle.write import digest
from vaekit.errors import BundleError, GoldenMismatch, InputError, IntegrityError

ROWS = [[0.3, -1e-3, 1e5], [0.0, 0.0, 0.0], [1e9, 1.0, -1e300]]


@pytest.fixture
def folder(half: Published, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may change."""
    shutil.copytree(half.folder / "1", tmp_path / "half" / "1")
    return tmp_path / "half" / "1"


def rewritten(folder: Path, **half: object) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["half"] |= half
    path.write_text(json.dumps(manifest))


def test_float16_scores_are_close_to_float32_scores_but_not_equal(half):
    with Model.load(half.folder, device="cpu") as model, Model.load(half.folder, precision="float16") as own:
        assert (model.precision, own.precision) == ("float32", "float16")
        for features in (False, True):
            want, got = (m.elbo(ROWS, features=features) for m in (model, own))
            assert (got.elbo != want.elbo).any()
            np.testing.assert_allclose(got.elbo, want.elbo, rtol=0.01, atol=0.05)
        assert got.feature_log_likelihood.shape == want.feature_log_likelihood.shape
        want, got = (m.encode(ROWS[:2]) for m in (model, own))
        assert (got.mu != want.mu).any()
        np.testing.assert_allclose(got.mu, want.mu, rtol=0.01, atol=0.01)


def test_operations_without_a_float16_graph_use_the_float32_graph(half):
    z = np.linspace(-2, 2, 8).reshape(4, 2)
    with Model.load(half.folder, device="cpu") as model, Model.load(half.folder, precision="float16") as own:
        np.testing.assert_array_equal(own.decode(z).mean, model.decode(z).mean)
        np.testing.assert_array_equal(
            own.sample(3, seed=1, observe=True).samples, model.sample(3, seed=1, observe=True).samples
        )


def test_the_error_for_a_bundle_without_float16_graphs_says_how_to_export_them(models_dir):
    with pytest.raises(
        BundleError, match=r"no float16 graphs; to export them, train with vae train --set export\.half=true"
    ):
        Model.load(models_dir / "breast-cancer", device="cpu", precision="float16")


def test_any_other_precision_is_refused(half):
    with pytest.raises(InputError, match="precision: 'bfloat16' is not one of float32, float16"):
        Model.load(half.folder, device="cpu", precision="bfloat16")  # type: ignore[arg-type]  # that is the test


def test_a_changed_float16_graph_is_refused_for_any_precision(folder):
    graph = folder / "elbo.float16.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    for precision in ("float32", "float16"):
        with pytest.raises(IntegrityError, match=r"elbo\.float16\.onnx: sha256"):
            Model.load(folder, device="cpu", precision=precision)


@pytest.mark.parametrize("operation", ["encode", "elbo", "surprise"])
def test_float16_graphs_are_compared_with_their_own_golden_rows(folder, operation):
    with np.load(folder / "golden.float16.npz") as old:
        arrays = {name: old[name] for name in old.files}
    name = next(name for name in arrays if name.startswith(f"{operation}.out."))
    arrays[name].flat[0] += 1 + abs(arrays[name].flat[0])
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (folder / "golden.float16.npz").write_bytes(buffer.getvalue())
    golden = json.loads((folder / "manifest.json").read_text())["half"]["golden"]
    rewritten(folder, golden=golden | {"sha256": digest(buffer.getvalue())})
    with pytest.raises(GoldenMismatch, match=f"{operation}: .*, golden "):
        Model.load(folder, device="cpu", precision="float16")
    Model.load(folder, device="cpu").close()


def test_the_float16_tolerance_is_wider_than_the_float32_tolerance_but_below_0_2(half):
    with Model.load(half.folder, device="cpu") as model:
        own = model.manifest.half.golden.tolerance["CPUExecutionProvider"]
        other = model.manifest.golden.tolerance["CPUExecutionProvider"]
    assert other.absolute < own.absolute < 0.2


def test_without_float16_calibration_there_are_no_p_values_and_the_reason_is_given(folder):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    entries = [e for e in manifest["calibration"]["entries"] if e["precision"] == "float32"]
    manifest["calibration"]["entries"] = entries
    path.write_text(json.dumps(manifest))
    with Model.load(folder, device="cpu", precision="float16") as own:
        assert str(own.calibration()).startswith("the float16 graphs have no calibration; vae calibrate half HELD_OUT_")
    with Model.load(folder, device="cpu") as model:
        assert not isinstance(model.calibration(), str)
        assert model.calibration(num_samples=9) == (
            "num_samples 9 has no calibration; calibrated: 4; "
            "vae calibrate half HELD_OUT_ROWS --num-samples 4 --num-samples 9 has it too"
        )


def test_a_pickled_model_keeps_its_options(half):
    with Model.load(half.folder, device="cpu", threads=1, precision="float16") as model:
        content, want = pickle.dumps(model), model.elbo(ROWS).elbo
    with pickle.loads(content) as again:  # the files of the first model are deleted
        assert (again.precision, again.device) == ("float16", "cpu")
        np.testing.assert_array_equal(again.elbo(ROWS).elbo, want)
        assert again.calibration().scores.tolist() == model.calibration().scores.tolist()
