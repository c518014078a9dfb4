"""Scoring .npy arrays of rows and of images."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.scoring.conftest import scored
from vaekit.scoring import APPENDED


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(4, 3) % 2,
        np.asfortranarray(np.arange(12.0).reshape(4, 3) % 2),
        (np.arange(12) % 2).reshape(4, 3).astype(">i4"),
        (np.arange(12) % 2).reshape(4, 3).astype(np.float16),
    ],
    ids=["C order", "Fortran order", "big endian", "float16"],
)
def test_columns_of_an_array_get_the_names_of_the_models_columns(scorer, tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    table = scored(scorer, tmp_path / "x.npy")
    np.testing.assert_array_equal(scorer.rows, array.astype(np.float64))
    assert table.column_names[:3] == ["b", "a", "c"]
    assert table["a"].to_pylist() == array[:, 1].tolist()


def test_an_array_of_integers_keeps_its_type(scorer, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3), dtype=np.int16))
    assert scored(scorer, tmp_path / "x.npy").schema.field("a").type == pa.int16()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 4)), r"shape (2, 4), expected (N, 3)"),
        (np.ones(3), r"shape (3,), expected (N, 3)"),
        (np.float64(1.0), r"shape (), expected (N, 3)"),
        (np.ones((2, 3), dtype=bool), "dtype bool is not numeric; expected integers or floats"),
        (np.full((2, 3), "1"), "dtype <U1 is not numeric; expected integers or floats"),
    ],
)
def test_an_array_of_another_shape_or_dtype_is_refused(refused, tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    assert refused(tmp_path / "x.npy").endswith(message)


def test_a_file_without_a_plain_array_is_refused(refused, tmp_path):
    (tmp_path / "x.npy").write_bytes(b"no array")
    assert "not a .npy file of numbers" in refused(tmp_path / "x.npy")
    with (tmp_path / "x.npy").open("wb") as file:
        np.savez(file, a=np.ones(3))
    assert "the file is an archive of arrays" in refused(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object))
    assert "not a .npy file of numbers" in refused(tmp_path / "x.npy")


def test_the_output_for_images_has_row_numbers_and_scores(image_scorer, tmp_path):
    images = (np.arange(40).reshape(10, 2, 2, 1) % 2 * 255).astype(np.uint8)
    np.save(tmp_path / "x.npy", images)
    table = scored(image_scorer, tmp_path / "x.npy")
    np.testing.assert_array_equal(image_scorer.rows, images)
    assert table.column_names == ["row", *APPENDED.names]
    assert table["row"].to_pylist() == list(range(10))


def test_images_of_one_channel_may_have_no_channel_axis(image_scorer, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2, 2), dtype=np.uint8))
    assert scored(image_scorer, tmp_path / "x.npy").num_rows == 3


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 2, 2, 1)), "dtype float64, expected uint8"),
        (np.zeros((3, 2, 3, 1), dtype=np.uint8), "shape (3, 2, 3, 1), expected (N, 2, 2, 1)"),
        (np.zeros((2, 2), dtype=np.uint8), "shape (2, 2), expected (N, 2, 2, 1)"),
        (np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1) // 21 * 7, "row 5, pixel (0, 1, 0): not 0 or 255: 7"),
    ],
)
def test_images_of_another_shape_dtype_or_pixel_value_are_refused(refused, image_scorer, tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    assert refused(tmp_path / "x.npy", image_scorer).endswith(message)
