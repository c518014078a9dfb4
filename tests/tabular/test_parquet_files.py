"""A folder of Parquet files has the same rows in the same order in training and in scoring."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.scoring.files.sources import open_source
from vaekit_training.data import sources
from vaekit_training.data.parquet import folder

SPEC = VectorSpec(columns=(Column(name="a"),))
NAMES = ("a/x.parquet", "a-b/x.PARQUET", "a.parquet", "b/c/y.parquet", "B.parquet")
LEFT_OUT = ("_tmp/x.parquet", ".hidden/x.parquet", "b/_x.parquet", "notes.txt")


def test_every_reader_reads_the_same_files_in_the_same_order(tmp_path: Path) -> None:
    for number, name in enumerate((*NAMES, *LEFT_OUT)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table({"a": [float(number)]}), tmp_path / name)
    scored = [chunk.table.column("a")[0].as_py() for chunk in open_source(tmp_path, SPEC, 10).chunks()]
    streamed = folder(str(tmp_path))
    groups = [next(streamed.read(group, ["a"], 10))[1]["a"][0] for group in streamed.groups]
    assert sources.read(str(tmp_path)).columns["a"].tolist() == groups == scored
    assert sorted(scored) == [0, 1, 2, 3, 4]


def test_every_reader_names_a_column_that_differs_between_files(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1.0]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"a": ["x"]}), tmp_path / "2.parquet")
    with pytest.raises(InputError, match=r"2\.parquet differs from the first file in column 'a': string"):
        open_source(tmp_path, SPEC, 10)
    for read in (sources.read, folder):
        with pytest.raises(InputError, match=r"2\.parquet: column 'a' is string, but in the first file it is double"):
            read(str(tmp_path))
