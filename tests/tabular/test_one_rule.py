"""A cell has the same meaning in training, in requests and in batch scoring, in every form of input."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import NoneType
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column, Kind
from vaekit.errors import InputError
from vaekit.scoring.files.csv_file import CsvSource
from vaekit.scoring.rows import rows_of
from vaekit.storage.paths import storage_path
from vaekit.tabular import encode
from vaekit.tabular.arrow_columns import Columns
from vaekit.tabular.cells import FALSE, MISSING_TEXTS, TRUE, read_cell
from vaekit_training.data.load import load, of_array
from vaekit_training.data.rows import Rows
from vaekit_training.sections import DataConfig, LikelihoodConfig

KINDS: tuple[Kind, ...] = ("real", "positive", "count", "fraction", "binary", "category")
MIXED = LikelihoodConfig(name="mixed")
PAD = Column(name="pad")  # so that every row has an observed cell
LEVELS = ("1", "2.5", "9007199254740993", "red", "true", "2024-01-01T09:00:00")
REFUSED = "refused"
MAX_COUNT = 2.0**53  # training refuses larger counts, because float64 cannot represent all of them

blanks = st.text(" \t", max_size=2)
SPELLINGS = """
NA nan NaN NAN null NULL None N/A - inf -Infinity 1e999 0x1F 1_0 \u0661 1,5 true True TRUE tRUE false yes -0 +1 1. .5
01 1e0 2.50 2024-01-01 2024-01-01T10:00:00+01:00 2024-02-31 10:00 red Red x 9007199254740993 9007199254740992
"""
spellings = st.sampled_from(["", "2024-01-01 10:00", "1" * 400, *SPELLINGS.split()])
numerals = st.one_of(st.integers(-3, 3), st.integers(-(2**70), 2**70), st.floats(), st.floats(0, 1)).map(str)
texts = st.builds("{}{}{}".format, blanks, spellings | numerals, blanks)
numbers = st.one_of(
    st.sampled_from([0, 1, -0.0, 0.5, 1.0, 2.5, 2**53 + 1, -(2**63), 10**400, np.nan, np.inf, -np.inf]),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.decimals(),
    st.fractions(),
    st.integers(-128, 127).map(np.int8),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.floats(width=32).map(np.float32),
    st.floats(width=16).map(np.float16),
)
OTHERS: tuple[Any, ...] = (
    *(None, pd.NA, pd.NaT, True, False, np.True_, b"1", np.str_("red"), np.bytes_(b"1"), 1j, [1], (), {}),
    *(np.datetime64("2024-01-01"), np.datetime64("NaT"), np.timedelta64(1, "ns"), date(2024, 1, 1)),
    *(datetime(2024, 1, 1), timedelta(1), Decimal("1.00"), Decimal("sNaN"), Fraction(1, 2)),
)
others = st.sampled_from(OTHERS)
typed_cells = numbers | texts | others
kinds, flags = st.sampled_from(KINDS), st.booleans()


def column_of(kind: Kind, may_be_missing: bool) -> Column:
    levels = LEVELS if kind == "category" else None
    return Column(name="a", kind=kind, levels=levels, may_be_missing=may_be_missing)


def answer(read: Callable[[], Any]) -> list[float] | str:
    """The numbers that `read` returns, with None for NaN; REFUSED if it raises InputError."""
    try:
        return [None if x != x else float(x) for x in np.atleast_1d(read())]
    except InputError:
        return REFUSED


def by_rule(cells: list[Any], column: Column, *, written: bool = False) -> list[float] | str:
    found = [read_cell(cell, column, written=written) for cell in cells]
    return REFUSED if any(isinstance(one, str) for one in found) else answer(lambda: found)


def spec_of(column: Column) -> VectorSpec:
    return VectorSpec(columns=(column, PAD))


def objects(cells: list[Any]) -> np.ndarray:
    x = np.empty((len(cells), 2), dtype=object)
    for row, cell in enumerate(cells):
        x[row] = [None, 1.0]
        x[row, 0] = cell
    return x


def trained(cells: list[Any], kind: Kind, missing: bool) -> Rows:
    """Training rows of the cells and a last cell of 1, because a column must not be empty."""
    data = DataConfig(source="memory", kinds={"a": kind, "pad": "real"}, missing="marginalise" if missing else "refuse")
    return of_array(objects([*cells, 1]), ["a", "pad"], config=data, likelihood=MIXED)


def in_arrow(cells: list[Any], column: Column) -> np.ndarray:
    table = pa.RecordBatch.from_pydict({"a": pa.array(cells), "pad": [1.0] * len(cells)})
    return Columns(table.schema, spec_of(column), text=False, indices=False, strict=True).take(table, 0)[1][:, 0]


def fits_arrow(cells: list[Any]) -> bool:
    """Whether pyarrow makes a column of these cells; for other cells it fails, makes dates, or crashes."""
    plain = (NoneType, bool, int, float, str, np.bool_, np.int8, np.uint64)
    if not all(type(cell) in plain or (isinstance(cell, Decimal) and _is_small(cell)) for cell in cells):
        return False
    try:
        pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _is_small(cell: Decimal) -> bool:
    return cell.is_finite() and len(cell.as_tuple().digits) < 20 and abs(cell.adjusted()) < 20


@settings(max_examples=300)
@given(typed_cells, kinds, flags)
def test_lists_mappings_and_arrow_columns_follow_the_rule(cell: Any, kind: Kind, missing: bool) -> None:
    column = column_of(kind, missing)
    want = by_rule([cell], column)
    assert answer(lambda: encode([[cell, 1.0]], spec_of(column), strict=True)[:, 0]) == want
    assert answer(lambda: encode([{"pad": 1.0, "a": cell}], spec_of(column), strict=True)[:, 0]) == want
    assert answer(lambda: encode(objects([cell]), spec_of(column), strict=True)[:, 0]) == want
    if fits_arrow([cell]):
        assert answer(lambda: in_arrow([cell], column)) == want


@settings(max_examples=300)
@given(st.lists(typed_cells, min_size=1, max_size=3), kinds, flags)
def test_training_reads_cells_as_requests_do_and_makes_levels_that_requests_find(
    cells: list[Any], kind: Kind, missing: bool
) -> None:
    try:
        rows = trained(cells, kind, missing)
    except InputError:
        if kind == "category":  # cells that cannot be levels
            column = Column(name="a", kind=kind, levels=("no such level",), may_be_missing=missing)
            assert by_rule(cells, column) == REFUSED
        else:
            want = by_rule(cells, column_of(kind, missing))
            assert want == REFUSED or (kind == "count" and max(x or 0 for x in want) > MAX_COUNT)
        return
    column = Column(name="a", kind=kind, levels=rows.levels[0], may_be_missing=rows.may_be_missing[0])
    want = answer(lambda: rows.x[:-1, 0])
    assert by_rule(cells, column) == want
    assert answer(lambda: encode([[cell, 1.0] for cell in cells], spec_of(column))[:, 0]) == want
    if fits_arrow(cells) and len(set(map(type, cells))) == 1:
        assert answer(lambda: in_arrow(cells, column)) == want


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells")


def written_to(folder: Path, cells: list[str]) -> Path:
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL)
        writer.writerow(["a", "pad"])
        writer.writerows([cell, "1"] for cell in cells)
    return path


def scored(path: Path, column: Column) -> np.ndarray:
    source = CsvSource(storage_path(path), 100)
    return rows_of(source, spec_of(column), strict=True).take(next(source.chunks()))[1][:, 0]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts, min_size=1, max_size=4), kinds, flags)
def test_a_csv_file_means_the_same_in_training_and_in_scoring(
    folder: Path, cells: list[str], kind: Kind, missing: bool
) -> None:
    path = written_to(folder, [*cells, "1"])
    refuse: Literal["refuse", "marginalise"] = "marginalise" if missing else "refuse"
    data = DataConfig(source=str(path), kinds={"a": kind, "pad": "real"}, missing=refuse)
    if kind != "category":
        want = by_rule([*cells, "1"], column_of(kind, missing), written=True)
        assert answer(lambda: scored(path, column_of(kind, missing))) == want
        if kind != "count" or want == REFUSED or max(x or 0 for x in want) <= MAX_COUNT:
            assert answer(lambda: load(data, MIXED).x[:, 0]) == want
        return
    assert answer(lambda: scored(path, column_of(kind, missing))) == by_rule([*cells, "1"], column_of(kind, missing))
    try:
        rows = load(data, MIXED)
    except InputError:
        return
    column = Column(name="a", kind=kind, levels=rows.levels[0], may_be_missing=rows.may_be_missing[0])
    assert answer(lambda: scored(path, column)) == answer(lambda: rows.x[:, 0])


TYPED_CELLS: list[tuple[Any, Kind, bool, float | str]] = [  # cell, kind, whether it may be missing, what it means typed
    (True, "real", True, 1.0),
    (False, "count", False, 0.0),
    (True, "fraction", False, 1.0),
    (False, "positive", False, "not above 0"),
    (True, "binary", False, 1.0),
    ("1", "real", True, "not a number"),
    ("", "real", True, "not a number"),
    ("NA", "real", True, "not a number"),
    (Decimal("1.50"), "real", False, 1.5),
    (Fraction(1, 2), "fraction", False, 0.5),
    (pd.NA, "real", True, np.nan),
    (pd.NA, "real", False, "missing"),
    (np.nan, "real", False, "not finite"),
    (Decimal("sNaN"), "real", True, np.nan),
    (np.timedelta64(1, "ns"), "real", True, 1e-9),
    (timedelta(days=1), "positive", False, 86400.0),
    (pd.Timedelta("90 min"), "real", False, 5400.0),
    (np.timedelta64("NaT"), "real", True, np.nan),
    (time(9, 30), "real", True, "not a number"),
    (pd.Interval(0, 1), "real", True, "not a number"),
    (2**53 + 1, "real", False, 2.0**53),
    (10**400, "real", False, "not finite"),
    (1e17, "count", False, 1e17),
    (-0.0, "count", False, -0.0),
    (9007199254740993, "category", False, 2.0),
    (9007199254740992, "category", True, "not one of its 6 levels"),
    (Decimal("1.00"), "category", False, 0.0),
    ("  ", "category", True, np.nan),
    ("NA", "category", True, np.nan),
    (True, "category", False, 4.0),
    ("2024-01-01T10:00:00+01:00", "category", False, 5.0),
]
CSV_CELLS: list[tuple[str, Kind, bool, float | str]] = [  # the same for cells of a CSV file
    (" 1.5 ", "real", False, 1.5),
    ("+1.", "real", False, 1.0),
    ("0x1F", "real", True, "not a number"),
    ("1_0", "real", True, "not a number"),
    ("\u0661", "real", True, "not a number"),
    (" ", "real", True, np.nan),
    (" ", "real", False, "missing"),
    (" NA ", "real", True, np.nan),
    ("NA", "real", False, "not a number"),
    ("nan", "real", False, "not finite"),
    ("true", "real", True, 1.0),
    (" true", "binary", False, 1.0),
    ("tRUE", "binary", False, "not a number"),
]


@pytest.mark.parametrize(("cell", "kind", "missing", "meaning"), TYPED_CELLS, ids=repr)
def test_typed_cells_have_the_decided_meaning(cell: Any, kind: Kind, missing: bool, meaning: float | str) -> None:
    found = read_cell(cell, column_of(kind, missing))
    np.testing.assert_equal(found.partition(" (")[0] if isinstance(found, str) else found, meaning)


@pytest.mark.parametrize(("cell", "kind", "missing", "meaning"), CSV_CELLS, ids=repr)
def test_cells_of_a_csv_file_have_the_decided_meaning(
    cell: str, kind: Kind, missing: bool, meaning: float | str
) -> None:
    np.testing.assert_equal(read_cell(cell, column_of(kind, missing), written=True), meaning)


def test_booleans_are_0_and_1_in_every_column_of_numbers() -> None:
    for column in (Column(name="a", kind="binary"), Column(name="a"), Column(name="a", kind="count")):
        for rows in (np.array([[True], [False]]), [[True], [False]], pd.DataFrame({"a": [True, False]})):
            np.testing.assert_array_equal(encode(rows, VectorSpec(columns=(column,))), [[1], [0]])


def test_float32_levels_are_found_in_every_form_of_input() -> None:
    cells = np.array([0.1, 0.25, 0.1], dtype=np.float32)
    rows = of_array(cells[:, None], ["a"], config=DataConfig(source="m", kinds={"a": "category"}), likelihood=MIXED)
    column = Column(name="a", kind="category", levels=rows.levels[0])
    np.testing.assert_array_equal(encode([[cell] for cell in cells], VectorSpec(columns=(column,))), rows.x)
    table = pa.RecordBatch.from_pydict({"a": pa.array(cells)})
    found = Columns(table.schema, VectorSpec(columns=(column,)), text=False, indices=False, strict=True).take(table, 0)[
        1
    ]
    np.testing.assert_array_equal(found, rows.x)


def test_the_spellings_of_missing_and_boolean_cells_are_those_of_pyarrow() -> None:
    options = pyarrow.csv.ConvertOptions()
    assert set(options.null_values) - {""} == MISSING_TEXTS
    assert (set(options.true_values) - {"1"}, set(options.false_values) - {"0"}) == (TRUE, FALSE)
