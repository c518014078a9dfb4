"""The kind of a column, what its cells become, and which cells are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from vaekit.errors import ConfigError, InputError
from vaekit_training.data.cells import MOST_LEVELS
from vaekit_training.data.load import load, of_array
from vaekit_training.data.rows import Rows
from vaekit_training.sections import DataConfig, LikelihoodConfig

MIXED = LikelihoodConfig(name="mixed")
TABLE = """load,count,share,on,open,size,floor
1.5,3,0.25,1,true,small,2
-2.5,0,1,0,false,large,10
7,12,0,1,true,small,1
"""
KINDS: dict[str, Any] = {"count": "count", "share": "fraction", "floor": "category"}


def rows(tmp_path: Path, text: str, likelihood: LikelihoodConfig = MIXED, **config: Any) -> Rows:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return load(DataConfig(source=str(path), **config), likelihood)


def test_kinds_of_a_mixed_table_are_given_by_name_or_inferred_from_cells(tmp_path: Path) -> None:
    found = rows(tmp_path, TABLE, kinds=KINDS)
    assert dict(zip(found.columns, found.kinds, strict=True)) == {
        "load": "real",
        "count": "count",
        "share": "fraction",
        "on": "binary",
        "open": "binary",
        "size": "category",
        "floor": "category",
    }
    assert found.levels == (None,) * 5 + (("large", "small"), ("1", "2", "10"))
    assert found.x.T[4:].tolist() == [[1, 0, 1], [1, 0, 1], [1, 2, 0]]
    assert found.observed is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gaussian", "real"),
        ("student_t", "real"),
        ("bernoulli", "binary"),
        ("continuous_bernoulli", "fraction"),
        ("discretized_logistic", "count"),
        ("categorical", "category"),
        ("mixed", "binary"),
    ],
)
def test_a_column_without_a_kind_has_the_default_kind_of_the_likelihood(tmp_path: Path, name: Any, kind: str) -> None:
    assert rows(tmp_path, "a\n0\n1\n1\n", LikelihoodConfig(name=name)).kinds == (kind,)


def test_columns_that_will_be_binarised_are_fractions(tmp_path: Path) -> None:
    likelihood = LikelihoodConfig(name="bernoulli", binarize="threshold")
    assert rows(tmp_path, "a\n0.3\n1\n", likelihood).kinds == ("fraction",)


def test_a_column_with_one_value_is_not_binary(tmp_path: Path) -> None:
    assert rows(tmp_path, "a,b\n0,1.5\n0,2\n").kinds == ("real", "real")


@pytest.mark.parametrize(
    ("kind", "cell", "said"),
    [
        ("real", "-inf", "not finite: -inf"),
        ("positive", "0", "not above 0: 0"),
        ("positive", "-1e-300", "not above 0: -1e-300"),
        ("count", "1.5", "not a whole number from 0 to 2\\*\\*53: 1.5"),
        ("count", "-1", "not a whole number from 0 to 2\\*\\*53: -1"),
        ("count", "1e16", "not a whole number from 0 to 2\\*\\*53: 10000000000000000"),
        ("fraction", "1.0000000000000002", "not between 0 and 1: 1.0000000000000002"),
        ("binary", "2", "not 0 or 1: 2"),
        ("binary", "off", "not a number: 'off'"),
        ("category", "inf", "not finite: inf"),
    ],
)
def test_a_cell_that_is_invalid_for_its_kind_is_named(tmp_path: Path, kind: Any, cell: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"rows\.csv': row 1, feature 'b': {said}"):
        rows(tmp_path, f"a,b\n1,1\n2,{cell}\n3,1\n", kinds={"b": kind})


def test_levels_do_not_depend_on_the_type_of_the_cells(tmp_path: Path) -> None:
    cells = [1.0, 2.0, 10.0, 1.0]
    tables: list[Any] = [cells, [int(c) for c in cells], [f"{c:g}" for c in cells]]
    tables.append(pa.array(tables[2]).dictionary_encode())
    for table in tables:
        parquet.write_table(pa.table({"a": table}), tmp_path / "a.parquet")
        found = load(DataConfig(source=str(tmp_path / "a.parquet")), LikelihoodConfig(name="categorical"))
        assert found.levels == (("1", "2", "10"),)
        assert found.x[:, 0].tolist() == [0, 1, 2, 0]


def test_text_that_is_not_a_finite_number_is_sorted_as_text(tmp_path: Path) -> None:
    found = rows(tmp_path, "a,b\n1,nan!\n2,10\n3,9\n")
    assert found.levels[1] == ("10", "9", "nan!")


def test_too_many_levels_are_refused(tmp_path: Path) -> None:
    lines = "".join(f"{i},name{i}\n" for i in range(MOST_LEVELS + 1))
    with pytest.raises(InputError, match=rf"row {MOST_LEVELS}, feature 'b': more than 1000 levels.*data\.exclude"):
        rows(tmp_path, "a,b\n" + lines)


@pytest.mark.parametrize(
    ("likelihood", "kind"),
    [("gaussian", "binary"), ("student_t", "count"), ("bernoulli", "fraction"), ("categorical", "real")],
)
def test_a_kind_that_the_likelihood_does_not_accept_is_refused(tmp_path: Path, likelihood: Any, kind: Any) -> None:
    said = f"column 'a' is '{kind}', but likelihood.name = '{likelihood}' takes .*: set likelihood.name = 'mixed'"
    with pytest.raises(ConfigError, match=said):
        rows(tmp_path, "a\n1\n", LikelihoodConfig(name=likelihood), kinds={"a": kind})


def test_kinds_of_columns_that_are_not_modelled_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.kinds: column 'b' is not modelled; modelled columns: a"):
        rows(tmp_path, "a,b\n1,2\n", kinds={"b": "real"}, exclude=("b",))


def test_missing_cells_of_every_kind_are_read_if_they_are_allowed(tmp_path: Path) -> None:
    found = rows(tmp_path, "a,b,c,d,e\n1.5,x,,1,3\n,y,true,,4\n2,,false,0,5\n", missing="marginalise")
    assert found.may_be_missing == (True, True, True, True, False)
    assert found.kinds == ("real", "category", "binary", "binary", "real")
    assert found.observed is not None
    assert np.argwhere(~found.observed).tolist() == [[0, 2], [1, 0], [1, 3], [2, 1]]
    assert np.isnan(found.x[~found.observed]).all()


def test_missing_cells_of_a_dictionary_array_stay_missing(tmp_path: Path) -> None:
    cells = pa.array(["x", None, "y", "x"]).dictionary_encode()
    parquet.write_table(pa.table({"a": cells, "b": [1.0, 2.0, 3.0, 4.0]}), tmp_path / "a.parquet")
    found = load(DataConfig(source=str(tmp_path / "a.parquet"), missing="marginalise"), MIXED)
    np.testing.assert_array_equal(found.x[:, 0], [0, np.nan, 1, 0])


@pytest.mark.parametrize("column", ["a", "b"])
def test_a_refused_missing_cell_is_reported_with_the_setting_that_allows_it(tmp_path: Path, column: str) -> None:
    text = "a,b\n1,x\n" + (",y\n" if column == "a" else "2,\n")
    said = f"row 1, feature '{column}': missing value .*data.missing = 'marginalise' allows them"
    with pytest.raises(InputError, match=said):
        rows(tmp_path, text)


def test_rows_and_columns_whose_cells_are_all_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows\.csv': row 1: every cell is missing"):
        rows(tmp_path, "a,b\n1,x\n,\n2,y\n", missing="marginalise")
    with pytest.raises(InputError, match="feature 'b': every cell is missing; leave it out"):
        rows(tmp_path, "a,b\n1,\n2,\n", missing="marginalise")


def test_a_column_whose_fractions_appear_late_is_read_correctly(tmp_path: Path) -> None:
    found = rows(tmp_path, "a\n" + "1\n" * 600_000 + "1.5\n", LikelihoodConfig())
    assert (found.x[0, 0], found.x[-1, 0]) == (1, 1.5)


def test_arrays_of_objects_are_read_like_tables() -> None:
    x = np.array([[1.5, "x", True], [np.float64(2), None, False], [None, "y", True]], dtype=object)
    found = of_array(x, ["a", "b", "c"], config=DataConfig(source="memory", missing="marginalise"), likelihood=MIXED)
    assert found.kinds == ("real", "category", "binary")
    np.testing.assert_array_equal(found.x, [[1.5, 0, 1], [2, np.nan, 0], [np.nan, 1, 1]])


def test_the_digest_depends_on_the_levels(tmp_path: Path) -> None:
    one, other = (rows(tmp_path, f"a,b\n1.5,x\n2,{text}\n") for text in ("y", "z"))
    assert (one.x == other.x).all()
    assert one.digest() != other.digest()
