"""The inputs that scoring reads, the columns it copies, and the inputs it refuses."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.scoring.conftest import scored
from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.scoring import APPENDED, score_file

GOOD = pa.table({"a": [1.0, 2.0, 3.0], "b": [4, 5, 6], "c": [0, 1, 0]})


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "rows.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "rows.parquet", **columns: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        pq.write_table(pa.table({**{name: GOOD[name] for name in GOOD.column_names}, **columns}), path)
        return path

    return write


def test_model_columns_are_found_by_name_and_other_columns_are_copied_in_order(scorer, csv):
    table = scored(scorer, csv('id,c,a,b,note\n007,1, 1.5,2,"x, y"\n008,0,1e3,-1,"two\nlines"\n'))
    np.testing.assert_array_equal(scorer.rows, [[2.0, 1.5, 1.0], [-1.0, 1000.0, 0.0]])
    assert table.column_names == ["id", "c", "a", "b", "note", *APPENDED.names]
    assert table["id"].to_pylist() == ["007", "008"]
    assert table["note"].to_pylist() == ["x, y", "two\nlines"]
    assert table["a"].to_pylist() == [1.5, 1000.0]


def test_the_appended_columns_have_the_scores(scorer, csv):
    table = scored(scorer, csv("a,b,c\n1,2,0\n30,0,1\n"))
    assert table["log_likelihood"].to_pylist() == [-5.0, -901.0]
    assert table["kl"].to_pylist() == [1.0, 1.0]
    assert table["elbo"].to_pylist() == [-6.0, -902.0]
    assert table["score"].to_pylist() == [6.0, 902.0]
    assert table["p_value"].to_pylist() == [0.5, 0.01]
    assert table["is_anomaly"].to_pylist() == [False, True]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "row 5, feature 'a': missing"),
        ("  ", "row 5, feature 'a': missing"),
        ("n/a", "row 5, feature 'a': not a number: 'n/a'"),
        ("1_0", "row 5, feature 'a': not a number: '1_0'"),
        ("nan", "row 5, feature 'a': not finite: 'nan'"),
        ("-inf", "row 5, feature 'a': not finite: '-inf'"),
        ("1e999", "row 5, feature 'a': not finite: '1e999'"),
    ],
)
def test_an_invalid_csv_cell_is_named_with_its_row_number_in_the_file(refused, csv, cell, message):
    good = "1,2,0\n"
    assert refused(csv(f"a,b,c\n{good * 5}{cell},2,0\n{good}"), strict=True) == message


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, None, 3.0], "row 1, feature 'a': missing"),
        ([1.0, 2.0, float("nan")], "row 2, feature 'a': not finite: nan"),
        ([float("-inf"), 2.0, 3.0], "row 0, feature 'a': not finite: -inf"),
        ([None, None, None], "row 0, feature 'a': missing"),
        (["1", "2", "3"], "feature 'a': the column has type string, expected numbers"),
        ([datetime.date(2024, 1, 1)] * 3, "feature 'a': the column has type date32[day], expected numbers"),
    ],
)
def test_an_invalid_parquet_cell_or_column_is_named(refused, parquet, column, message):
    assert refused(parquet(a=pa.array(column)), strict=True) == message


def test_a_binary_column_accepts_only_0_and_1(refused, parquet):
    assert refused(parquet(c=[0, 1, 2]), strict=True) == "row 2, feature 'c': not 0 or 1: 2"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 3], pa.int8()),
        pa.array([1, 2, 3], pa.uint64()),
        pa.array([1, 2, 3], pa.float32()),
        pa.array([Decimal("1.00"), Decimal("2.00"), Decimal("3.00")], pa.decimal128(8, 2)),
    ],
    ids=lambda column: str(column.type),
)
def test_every_numeric_type_is_scored_and_kept(scorer, parquet, column):
    table = scored(scorer, parquet(a=column))
    np.testing.assert_array_equal(scorer.rows[:, 1], [1.0, 2.0, 3.0])
    assert table.schema.field("a").type == column.type
    assert table["a"].combine_chunks().to_pylist() == column.to_pylist()


def test_copied_columns_keep_types_nulls_and_nesting(scorer, parquet):
    extra = {
        "when": pa.array([datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), None, None], pa.timestamp("us", "UTC")),
        "tags": pa.array([["x"], [], None]),
        "flag": pa.array([True, None, False]),
    }
    source = parquet(**extra)
    table = scored(scorer, source)
    assert table.select(list(extra)).equals(pq.read_table(source).select(list(extra)))


def test_a_copied_csv_column_may_have_text_after_many_numbers(scorer, csv):
    rows = "".join(f"{i},1,2,0\n" for i in range(300_000))
    table = scored(scorer.__class__(batch_rows=65536), csv(f"id,a,b,c\n{rows}late-one,1,2,0\n"))
    assert table["id"][-1].as_py() == "late-one"
    assert table["id"][1].as_py() == "1"


def test_all_missing_columns_are_named(refused, csv):
    assert refused(csv("id,a\n1,2\n")) == "the input lacks 2 of the model's columns: 'b', 'c'"


def test_two_columns_with_the_same_name_are_refused(refused, csv):
    assert refused(csv("a,b,c,a\n1,2,0,1\n")) == "duplicate column name: 'a'"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header line"),
        (b"a,b,c\n1,2\n", "Expected 3 columns, got 2"),
        (b"a,b,c,d\n1,2,0,\xff\n", "invalid start byte"),
        (b"a,b,c,d\n" + b"1,2,0,x\n" * 3000 + b"1,2,0,\xff\n", "invalid UTF8 data"),
        (b"a,b,c,d\n1,2,0," + b"x" * 2**20 + b"\n", "line 2: a row is longer than 1,048,576 bytes"),
    ],
    ids=["empty", "ragged", "latin-1", "late latin-1", "a line past 1 MiB"],
)
def test_an_invalid_csv_is_refused_and_named(refused, csv, content, message):
    text = refused(csv(content))
    assert "rows.csv: " in text
    assert message in text


ROW = "1,2,0,ok\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'a,b,c,note\n{ROW * 3}1,2,0,"ok\n{ROW * 8}', "line 5: a quote is not closed"),
        (f'a,b,c,"note\n{ROW * 12}', "line 1: a quote is not closed"),
        (f'a,b,c,note\n{ROW * 239_998}1,2,0,"ok\n{ROW}', "line 240000: a quote is not closed"),
        (f'a,b,c,note\n1,2,0,"ok\n{ROW * 239_999}', "line 2: a quoted value is longer than 1,048,576 bytes"),
        (f'a,b,c,note\n1,2,0,"ok\n{ROW}1,2,0,"ok"\n', "line 4: text after a closing quote"),
        (f'a,b,c,note\n1,2,0,"two\nlines"\n1,2,0,"ok ""so""\n{ROW}', "line 4: a quote is not closed"),
        ('a,b,c,note\n1,2,0,"', "line 2: a quote is not closed"),
    ],
    ids=["row 3", "header", "last but one", "past a block", "closed by a later one", "after good ones", "last byte"],
)
def test_an_unclosed_quote_is_refused_with_its_line(refused, csv, text, message):
    assert f"rows.csv: {message}" in refused(csv(text))


def test_quoted_values_are_read_correctly(scorer, csv):
    notes = ['""', '"a ""b"""', '5" pipe', '"\n"', '"x,\r\n""\r\ny"', '""""', "", '"end"']
    table = scored(scorer, csv("\ufeffa,b,c,note\n" + "\n".join(f"1,2,0,{note}" for note in notes)))
    assert table["note"].to_pylist() == ["", 'a "b"', '5" pipe', "\n", 'x,\r\n"\r\ny', '"', "", "end"]


@pytest.mark.parametrize("before", [0, 1, 2**19, 2**20 - 20])
def test_a_row_of_one_mebibyte_is_read_at_any_position(scorer, csv, before):
    long = "1,2,0," + "x" * (2**20 - 7) + "\n"
    first = "1,2,0," + "y" * before + "\n"
    table = scored(scorer, csv("a,b,c,note\n" + first + long * 3))
    assert [len(note.as_py()) for note in table["note"]] == [before, *[2**20 - 7] * 3]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfa,b,c\n1,2,0\n",
        b'\xef\xbb\xbf"a",b,c\n1,2,0\n',
        b"a,b,c\r\n1,2,0\r\n",
        b"a,b,c\r1,2,0\r",
        b"a,b,c\n\n1,2,0\n\n",
        b'"a","b","c"\n1,2,0',
    ],
    ids=["byte order mark", "and a quote", "CRLF", "CR", "empty lines", "quoted header and no last newline"],
)
def test_common_csv_dialects_are_read(scorer, csv, content):
    scored(scorer, csv(content))
    np.testing.assert_array_equal(scorer.rows, [[2.0, 1.0, 0.0]])


def test_an_empty_line_in_a_csv_with_one_column_is_a_missing_cell(scorer, refused, csv):
    alone = type(scorer)(VectorSpec(columns=(Column(name="a"),)))
    assert refused(csv("a\n1\n\n3\n"), alone, strict=True) == "row 1, feature 'a': missing"


@pytest.mark.parametrize("content", ["a,b,c\n", "a,b,c", "a,b,c\n\n"])
def test_a_csv_without_rows_gives_an_empty_output_with_all_columns(scorer, csv, content):
    table = scored(scorer, csv(content))
    assert table.num_rows == 0
    assert table.schema.field("a").type == pa.float64()
    assert table.column_names == ["a", "b", "c", *APPENDED.names]


def test_a_parquet_file_and_an_array_without_rows_give_empty_outputs(scorer, tmp_path):
    pq.write_table(GOOD.slice(0, 0), tmp_path / "none.parquet")
    np.save(tmp_path / "none.npy", np.empty((0, 3)))
    assert scored(scorer, tmp_path / "none.parquet").num_rows == 0
    assert scored(scorer, tmp_path / "none.npy").num_rows == 0


def test_the_files_of_a_folder_are_read_in_path_order_as_one_input(scorer, parquet, tmp_path):
    for name, value in (("b.parquet", 2.0), ("a.parquet", 1.0), ("deep/c.parquet", 3.0)):
        parquet(f"folder/{name}", a=pa.array([value] * 3))
    score_file(scorer, tmp_path / "folder", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["a"].to_pylist() == [1.0] * 3 + [2.0] * 3 + [3.0] * 3


def test_row_numbers_count_over_all_files_of_a_folder(refused, parquet, tmp_path):
    parquet("folder/1.parquet")
    parquet("folder/2.parquet", a=[1.0, float("nan"), 1.0])
    assert refused(tmp_path / "folder", strict=True) == "row 4, feature 'a': not finite: nan"


def test_key_value_folders_become_a_column(scorer, parquet, tmp_path):
    parquet("folder/day=1/x.parquet")
    parquet("folder/day=2/x.parquet")
    score_file(scorer, tmp_path / "folder", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["day"].to_pylist() == [1, 1, 1, 2, 2, 2]


def test_a_folder_of_files_with_different_columns_is_refused(refused, parquet, tmp_path):
    parquet("folder/1.parquet")
    parquet("folder/2.parquet", extra=[1, 2, 3])
    assert refused(tmp_path / "folder").endswith("2.parquet differs from the first file in column 'extra': int64")


@pytest.mark.parametrize("where", ["folder", "."])
def test_only_parquet_files_of_a_folder_are_read(scorer, parquet, tmp_path, monkeypatch, where):
    parquet("key=0/folder/day=1/x.PARQUET")
    for odd in ("README.txt", "rows.csv", ".x.parquet.writing-1", "_part.parquet", ".half/x.parquet", "day=1/_SUCCESS"):
        path = tmp_path / "key=0" / "folder" / odd
        path.parent.mkdir(exist_ok=True)
        path.write_text("no Parquet")
    monkeypatch.chdir(tmp_path / "key=0" / ("folder" if where == "." else "."))
    score_file(scorer, Path(where), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == [*GOOD.column_names, "day", *APPENDED.names]
    assert table["day"].to_pylist() == [1, 1, 1]


def test_a_folder_without_parquet_files_is_refused_and_named(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rows.csv").write_text("a,b,c\n1,2,0\n")
    assert refused(tmp_path / "folder") == f"{tmp_path / 'folder'}: no .parquet files in this folder"


def test_an_empty_folder_and_a_broken_parquet_file_are_refused(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    assert refused(tmp_path / "folder").endswith("no .parquet files in this folder")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 is how it starts, and no more")
    assert "x.parquet" in refused(tmp_path / "x.parquet")


def test_an_unknown_ending_and_a_missing_file_are_refused(refused, tmp_path):
    (tmp_path / "x.txt").touch()
    assert refused(tmp_path / "x.txt").endswith(".feather, .npy, or a folder of .parquet files")
    assert refused(tmp_path / "none.csv").endswith("none.csv: no such file or folder")


def test_a_model_of_images_refuses_a_table(refused, image_scorer, csv):
    said = "a model of images reads a folder of images, one image (.png, .jpg) or a .npy file"
    assert said in refused(csv("a,b,c\n"), image_scorer)
