"""Errors in a file are reported with file, row and column before training starts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from vaekit.errors import InputError
from vaekit_training.data.load import load
from vaekit_training.data.sources import read
from vaekit_training.infer import infer
from vaekit_training.sections import DataConfig

N = 40


def csv(path: Path, *lines: str, encoding: str = "utf-8") -> str:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return str(path)


def numbers(bad: str, at: int, n: int = N) -> list[str]:
    return ["a,b", *(f"{i},{bad if i == at else i / 7}" for i in range(n))]


@pytest.mark.parametrize("bad", ["oops", "?", "12%", "1.500,2", "0x1F"], ids=repr)
def test_an_invalid_cell_among_numbers_is_named_and_does_not_make_a_category(tmp_path: Path, bad: str) -> None:
    quoted = f'"{bad}"' if "," in bad else bad
    path = csv(tmp_path / "rows.csv", *numbers(quoted, at=17))
    with pytest.raises(InputError, match=rf"row 17, feature 'b': not a number: {re.escape(repr(bad))}; 39 of the") as e:
        infer(path)
    assert f"data {path!r}" in str(e.value)
    assert "--set data.kinds.b=category" in str(e.value)


@pytest.mark.parametrize("blank", [" ", "  NA ", "nan"], ids=repr)
def test_a_blank_cell_among_numbers_is_missing(tmp_path: Path, blank: str) -> None:
    path = csv(tmp_path / "rows.csv", *numbers(blank, at=17))
    assert infer(path)[0]["data"]["missing"] == "marginalise"
    assert np.argwhere(np.isnan(load(DataConfig(source=path, missing="marginalise")).x)).tolist() == [[17, 1]]


def test_an_unclosed_quote_is_an_error_and_loses_no_rows_silently(tmp_path: Path) -> None:
    path = csv(tmp_path / "rows.csv", "a,note", "1,ok", '2,"ok', "3,ok")
    with pytest.raises(InputError, match=r"rows\.csv': line 3: a quote is not closed"):
        read(path)


def test_a_column_declared_a_category_may_contain_numbers(tmp_path: Path) -> None:
    path = csv(tmp_path / "rows.csv", "a,b", *(f"{i},{'4+' if i % 4 == 3 else i % 4}" for i in range(N)))
    with pytest.raises(InputError, match=r"not a number: '4\+'"):
        infer(path)
    tree, _ = infer(path, {"data": {"kinds": {"b": "category"}}})
    assert tree["likelihood"] == {"name": "mixed"}


def test_a_text_column_of_numbers_is_a_category(tmp_path: Path) -> None:
    table = pa.table({"code": [f"{i % 5:03}" for i in range(N)], "x": np.arange(N) / 7})
    parquet.write_table(table, tmp_path / "rows.parquet")
    tree, _ = infer(str(tmp_path / "rows.parquet"))
    assert tree["likelihood"] == {"name": "mixed"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["1.5,2.5", *(f"{i},{i / 7}" for i in range(N))],
            "is the header missing? All column names are numbers: 1.5, 2.5",
        ),
    ],
)
def test_a_suspicious_header_gives_a_remark(tmp_path: Path, lines: list[str], said: str) -> None:
    _, remarks = infer(csv(tmp_path / "rows.csv", *lines))
    assert any(remark.startswith(said) for remark in remarks)


def test_levels_below_a_header_with_another_delimiter_are_refused(tmp_path: Path) -> None:
    path = csv(tmp_path / "rows.csv", "a;b", *(f"{i % 3};{i % 2}" for i in range(N)))
    with pytest.raises(InputError, match=r"one column, 'a;b'; its cells .* by ';': use --delimiter ';'$"):
        infer(path)
    assert infer(path, {"data": {"kinds": {"a;b": "category"}}})[0]["likelihood"] == {"name": "mixed"}


def _parts(folder: Path, **second: pa.Array) -> None:
    folder.mkdir()
    parquet.write_table(pa.table({"a": [1.0, 2.0], "b": [1.0, 2.0]}), folder / "one.parquet")
    parquet.write_table(pa.table({"a": [1.0, 2.0], **second}), folder / "two.parquet")


def _twins(path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    parquet.write_table(table, path)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "ragged.csv": (lambda p: csv(p, "a,b", "1,2", "3,4,5", "6,7"), "row 1: 3 cells, but the header has 2"),
    "short.csv": (lambda p: csv(p, "a,b", "1,2", "3,4", "6"), "row 2: 1 cells, but the header has 2"),
    "latin.csv": (
        lambda p: csv(p, "a,b", "1,x", "2,é", encoding="latin-1"),
        "row 1, feature 'b': not UTF-8 text: save the file as UTF-8",
    ),
    "header.csv": (lambda p: csv(p, "a,é", "1,x", encoding="latin-1"), "the header is not UTF-8 text"),
    "wide.csv": (lambda p: csv(p, "a,b", "1,2", encoding="utf-16"), "the header is not UTF-8 text"),
    "book.csv": (lambda p: p.write_bytes(b"PK\x03\x04\x14\x00"), "an Excel workbook: save it as CSV"),
    "twins.csv": (lambda p: csv(p, "a,a", "1,2"), "duplicate column name: 'a'"),
    "twins.parquet": (_twins, "duplicate column name: 'a'"),
    "cube.npy": (lambda p: np.save(p, np.zeros((5, 8, 8))), "array of shape (5, 8, 8) and type float64"),
    "types": (
        lambda p: _parts(p, b=pa.array(["q", "r"])),
        "two.parquet: column 'b' is string, but in the first file it is double",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_an_unreadable_file_is_named_with_the_position_of_the_error(name: str, tmp_path: Path) -> None:
    make, said = FILES[name]
    make(tmp_path / name)
    with pytest.raises(InputError) as caught:
        read(str(tmp_path / name))
    assert str(caught.value).startswith(f"data '{tmp_path / name}'")
    assert said in str(caught.value)


def test_files_of_integers_and_of_floats_are_one_table(tmp_path: Path) -> None:
    _parts(tmp_path / "parts", b=pa.array([3, 4]))
    assert read(str(tmp_path / "parts")).columns["b"].tolist() == [1.0, 2.0, 3.0, 4.0]


def image(folder: Path, mode: str, array: np.ndarray) -> str:
    folder.mkdir()
    Image.fromarray(array).save(folder / "one.png")
    with Image.open(folder / "one.png") as saved:
        assert saved.mode == mode
    return str(folder)


RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
OPAQUE, GLASS = np.full((8, 8), 255, dtype=np.uint8), np.full((8, 8), 254, dtype=np.uint8)


@pytest.mark.parametrize(
    ("mode", "array", "said"),
    [
        ("I;16", RAMP.astype(np.uint16) * 256, "more than 8 bits per channel"),
        ("LA", np.stack([RAMP, GLASS], axis=-1), "has transparent pixels"),
        ("RGBA", np.stack([RAMP, RAMP, RAMP, GLASS], axis=-1), "has transparent pixels"),
    ],
)
def test_an_image_that_cannot_be_converted_without_loss_is_refused(
    tmp_path: Path, mode: str, array: np.ndarray, said: str
) -> None:
    with pytest.raises(InputError, match=rf"one\.png: {said}"):
        read(image(tmp_path / "p", mode, array))


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    grey = read(image(tmp_path / "grey", "LA", np.stack([RAMP, OPAQUE], axis=-1))).images
    colour = read(image(tmp_path / "colour", "RGBA", np.stack([RAMP, RAMP, RAMP + 1, OPAQUE], axis=-1))).images
    assert grey is not None
    assert colour is not None
    np.testing.assert_array_equal(grey, RAMP[None, ..., None])
    np.testing.assert_array_equal(colour[0], np.stack([RAMP, RAMP, RAMP + 1], axis=-1))


def timed(tmp_path: Path, times: list[str]) -> str:
    return csv(tmp_path / "rows.csv", "when,x", *(f"{time},{i}" for i, time in enumerate(times)))


@pytest.mark.parametrize(
    "times",
    [
        ["2024-03-14", "2023-10-01", "2024-01-02"],
        ["2024-03-14T10:00:00+02:00", "2024-03-14T08:30:00+01:00", "2024-03-14T07:59:00Z"],
        ["20240314T1000", "2024-03-14T09:59", "2024-W11-4T09:59:30"],
        ["3", "1", "2"],
    ],
    ids=str,
)
def test_rows_are_sorted_by_time(tmp_path: Path, times: list[str]) -> None:
    rows = load(DataConfig(source=timed(tmp_path, times), split="time:when"))
    assert rows.split_key is not None
    assert np.argsort(rows.split_key).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["2024-01-01", "10/03/2023"], "row 1, feature 'when': '10/03/2023': not a number or an ISO 8601"),
        (["March", "April"], "row 0, feature 'when': 'March': not a number or an ISO 8601"),
        (["2024-01-01T00:00x", "2024-01-01T00:00Z"], "row 0, feature 'when'"),
        (
            ["2024-01-01T00:00x".rstrip("x") + ":00.5", "2024-01-01T00:00:00+01:00"],
            "row 1, feature 'when': .* a time zone",
        ),
    ],
    ids=str,
)
def test_text_that_is_not_a_time_is_refused_as_a_split_column(tmp_path: Path, times: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load(DataConfig(source=timed(tmp_path, times), split="time:when"))
