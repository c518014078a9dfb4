"""Inputs and outputs on other file systems than the local one, Arrow files, and the choice of columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from tests.scoring.conftest import scored
from vaekit.errors import InputError
from vaekit.scoring import APPENDED, Options, score_file
from vaekit.storage.paths import StoragePath, names_a_folder, storage_path

ROWS = pa.table({"id": [f"r{i}" for i in range(6)], **{name: np.arange(6.0) % 2 for name in "abc"}, "z": range(6)})


def write(path: Path) -> None:
    """Write ROWS in the format of the ending."""
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(ROWS, path)
    elif path.suffix == ".npy":
        np.save(path, np.column_stack([ROWS[name] for name in "bac"]))
    elif path.suffix == ".parquet":
        pq.write_table(ROWS, path)
    else:
        pyarrow.feather.write_feather(ROWS, path, chunksize=4)


def in_memory(tmp_path: Path) -> fs.FileSystem:
    """An in-memory file system with a copy of the folder."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.put(f"{tmp_path}/", "/bucket/", recursive=True)
    return fs.PyFileSystem(fs.FSSpecHandler(store))


FAR: dict[str, Callable[[Path], StoragePath]] = {
    "subtree": lambda path: StoragePath(fs.SubTreeFileSystem(str(path), fs.LocalFileSystem()), "", "sub://"),
    "memory": lambda path: StoragePath(in_memory(path), "/bucket", "memory://bucket"),
}


@pytest.mark.parametrize("where", FAR)
@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.npy", "x.arrow", "x.feather"])
def test_rows_on_other_file_systems_get_the_scores_of_local_rows(scorer, tmp_path, name, where):
    write(tmp_path / name)
    here = scored(scorer, tmp_path / name)
    (tmp_path / "scored.parquet").unlink()
    far = FAR[where](tmp_path)
    score_file(scorer, far.below(name), far.below("out.parquet"))
    with far.below("out.parquet").open() as file:
        assert pq.read_table(file).equals(here)
    assert here.num_rows == 6


@pytest.mark.parametrize("where", FAR)
def test_a_folder_on_another_file_system_is_read_like_a_local_one(scorer, tmp_path, where):
    for day in (1, 2):
        (tmp_path / f"day={day}").mkdir()
        write(tmp_path / f"day={day}" / "x.parquet")
    far = FAR[where](tmp_path)
    score_file(scorer, far, tmp_path.with_name(f"{where}.parquet"))
    table = pq.read_table(tmp_path.with_name(f"{where}.parquet"))
    assert table["day"].to_pylist() == [1] * 6 + [2] * 6
    assert table["z"].to_pylist() == [*range(6)] * 2


@pytest.mark.parametrize("where", FAR)
def test_a_failed_run_leaves_no_output_on_other_file_systems(scorer, tmp_path, where):
    write(tmp_path / "x.parquet")
    pq.write_table(ROWS.set_column(1, "a", pa.array([1.0] * 5 + [float("inf")])), tmp_path / "x.parquet")
    far = FAR[where](tmp_path)
    with pytest.raises(InputError, match="row 5, feature 'a': not finite: inf"):
        score_file(scorer, far.below("x.parquet"), far.below("out.parquet"))
    assert not far.below("out.parquet").exists


@pytest.mark.parametrize("where", FAR)
def test_an_output_that_is_the_input_or_lies_in_it_is_refused_on_other_file_systems(scorer, tmp_path, where):
    write(tmp_path / "x.parquet")
    far = FAR[where](tmp_path)
    with pytest.raises(InputError, match="input and output are the same file"):
        score_file(scorer, far.below("x.parquet"), far.below("x.parquet"))
    with pytest.raises(InputError, match="lies in the input"):
        score_file(scorer, far, far.below("out.parquet"))


def test_a_fortran_order_array_and_a_broken_file_are_refused_on_other_file_systems(scorer, tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(np.ones((4, 3))))
    (tmp_path / "y.npy").write_bytes(b"no array at all")
    far = FAR["subtree"](tmp_path)
    with pytest.raises(InputError, match="Fortran order"):
        score_file(scorer, far.below("x.npy"), tmp_path / "out.parquet")
    with pytest.raises(InputError, match=r"y.npy: not a .npy file of numbers"):
        score_file(scorer, far.below("y.npy"), tmp_path / "out.parquet")


def test_a_file_uri_names_a_local_file(scorer, tmp_path):
    write(tmp_path / "x.parquet")
    score_file(scorer, f"file://{tmp_path}/x.parquet", f"file://{tmp_path}/out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 6


@pytest.mark.parametrize("text", ["nowhere://x/y.parquet", "file://x y/z"])
def test_an_invalid_uri_is_refused_and_named(text):
    with pytest.raises(InputError, match=text):
        storage_path(text)


@pytest.mark.parametrize(
    ("text", "folder"),
    [("out/", True), ("s3://bucket/out", True), ("out", True), ("out.parquet", False), ("a.b/out.csv", False)],
)
def test_an_output_without_an_ending_is_a_folder(text, folder):
    assert names_a_folder(text) is folder


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.arrow"])
@pytest.mark.parametrize("columns", [("z", "id"), ("a",), ()], ids=str)
def test_only_the_requested_input_columns_are_in_the_output(scorer, tmp_path, name, columns):
    write(tmp_path / name)
    score_file(scorer, tmp_path / name, tmp_path / "out.parquet", options=Options(columns=columns))
    table = pq.read_table(tmp_path / "out.parquet")
    kept = [one for one in ROWS.column_names if one in columns] or ["row"]
    assert table.column_names == [*kept, *APPENDED.names]
    np.testing.assert_array_equal(scorer.rows[:, 0], ROWS["b"])
    if not columns:
        assert table["row"].to_pylist() == [*range(6)]


def test_columns_that_are_not_needed_are_not_read(scorer, tmp_path, monkeypatch):
    write(tmp_path / "x.parquet")
    asked: list[Any] = []
    read = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile, "iter_batches", lambda self, **kwargs: asked.append(kwargs["columns"]) or read(self, **kwargs)
    )
    score_file(scorer, tmp_path / "x.parquet", tmp_path / "out.parquet", options=Options(columns=["z"]))
    assert asked == [["a", "b", "c", "z"]]


def test_a_column_missing_from_the_input_is_refused_and_named(scorer, tmp_path):
    write(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="columns: the input has no column 'y'"):
        score_file(scorer, tmp_path / "x.parquet", tmp_path / "out.parquet", options=Options(columns=["y", "z"]))


def test_a_scheme_that_pyarrow_does_not_know_is_left_to_fsspec(scorer, tmp_path):
    write(tmp_path / "x.parquet")
    in_memory(tmp_path)
    score_file(scorer, "memory://bucket/x.parquet", "memory://bucket/out.parquet")
    with storage_path("memory://bucket/out.parquet").open() as file:
        assert pq.read_table(file)["score"].null_count == 0


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("nothing://a/b", "nothing://a/b: Protocol not known: nothing"),
        ("sftp://host/b", "sftp://: this file system needs a package that is not installed: .*paramiko"),
    ],
)
def test_a_scheme_without_a_file_system_is_refused(uri, why):
    with pytest.raises(InputError, match=why):
        storage_path(uri)
