"""The training rows that a model with a kernel prior names as most similar to a row."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit.bundle import find
from vaekit.bundle.write import digest
from vaekit.errors import FormatError, GoldenMismatch, InputError
from vaekit.runtime import Model
from vaekit.runtime.golden import ANY
from vaekit.scoring import publish_calibration
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.publish import publish_run
from vaekit_training.run import run
from vaekit_training.trained import Trained


def table() -> NDArray[np.float64]:
    """Rows (300, 3) near a curve, in different units; the first 20 rows are copies of the next 20."""
    rng = np.random.default_rng(0)
    angle = rng.random((300, 1)) * 6.0
    x = np.hstack([np.cos(angle), np.sin(angle), np.cos(3.0 * angle)]) + 0.02 * rng.standard_normal((300, 3))
    x[:20] = x[20:40]
    return x * [1e-3, 1.0, 1e4]


def fitted(*settings: str, x: NDArray[np.float64] | None = None) -> Trained:
    tree = {"name": "x", "data": {"source": "memory"}, "likelihood": {"name": "auto"}}
    rows = of_array(table() if x is None else x, ["a", "b", "c"])
    return run(make_config(tree, settings), device="cpu", rows=rows)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return fitted("privacy.show_exemplars=true")


@pytest.fixture(scope="module")
def folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    publish_run(trained, root, draws_report=False)
    return find(root, "x")


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Model]:
    with Model.load(folder, device="cpu") as found:
        yield found


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """The same model without the training rows in raw units."""
    root = tmp_path_factory.mktemp("models")
    publish_run(fitted(), root, draws_report=False)
    with Model.load(find(root, "x"), device="cpu") as found:
        yield found


def test_a_row_of_the_prior_is_most_similar_to_itself_and_shown_as_it_was(model: Model, trained: Trained) -> None:
    assert isinstance(trained.vae, KernelVAE)
    own = trained.splits.train[trained.vae.prior.row.numpy()]  # (M,)
    x = table()
    found = model.similar(x[own], top=2)
    assert found.row is not None
    assert found.rows is not None
    np.testing.assert_array_equal(found.rows, x[found.row])
    np.testing.assert_array_equal(own[found.index], found.row)
    assert (found.rows[:, 0] == x[own]).all(axis=1).mean() > 0.9
    assert found.index.dtype == np.int64


def test_the_weights_are_those_of_the_graph_in_order_and_below_one_together(model: Model) -> None:
    rows = np.random.default_rng(1).permutation(table())[:50] * 1.1
    found = model.similar(rows, top=5)
    assert (np.diff(found.weight, axis=1) <= 0).all()
    assert (found.weight.sum(axis=1) <= 1 + 1e-6).all()
    assert (found.weight[:, 0] >= 1 / model.manifest.prior.components).all()  # type: ignore[operator]  # it has some
    fewer = model.similar(rows)
    assert fewer.index.shape == (50, 3)
    np.testing.assert_array_equal(fewer.weight, found.weight[:, :3])


def test_rows_with_missing_cells_and_extreme_rows_have_similar_rows_too(model: Model) -> None:
    rows = table()[60:63]
    rows[0, 1], rows[1] = np.nan, [1e300, -1e300, 0.0]
    found = model.similar(rows)
    assert np.isfinite(found.weight).all()
    assert ((found.index >= 0) & (found.index < model.manifest.prior.components)).all()


def test_without_the_setting_no_training_row_is_in_the_bundle_and_the_weights_are_the_same(
    model: Model, hidden: Model
) -> None:
    found, other = hidden.similar(table()[:30]), model.similar(table()[:30])
    assert found.rows is None
    assert found.row is None
    np.testing.assert_array_equal(found.index, other.index)
    np.testing.assert_array_equal(found.weight, other.weight)
    assert hidden.manifest.exemplars is None
    assert not hidden.bundle.path("exemplars.npz").exists()
    with pytest.raises(InputError, match=r"x does not hold its training rows; .* privacy\.show_exemplars = true"):
        hidden.similar(table()[:1], show=True)
    assert model.similar(table()[:1], show=True).rows is not None


@pytest.mark.parametrize("top", [0, 6])
def test_too_few_or_too_many_similar_rows_are_refused(model: Model, top: int) -> None:
    with pytest.raises(InputError, match=f"similar: {top} is not between 1 and 5"):
        model.similar(table()[:1], top=top)


def test_models_without_kernels_and_fold_models_refuse(breast_cancer: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="breast-cancer does not name similar training rows; only models with prior"):
        breast_cancer.similar(np.zeros((1, 30)))
    publish_run(fitted("data.folds=3", "privacy.show_exemplars=true"), tmp_path, draws_report=False)
    with Model.load(find(tmp_path, "x"), device="cpu") as folded:
        assert folded.predicts_cells
        assert folded.manifest.exemplars is None
        with pytest.raises(InputError, match=r"without data\.folds"):
            folded.similar(table()[:1])


def test_a_new_calibration_keeps_the_training_rows(model: Model, folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(folder, root / "x" / "1")
    np.save(tmp_path / "held_out.npy", table()[:100])
    with Model.load(root / "x", device="cpu") as old:
        manifest = publish_calibration(old, tmp_path / "held_out.npy")
    with Model.load(root / "x", device="cpu") as new:
        assert new.manifest.version == manifest.version == 2
        np.testing.assert_array_equal(new.similar(table()[:9]).rows, model.similar(table()[:9]).rows)  # type: ignore[arg-type]  # both hold them


def test_two_training_rows_give_two_similar_rows(tmp_path: Path) -> None:
    publish_run(fitted("prior.components=2", "privacy.show_exemplars=true"), tmp_path, draws_report=False)
    with Model.load(find(tmp_path, "x"), device="cpu") as model:
        found = model.similar(table()[:7])
        np.testing.assert_allclose(found.weight.sum(axis=1), 1.0, rtol=1e-5)
        assert (np.sort(found.index, axis=1) == [0, 1]).all()


def rewritten(source: Path, target: Path, file: str, change: dict[str, NDArray[np.generic]]) -> Path:
    """A copy of a bundle with some arrays of one of its signed files replaced."""
    shutil.copytree(source, target)
    with np.load(target / file) as old:
        arrays = {name: old[name] for name in old.files} | change
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (target / file).write_bytes(buffer.getvalue())
    manifest = json.loads((target / "manifest.json").read_text())
    manifest[file.removesuffix(".npz")]["sha256"] = digest(buffer.getvalue())
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def test_golden_exemplars_must_be_equal_unless_they_may_be_any(model: Model, folder: Path, tmp_path: Path) -> None:
    name = "surprise.out.exemplar"
    golden = model.bundle.golden()[name]
    settled = golden != ANY
    assert settled.any()
    assert not settled[:, -1].any()  # it may be equal to the next one, which the graph does not name
    other = np.where(settled, golden, ANY)
    at = tuple(np.argwhere(settled)[0])
    other[at] = (golden[at] + 1) % model.manifest.prior.components  # type: ignore[operator]  # it has some
    with pytest.raises(GoldenMismatch, match="surprise: exemplar: got "):
        Model.load(rewritten(folder, tmp_path / "other", "golden.npz", {name: other}), device="cpu")
    free = np.full_like(golden, ANY)
    Model.load(rewritten(folder, tmp_path / "free", "golden.npz", {name: free}), device="cpu").close()


@pytest.mark.parametrize(("name", "shape"), [("x", (3, 3)), ("row", (3,))])
def test_exemplars_of_another_shape_are_refused(folder: Path, tmp_path: Path, name: str, shape: tuple[int]) -> None:
    damaged = rewritten(folder, tmp_path / "x", "exemplars.npz", {name: np.zeros(shape)})
    with pytest.raises(FormatError, match=rf"exemplars\.npz: {name}: shape .*, expected"):
        Model.load(damaged, device="cpu")
