"""Memory-mapped arrays are checked and measured like the same arrays in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit_training.data import load as reading
from vaekit_training.data import rows as rows_module
from vaekit_training.data.columns import Statistics
from vaekit_training.data.load import load
from vaekit_training.data.rows import Mapped, Rows
from vaekit_training.sections import DataConfig, LikelihoodConfig

X = np.random.default_rng(0).exponential(2.0, (600, 4)) + 0.5


def stored(tmp_path: Path, x: NDArray[Any], read: Any = "map", likelihood: Any = "gaussian", **more: Any) -> Rows:
    np.save(tmp_path / "x.npy", x)
    return load(DataConfig(source=str(tmp_path / "x.npy"), read=read, **more), LikelihoodConfig(name=likelihood))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use small chunks, so that a few rows are several chunks."""
    monkeypatch.setattr(rows_module, "CHUNK_CELLS", 101)
    monkeypatch.setattr(reading, "CHUNK_CELLS", 101)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_a_mapped_array_equals_the_array_in_memory(tmp_path: Path, dtype: Any) -> None:
    x = (10 * X).astype(dtype)
    there, here = stored(tmp_path, x), stored(tmp_path, x, "memory")
    assert there.is_mapped
    assert not here.is_mapped
    assert isinstance(there.x, Mapped)
    index = np.array([5, 3, 400])
    for taken in (index, slice(2, 9), 7, (3, 1)):
        np.testing.assert_array_equal(there.x[taken], here.x[taken])
        assert there.x[taken].dtype == np.float64
    assert (there.columns, there.x.shape, there.digest()) == (here.columns, here.x.shape, here.digest())


def test_statistics_of_a_mapped_array_equal_those_in_memory(tmp_path: Path) -> None:
    x = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)
    settings: dict[str, Any] = {"missing": "marginalise", "kinds": {"x1": "positive"}}
    there, here = stored(tmp_path, x, **settings), stored(tmp_path, x, "memory", **settings)
    index = np.random.default_rng(2).permutation(600)[:400]
    found, want = there.statistics(index), here.statistics(index)
    for field in dataclasses.fields(Statistics):
        np.testing.assert_allclose(getattr(found, field.name), getattr(want, field.name), rtol=1e-10)
    assert there.may_be_missing == (True,) * 4
    np.testing.assert_array_equal(there.observed, here.observed)


def test_labels_and_excluded_columns_are_left_out(tmp_path: Path) -> None:
    x = X.copy()
    x[:, 2] = np.arange(600) % 50 == 0
    rows = stored(tmp_path, x, label="x2", exclude=("x0",))
    assert rows.columns == ("x1", "x3")
    assert rows.x.shape == (600, 2)
    np.testing.assert_array_equal(rows.x[4:9], x[4:9][:, [1, 3]])
    assert rows.x[3, 1] == x[3, 3]
    assert rows.anomaly.sum() == 12


@pytest.mark.parametrize(
    ("at", "value", "more", "said"),
    [
        ((555, 3), np.nan, {}, r"x\.npy': row 555, feature 'x3': missing value"),
        ((555, 3), np.inf, {}, r"x\.npy': row 555, feature 'x3': not finite"),
        ((555, 1), -1, {"kinds": {"x1": "positive"}}, r"row 555, feature 'x1': not above 0: -1"),
        ((555, slice(None)), np.nan, {"missing": "marginalise"}, "row 555: every cell is missing"),
        ((slice(None), 2), np.nan, {"missing": "marginalise"}, "feature 'x2': every cell is missing"),
    ],
)
def test_invalid_cells_of_a_mapped_array_are_named(tmp_path: Path, at: Any, value: float, more: Any, said: str) -> None:
    x = X.copy()
    x[at] = value
    with pytest.raises(InputError, match=said):
        stored(tmp_path, x, **more)


def test_categories_of_a_mapped_array_must_be_level_indices(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 3, (600, 2)).astype(float)
    rows = stored(tmp_path, x, likelihood="categorical")
    assert rows.levels == (("0", "1", "2"),) * 2
    np.testing.assert_array_equal(rows.x[:], x)
    with pytest.raises(InputError, match=r"feature 'x0': data\.read = 'map' .* not '1' to '3'; set data\.read"):
        stored(tmp_path, x + 1, likelihood="categorical")


def test_mapped_images_stay_in_their_file(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 5, 4), dtype=np.uint8)
    there, here = stored(tmp_path, x), stored(tmp_path, x, "memory")
    assert there.is_mapped
    assert there.is_image
    assert there.digest() == here.digest()
    for got, want in zip(there.channels(np.arange(30)), here.channels(np.arange(30)), strict=True):
        np.testing.assert_array_equal(got, want)
    assert there.first(lambda p: p == x[33, 2, 1]) == here.first(lambda p: p == x[33, 2, 1])


def test_other_files_cannot_be_mapped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    for name, said in (("a.csv", r"takes a \.npy file"), ("none.npy", "No such file")):
        with pytest.raises(InputError, match=said):
            load(DataConfig(source=str(tmp_path / name), read="map"))
