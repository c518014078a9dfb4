"""Invalid rows are quarantined with the reason, up to a limit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.scoring.conftest import Squares
from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.scoring import Options, Summary, score_file
from vaekit.scoring.batch.invalid_rows import InvalidRowLimit
from vaekit.storage.paths import storage_path

BAD_CSV = "a,b,c,note\n1,2,0,x\nn/a,2,0,y\n3,?,0,z\n4,5,1e999,\n5,inf,1,w\n6,7,1,v\n"
SPELLINGS = ["1.5", "2e3", "0", "-1", "+1", "+.5", ".5", "5.", "-.5", "1E+5", "inf", "+inf", "nan", "Infinity", "-inf"]
SPELLINGS += ["NaN", "nan(1)", "x", "0x10", "1_0", "1,5", "1e", "1e999", ".", "-", "+", "++1", "true", "info", "nano"]
KINDS = VectorSpec(
    columns=(
        Column(name="load", kind="positive"),
        Column(name="stops", kind="count", may_be_missing=True),
        Column(name="colour", kind="category", levels=("blue", "red"), may_be_missing=True),
    )
)


def sifted(
    scorer: Squares, source: Path, ending: str = "parquet", max_bad: str | None = None, strict: bool = False
) -> tuple[pa.Table, pa.Table, Summary]:
    """(output, quarantine, summary)."""
    folder = source.parent
    options = Options(
        quarantine=storage_path(folder / f"bad.{ending}"), max_bad=InvalidRowLimit.of(max_bad), strict=strict
    )
    summary = score_file(scorer, source, folder / f"out.{ending}", options=options)
    read = pq.read_table if ending == "parquet" else pyarrow.csv.read_csv
    return read(folder / f"out.{ending}"), read(folder / f"bad.{ending}"), summary


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_invalid_rows_are_quarantined_with_number_column_reason_and_text(scorer, tmp_path, ending):
    (tmp_path / "rows.csv").write_text(BAD_CSV)
    out, bad, summary = sifted(scorer, tmp_path / "rows.csv", ending)
    assert out["a"].to_pylist() == [1.0, 6.0]
    assert bad["bad_row"].to_pylist() == [1, 2, 3, 4]
    assert bad["bad_column"].to_pylist() == ["a", "b", "c", "b"]
    assert bad["bad_reason"].to_pylist() == ["not a number", "not a number", "not finite", "not finite"]
    if ending == "parquet":
        assert bad.column_names[3:] == ["a", "b", "c", "note"]
        assert bad["a"].to_pylist() == ["n/a", "3", "4", "5"]
        assert bad["note"].to_pylist() == ["y", "z", "", "w"]
    assert (summary.rows, summary.quarantined) == (2, 4)
    assert summary.tally.bad == Counter({"not a number": 2, "not finite": 2})


def test_a_corrected_quarantine_file_can_be_scored(scorer, tmp_path):
    (tmp_path / "rows.csv").write_text(BAD_CSV)
    sifted(scorer, tmp_path / "rows.csv", "csv")
    lines = (tmp_path / "bad.csv").read_text().splitlines()
    (tmp_path / "again.csv").write_text("\n".join([lines[0], lines[1].replace("n/a", "9")]) + "\n")
    score_file(scorer, tmp_path / "again.csv", tmp_path / "again.parquet")
    assert pq.read_table(tmp_path / "again.parquet")["a"].to_pylist() == [9.0]


def test_cells_of_every_type_are_quarantined_as_text(scorer, tmp_path):
    table = {"a": [1.0, np.inf], "b": [1, 2], "c": [0, 1], "tags": [["x"], ["y", "z"]], "raw": [b"a", b"\xff"]}
    pq.write_table(pa.table({**table, "key": pa.array(["u", "v"]).dictionary_encode()}), tmp_path / "rows.parquet")
    _, bad, _ = sifted(scorer, tmp_path / "rows.parquet")
    assert bad.to_pylist() == [
        {
            "bad_row": 1,
            "bad_column": "a",
            "bad_reason": "not finite",
            "a": "inf",
            "b": "2",
            "c": "1",
            "tags": "['y', 'z']",
            "raw": "b'\\xff'",
            "key": "v",
        }
    ]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_quarantined_rows_are_those_refused_without_quarantine(tmp_path, ending, strict):
    rng = np.random.default_rng(0)
    cells = {
        "load": rng.choice(SPELLINGS, 300),
        "stops": rng.choice(["1", "2.0", "2.5", "NA", "", "many"], 300),
        "colour": rng.choice(["red", "blue", "Red", "", "green", " "], 300),
    }
    if ending == "parquet":
        cells["load"] = rng.choice([1.5, 0.0, -1.0, np.inf, np.nan], 300)
        cells["stops"] = np.array([{"NA": "nan", "": "nan", "many": "-3"}.get(v, v) for v in cells["stops"]], float)
    rows = pa.table({name: pa.array(values.tolist()) for name, values in cells.items()})
    refused = []
    for i in range(300):
        write(rows.slice(i, 1), tmp_path / f"one.{ending}")
        try:
            scorer, options = Squares(KINDS, most_missing=2), Options(strict=strict)
            score_file(scorer, tmp_path / f"one.{ending}", tmp_path / "one-out.parquet", options=options)
        except InputError:
            refused.append(i)
    write(rows, tmp_path / f"rows.{ending}")
    out, bad, _ = sifted(Squares(KINDS, batch_rows=64, most_missing=2), tmp_path / f"rows.{ending}", strict=strict)
    assert bad["bad_row"].to_pylist() == refused
    assert out.num_rows == 300 - len(refused) > 5


def write(table: pa.Table, path: Path) -> None:
    (pq.write_table if path.suffix == ".parquet" else pyarrow.csv.write_csv)(table, path)


def test_a_row_without_any_cell_is_quarantined_without_a_column_if_strict(tmp_path):
    spec = VectorSpec(columns=tuple(Column(name=name, may_be_missing=True) for name in "ab"))
    np.save(tmp_path / "rows.npy", [[1.0, np.nan], [np.nan, np.nan]])
    assert sifted(Squares(spec), tmp_path / "rows.npy")[0].num_rows == 2
    out, bad, _ = sifted(Squares(spec, most_missing=1), tmp_path / "rows.npy", strict=True)
    assert out.num_rows == 1
    assert bad.select(["bad_row", "bad_column", "bad_reason"]).to_pylist() == [
        {"bad_row": 1, "bad_column": None, "bad_reason": "every cell is missing"}
    ]


def test_grey_images_are_quarantined_for_a_binary_model(image_scorer, tmp_path):
    images = np.zeros((5, 2, 2, 1), dtype=np.uint8)
    images[3, 0, 1] = 7
    np.save(tmp_path / "x.npy", images)
    out, bad, _ = sifted(image_scorer, tmp_path / "x.npy")
    assert out["row"].to_pylist() == [0, 1, 2, 4]
    assert bad["bad_column"].to_pylist() == ["pixel (0, 1, 0)"]


def test_an_input_of_only_invalid_rows_gives_an_empty_output(scorer, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,c\n,,?\nx,1,1\n")
    out, bad, summary = sifted(scorer, tmp_path / "rows.csv")
    assert (out.num_rows, bad.num_rows, summary.rows, scorer.seen) == (0, 2, 0, [])


@pytest.mark.parametrize(("text", "fine"), [("4", True), ("3", False), ("70%", True), ("50%", False), ("0", False)])
def test_more_invalid_rows_than_allowed_stop_the_run_and_leave_no_files(scorer, tmp_path, text, fine):
    (tmp_path / "rows.csv").write_text(BAD_CSV)
    if fine:
        assert sifted(scorer, tmp_path / "rows.csv", max_bad=text)[2].quarantined == 4
        return
    with pytest.raises(InputError, match=r"[1-4] of \d rows are invalid, but max_bad allows"):
        sifted(scorer, tmp_path / "rows.csv", max_bad=text)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_percentage_is_checked_early_in_a_long_run_and_at_the_end_of_a_short_one():
    few = Counter({"missing": 9})
    InvalidRowLimit.of("1%").check(few, 100, ended=False)
    with pytest.raises(
        InputError, match=r"9 of 100 rows are invalid.*allows 0.01 of them; most frequent \(9\): missing"
    ):
        InvalidRowLimit.of("1%").check(few, 100, ended=True)
    with pytest.raises(InputError, match="101 of 10,000"):
        InvalidRowLimit.of("1%").check(Counter({"missing": 101}), 10_000, ended=False)


@pytest.mark.parametrize("text", ["-1", "x", "101%", "-1%", "%", "1.5"])
def test_an_invalid_limit_is_refused(text):
    with pytest.raises(InputError, match="max_bad"):
        InvalidRowLimit.of(text)


def test_an_input_with_column_names_of_the_quarantine_file_is_refused(scorer, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,c,bad_row\n1,1,1,1\n")
    with pytest.raises(InputError, match="'bad_row'; rename them"):
        sifted(scorer, tmp_path / "rows.csv")
