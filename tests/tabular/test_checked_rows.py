"""Rows of text, lists and mappings are checked by the rule of cells, as files and requests are, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vaekit.bundle.input_spec import Column, VectorSpec
from vaekit.errors import InputError
from vaekit.tabular import encode
from vaekit.tabular.arrow_columns import Columns
from vaekit.tabular.checked_rows import InvalidRow, RowChecker
from vaekit.tabular.columns import model_order
from vaekit.tabular.invalid_rows import CollectFaults
from vaekit.tabular.text_rows import UnreadableLine

SPEC = VectorSpec(
    columns=(
        Column(name="x"),
        Column(name="n", kind="count", may_be_missing=True, missing_values=(-999.0, "none")),
        Column(name="c", kind="category", levels=("red", "1", "true"), may_be_missing=True),
    )
)
WRITTEN = st.sampled_from(
    ["1", "2.5", "-999", "-999.0", "", " ", " 3 ", "1e3", "+7", ".5", "5.", "inf", "1e999", "nan", "NA", "none", "true",
     "FALSE", "red", "blue", "01", "1_0", "0x1", "1,5", "\u0661", "-1", "abc"]
)  # fmt: skip
OBJECTS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(), st.sampled_from(["red", "blue", "NA", "none", "7"])
)


@example([("nan", "1", "1")], True)
@given(st.lists(st.tuples(WRITTEN, WRITTEN, WRITTEN), min_size=1, max_size=6), st.booleans())
def test_text_means_what_it_means_in_a_file(rows: list[tuple[str, str, str]], strict: bool) -> None:
    found = RowChecker(SPEC, strict=strict, written=True).columns(rows, [0, 1, 2])
    table = pa.record_batch([pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)], names=SPEC.names)
    faults = CollectFaults(len(rows))
    _, x = Columns(table.schema, SPEC, text=True, indices=False, strict=strict).read(table, faults)
    assert [one.row for one in found.invalid] == np.flatnonzero(faults.bad).tolist()
    np.testing.assert_array_equal(found.x, x[~faults.bad])
    columns, reasons = faults.reasons()
    assert [(one.column, one.reason) for one in found.invalid] == list(zip(columns, reasons, strict=True))


@given(st.lists(st.lists(OBJECTS, min_size=3, max_size=3), min_size=1, max_size=5), st.booleans())
def test_a_row_is_valid_here_if_it_is_valid_alone_in_a_request(rows: list[list[Any]], strict: bool) -> None:
    found = RowChecker(SPEC, strict=strict).rows(rows)
    alone = {}
    for row, cells in enumerate(rows):
        try:
            alone[row] = encode([cells], SPEC, strict=strict)[0]
        except InputError:
            continue
    assert found.valid.tolist() == list(alone)
    np.testing.assert_array_equal(found.x, np.array(list(alone.values())).reshape(-1, 3))


def test_rows_by_name_and_lists_may_be_mixed() -> None:
    rows = [{"x": 1, "c": "red", "other": 5}, [2, None, "1"], {"n": 3}, "text", [1]]
    found = RowChecker(SPEC).rows(rows)
    np.testing.assert_array_equal(found.x, [[1, np.nan, 0], [2, np.nan, 1]])
    assert found.ignored.columns == ("other",)
    assert list(map(str, found.invalid)) == [
        "row 2, feature 'x': missing",
        "row 3: expected an object by column name or a list of 3 values: 'text'",
        "row 4: 1 values, expected 3",
    ]
    with pytest.raises(InputError, match=r"^row 2, feature 'x': missing$"):
        found.require_all()


def test_strict_refuses_unknown_columns_and_reports_rows_with_too_few_cells() -> None:
    checker = RowChecker(SPEC, strict=True, most_missing=1)
    with pytest.raises(InputError, match=r"^row 1: unknown feature 'y'"):
        checker.rows([{"x": 1}, {"x": 1, "y": 2}])
    found = checker.rows([{"x": 1.0, "n": 1}, {"x": 1.0}])
    assert found.valid.tolist() == [0]
    assert "more missing cells" in found.invalid[0].reason


def test_columns_that_a_table_lacks_are_missing_in_all_rows() -> None:
    at, other = model_order(["c", "y", "x"], SPEC)
    broken = UnreadableLine("not UTF-8", "?")
    found = RowChecker(SPEC, written=True).columns([["red", "a", "1"], broken, ["blue", "b", "z"]], at, other)
    np.testing.assert_array_equal(found.x, [[1, np.nan, 0]])
    assert list(map(str, found.numbered_from(10).invalid)) == [
        "row 11: not UTF-8: '?'",
        "row 12, feature 'x': not a number: 'z'",
    ]


def test_no_rows_are_no_rows() -> None:
    assert RowChecker(SPEC).rows([]).x.shape == (0, 3)
    assert RowChecker(SPEC).columns([], [0, 1, 2]).x.shape == (0, 3)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("x" * 500, "x" * 100),
        (float("inf"), "inf"),
        (10**30, str(10**30)),
        ({"a": 1}, "{'a': 1}"),
        (True, True),
        (None, None),
    ],
)
def test_the_value_of_an_invalid_cell_fits_into_json(value: Any, plain: Any) -> None:
    assert InvalidRow(0, "why", "x", value).plain_value == plain
