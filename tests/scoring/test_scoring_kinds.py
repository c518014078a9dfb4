"""Columns of every kind in every format give the same model input and the same error messages."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.scoring.conftest import Squares, scored
from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.cli.score_report import report
from vaekit.scoring import APPENDED, LocalScorer, Scores, score_file
from vaekit.scoring.output_columns import appended_for
from vaekit.tabular.arrow_cells import check_type, read_levels
from vaekit.tabular.invalid_rows import RaiseFirstFault

SPEC = VectorSpec(
    columns=(
        Column(name="load"),
        Column(name="size", kind="positive", may_be_missing=True),
        Column(name="stops", kind="count"),
        Column(name="on", kind="binary", may_be_missing=True),
        Column(name="colour", kind="category", levels=("blue", "red"), may_be_missing=True),
        Column(name="code", kind="category", levels=("1", "2.5", "x y")),
    )
)
NAN = np.nan
X = np.array([[1.5, 2, 3, 1, 1, 0], [-4, NAN, 0, NAN, NAN, 1], [0, 7, 2, 0, 0, 2.0]])
ANY = VectorSpec(columns=(Column(name="a", may_be_missing=True), Column(name="b", may_be_missing=True)))


@pytest.fixture
def of_kinds() -> Squares:
    return Squares(SPEC)


def table(**instead: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "load": [1.5, -4, 0],
        "size": [2.0, None, 7.0],
        "stops": [3, 0, 2],
        "on": [1, None, 0],
        "colour": ["red", None, "blue"],
        "code": ["1", "2.5", "x y"],
    }
    return pa.table({**columns, **instead})


TYPES = {
    "as they are": {},
    "dictionaries": {"colour": pa.array(["red", None, "blue"]).dictionary_encode()},
    "large text": {"colour": pa.array(["red", None, "blue"], pa.large_string())},
    "text views": {"colour": pa.array(["red", None, "blue"], pa.string_view())},
    "truth": {"on": [True, None, False]},
    "decimals": {"stops": pa.array([3, 0, 2]).cast(pa.decimal128(20, 0))},
    "NaN": {"size": pa.array([2.0, NAN, 7.0], from_pandas=False), "on": pa.array([1, NAN, 0.0], from_pandas=False)},
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_accepted_column_type_gives_the_same_model_input(of_kinds, tmp_path, kind):
    given = table(**TYPES[kind])
    pq.write_table(given, tmp_path / "rows.parquet")
    out = scored(of_kinds, tmp_path / "rows.parquet")
    np.testing.assert_array_equal(of_kinds.rows, X)
    for name in SPEC.names:
        assert out[name].type == given[name].type
    assert out["colour"].to_pylist() == ["red", None, "blue"]


@pytest.mark.parametrize(
    ("known", "cells"),
    [
        (("1", "2"), pa.array([2, 1, 2])),
        (("1", "2"), pa.array([2.0, 1.0, 2.0])),
        (("false", "true"), pa.array([True, False, True])),
        (("2024-01-02", "2024-01-03"), pa.array([date(2024, 1, 3), date(2024, 1, 2), date(2024, 1, 3)])),
        (
            ("2024-01-02T00:00:00.000000", "2024-01-03T00:00:00.000000"),
            pa.array([datetime(2024, 1, 3), datetime(2024, 1, 2), datetime(2024, 1, 3)]),
        ),
    ],
    ids=["integers", "floats", "booleans", "dates", "times"],
)
def test_a_category_column_may_have_numbers_booleans_or_dates(tmp_path, known, cells):
    scorer = Squares(VectorSpec(columns=(Column(name="a", kind="category", levels=known),)))
    pq.write_table(pa.table({"a": cells}), tmp_path / "rows.parquet")
    scored(scorer, tmp_path / "rows.parquet")
    np.testing.assert_array_equal(scorer.rows, [[1], [0], [1]])


@pytest.mark.parametrize(
    "cells",
    [
        pa.array(["b", "", "1.0", None, "1"]),
        pa.array([3, None, 1, 2**60]),
        pa.array([1.5, NAN, 1e22, 2.0], from_pandas=False),
        pa.array([1.5, NAN, 0.1, None], pa.float32(), from_pandas=False),
        pa.array([0.1, 2.0, -0.0], pa.float16()),
        pa.array([2**64 - 1, 2**53 + 1, 2**53], pa.uint64()),
        pa.array([True, None, False]),
        pa.array([True, None, False]).dictionary_encode(),
        pa.array([date(2024, 1, 3), None, date(2024, 1, 2)]),
        pa.array([date(2024, 1, 3), None, date(2024, 1, 2)], pa.date64()),
        pa.array([datetime(2024, 1, 3, 4, 5), None, datetime(2024, 1, 2)]),
        pa.array([datetime(2024, 1, 3, tzinfo=UTC), None]),
        pa.array([time(1, 2), None, time(3, 4, 5)]),
        pa.array([timedelta(seconds=5), timedelta(0)]),
        pa.array([1, 2, 100]).cast(pa.decimal128(21, 2)),
        pa.array([Decimal("0.0909"), None, Decimal("0.1")], pa.decimal256(50, 8)),
        pa.array(["x", None, "y"]).dictionary_encode(),
        pa.array([7, 8, 7]).dictionary_encode(),
    ],
    ids=lambda cells: str(cells.type),
)
def test_scoring_maps_cells_to_the_same_levels_as_training(cells):
    from vaekit_training.data.cells import Cells, indexed
    from vaekit_training.data.sources import from_arrow

    trained = Cells("a", "category", "marginalise")
    x = indexed(trained.take(from_arrow(cells))[:, None], [trained])
    column = Column(name="a", kind="category", levels=trained.levels, may_be_missing=True)
    check_type(column, pa.field("c", cells.type), indices=False)
    np.testing.assert_array_equal(read_levels(cells, column, RaiseFirstFault(0)), x[:, 0])


CSV = "load,size,stops,on,colour,code\n1.5,2,3,true,red,1.0\n-4,NA,0,,,2.50\n0,7,2,False,blue,x y\n"


def test_a_csv_is_converted_for_the_model_and_categories_keep_their_text(of_kinds, tmp_path):
    (tmp_path / "rows.csv").write_text(CSV)
    out = scored(of_kinds, tmp_path / "rows.csv")
    np.testing.assert_array_equal(of_kinds.rows, X)
    assert out["code"].to_pylist() == ["1.0", "2.50", "x y"]
    assert out["colour"].to_pylist() == ["red", "", "blue"]
    assert out["size"].to_pylist() == [2.0, None, 7.0]
    assert out["on"].to_pylist() == [1.0, None, 0.0]


def test_training_and_scoring_read_the_same_rows_from_a_csv(of_kinds, tmp_path):
    from vaekit_training.data.load import load
    from vaekit_training.sections import DataConfig, LikelihoodConfig

    (tmp_path / "rows.csv").write_text(CSV)
    kinds: Any = {"size": "positive", "stops": "count", "on": "binary", "colour": "category", "code": "category"}
    data = DataConfig(source=str(tmp_path / "rows.csv"), kinds=kinds, missing="marginalise")
    trained = load(data, LikelihoodConfig(name="mixed"))
    assert trained.levels[4] == ("blue", "red")
    scored(of_kinds, tmp_path / "rows.csv")
    spec = SPEC.model_copy(
        update={
            "columns": tuple(
                column.model_copy(update={"levels": found})
                for column, found in zip(SPEC.columns, trained.levels, strict=True)
            )
        }
    )
    again = Squares(spec)
    scored(again, tmp_path / "rows.csv")
    np.testing.assert_array_equal(again.rows, trained.x)


def test_an_array_has_level_indices_and_nan_for_missing_cells(of_kinds, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    out = scored(of_kinds, tmp_path / "rows.npy")
    np.testing.assert_array_equal(of_kinds.rows, X)
    assert out["code"].to_pylist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        ("load", [1.0, None, 1.0], "row 1, feature 'load': missing"),
        ("size", [1.0, 1.0, 0.0], "row 2, feature 'size': not above 0: 0.0"),
        ("stops", [1.0, 0.5, -1.0], "row 1, feature 'stops': not a whole number of at least 0: 0.5"),
        ("on", [1, 2, 0], "row 1, feature 'on': not 0 or 1: 2"),
        ("colour", ["red", "pink", "sky"], "row 1, feature 'colour': not one of its 2 levels ('blue', 'red'): 'pink'"),
        ("colour", [1, 2, 3], "row 0, feature 'colour': not one of its 2 levels ('blue', 'red'): 1"),
        ("code", ["1", None, "1"], "row 1, feature 'code': missing"),
        ("code", ["1", "NA", "1"], "row 1, feature 'code': not one of its 3 levels ('1', '2.5', 'x y'): 'NA'"),
        ("load", ["a", "b", "c"], "feature 'load': the column has type string, expected numbers"),
        (
            "colour",
            [["red"]] * 3,
            "feature 'colour': the column has type list<element: string>, expected text or numbers",
        ),
    ],
)
def test_a_cell_that_is_invalid_for_its_column_is_refused(of_kinds, refused, tmp_path, name, cells, message):
    pq.write_table(table(**{name: cells}), tmp_path / "rows.parquet")
    assert refused(tmp_path / "rows.parquet", of_kinds, strict=True) == message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",7,2,0,red,1", "row 3, feature 'load': missing"),
        ("NA,7,2,0,red,1", "row 3, feature 'load': not a number: 'NA'"),
        ("1,x,2,0,red,1", "row 3, feature 'size': not a number: 'x'"),
        ("1,7,2,yes,red,1", "row 3, feature 'on': not a number: 'yes'"),
        ("1,7,2,0,red,", "row 3, feature 'code': missing"),
        ("1,7,2,0,Red,1", "row 3, feature 'colour': not one of its 2 levels ('blue', 'red'): 'Red'"),
    ],
)
def test_an_invalid_csv_cell_is_refused_with_its_text(of_kinds, refused, tmp_path, row, message):
    (tmp_path / "rows.csv").write_text(CSV + row + "\n")
    assert refused(tmp_path / "rows.csv", of_kinds, strict=True) == message


@pytest.mark.parametrize("ending", ["csv", "npy"])
def test_a_row_without_any_cell_is_refused_if_strict(refused, tmp_path, ending):
    if ending == "csv":
        (tmp_path / "rows.csv").write_text("a,b\n1,\n,\n")
    else:
        np.save(tmp_path / "rows.npy", [[1, NAN], [NAN, NAN]])
    assert refused(tmp_path / f"rows.{ending}", Squares(ANY), strict=True) == "row 1: every cell is missing"


class Some:
    """Only rows with both columns have a p-value."""

    spec, model, alpha, reason, alpha_reason, batch_rows = ANY, "some@1", 0.05, None, None, 2
    appended, held_out, held_out_p_values, most_missing, id_column = appended_for(ANY), None, None, 0, None

    def score(self, x: Any) -> Scores:
        count = (~np.isnan(x)).sum(axis=1)
        p_value = np.where(count == 2, np.nan_to_num(x[:, 0]), NAN)
        zeros = np.zeros(len(x))
        return Scores(zeros, zeros, zeros, p_value, p_value <= self.alpha, count, p_value / 2)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_without_a_p_value_have_null_verdicts_and_are_counted_separately(tmp_path, capsys, ending):
    (tmp_path / "rows.csv").write_text("a,b\n0.01,1\n0.5,\n,1\n0.5,1\n")
    summary = score_file(Some(), tmp_path / "rows.csv", tmp_path / f"out.{ending}")
    read = pq.read_table if ending == "parquet" else pyarrow.csv.read_csv
    out = read(tmp_path / f"out.{ending}")
    assert out.column_names == ["a", "b", *APPENDED.names, "novel", "observed_count"]
    assert out["p_value"].to_pylist() == [0.01, None, None, 0.5]
    assert out["p_value_tail"].to_pylist() == [0.005, None, None, 0.25]
    assert out["is_anomaly"].to_pylist() == [True, None, None, False]
    assert out["observed_count"].to_pylist() == [2, 1, 1, 2]
    assert (summary.rows, summary.anomalies, summary.unknown, summary.share) == (4, 1, 2, 0.5)
    report(summary)
    assert "1 anomalies (50.00%) at alpha = 0.05" in capsys.readouterr().out


def test_an_appended_column_whose_name_the_input_has_gets_another_name(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,observed_count,vae_observed_count\n1,2,3,4\n")
    done = score_file(Some(), tmp_path / "rows.csv", tmp_path / "out.csv")
    assert done.renamed == {"observed_count": "vae_vae_observed_count"}
    lines = (tmp_path / "out.csv").read_text().replace('"', "").splitlines()
    assert [name for name in lines[0].split(",") if "count" in name] == [
        "observed_count",
        "vae_observed_count",
        "vae_vae_observed_count",
    ]
    assert lines[1].split(",")[2:4] == ["3", "4"]


def test_a_model_without_missing_cells_appends_no_observed_count(breast_cancer, benign_rows, tmp_path: Path):
    assert LocalScorer(breast_cancer).score(benign_rows[:2]).observed_count is None
    np.save(tmp_path / "rows.npy", benign_rows[:2])
    assert "observed_count" not in scored(LocalScorer(breast_cancer), tmp_path / "rows.npy").column_names
