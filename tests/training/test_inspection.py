"""Data are inspected before they are used: what is left out or looks wrong is said, with what to do about it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from tests.test_detector import QUICK
from vaekit import Detector
from vaekit.detector_training import config_of, prepare
from vaekit.errors import InputError
from vaekit.tabular.frames import table
from vaekit_training.config import Config, make_config, parse_overrides
from vaekit_training.data.findings import findings
from vaekit_training.data.load import load, of_array
from vaekit_training.data.looks import formatted, is_id
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import split
from vaekit_training.infer import infer, overrides_beside

N = 120
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 2)) * [1.0, 30.0]


def inferred(path: Path, *settings: str) -> tuple[Config, str]:
    """The config that `vae train PATH --set ...` makes, and what it says."""
    asked = parse_overrides(settings)
    tree, said = infer(str(path), asked)
    return make_config(tree, overrides_beside(asked, settings)), "\n".join(said)


def csv(path: Path, frame: pd.DataFrame, **options: Any) -> Path:
    frame.to_csv(path, index=False, **options)
    return path


def found_in(x: NDArray[np.float64], **settings: Any) -> list[str]:
    config = make_config({"name": "a", "data": {"source": "memory", **settings}})
    rows = of_array(x, config=config.data)
    return findings(rows, split(rows, config.data, 0))


# Index and id columns.


@pytest.mark.parametrize("read", ["memory", "stream"])
@pytest.mark.parametrize("name", [None, "machine"])
def test_the_index_of_a_filtered_frame_is_left_out_of_parquet(tmp_path: Path, read: str, name: str | None) -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "bad": RNG.integers(0, 2, N)}).rename_axis(name)
    frame[frame.bad == 0].drop(columns="bad").to_parquet(tmp_path / "good.parquet")
    stored = name or "__index_level_0__"
    assert stored in pq.read_schema(tmp_path / "good.parquet").names
    config, said = inferred(tmp_path / "good.parquet", f"data.read={read}")
    rows = load(config.data, config.likelihood)
    assert (rows.columns, rows.index) == (("a", "b"), (stored,))
    assert stored not in said
    kept, _ = inferred(tmp_path / "good.parquet", f"data.read={read}", f"data.kinds.{stored}=real")
    assert load(kept.data, kept.likelihood).columns == ("a", "b", stored)
    config_file = make_config({"name": "a", "data": {"source": str(tmp_path / "good.parquet"), "read": read}})
    assert load(config_file.data).columns == ("a", "b")


@pytest.mark.parametrize("header", [",a,b", "Unnamed: 0,a,b", "a,,b", ",,a,b", "a,b,"])
def test_columns_without_a_name_are_an_index_and_left_out(tmp_path: Path, header: str) -> None:
    names = header.split(",")
    lines = [",".join(str(i if name not in "ab" or not name else x) for name in names) for i, x in enumerate(X[:, 0])]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    config, _ = inferred(path)
    rows = load(config.data, config.likelihood)
    assert rows.columns == ("a", "b")
    assert len(rows.index) == len(names) - 2


def ids() -> dict[str, NDArray[Any]]:
    """Columns that only number the rows."""
    shuffled = RNG.permutation(N)
    return {
        "rising": np.arange(1, N + 1),
        "falling": np.arange(N, 0, -1) * 7,
        "as floats": np.arange(N) + 0.0,
        "with gaps": np.cumsum(RNG.integers(1, 9, N)),
        "shuffled": shuffled + 1000,
        "half of them, shuffled": RNG.permutation(2 * N - 20)[:N],
        "account_id": RNG.choice(10**6, N, replace=False),
    }


@pytest.mark.parametrize("name", ids())
def test_an_id_is_left_out_at_every_entry_point_and_can_be_kept(tmp_path: Path, name: str) -> None:
    column = ids()[name]
    frame = pd.DataFrame({name: column, "a": X[:, 0], "b": X[:, 1]})
    config, said = inferred(csv(tmp_path / "rows.csv", frame))
    assert config.data.exclude == (name,)
    assert f"named like an id): {name}; --set data.kinds." in said
    assert prepare(table(frame), None).config.data.exclude == (name,)
    kept = f'data.kinds."{name}"=real'
    assert inferred(tmp_path / "rows.csv", kept)[0].data.exclude == ()
    assert prepare(table(frame), None, settings=[kept]).config.data.exclude == ()
    if name != "account_id":
        assert config_of(frame.to_numpy()).data.exclude == ("x0",)


def test_an_id_that_a_config_does_not_leave_out_is_said() -> None:
    x = np.c_[np.arange(800), RNG.standard_normal((800, 2))]
    (said,) = found_in(x)
    assert "look like ids" in said
    assert ": 'x0'; leave them out by data.exclude" in said
    rows = of_array(x)
    assert (
        findings(rows, split(rows, make_config({"name": "a", "data": {"source": "m"}}).data, 0), {"x0": "real"}) == []
    )
    assert found_in(x[:, :1]) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("counts", RNG.poisson(30, N)),
        ("rising reals", np.sort(X[:, 0])),
        ("few", np.arange(10)),
        ("scattered", RNG.choice(10**6, N, replace=False)),
        ("fluid", RNG.choice(10**6, N, replace=False)),
        ("all but two differ", np.r_[np.arange(N - 1), 3]),
        ("infinite", np.r_[np.arange(N - 1.0), np.inf]),
    ],
)
def test_other_numbers_are_no_ids(name: str, values: NDArray[Any]) -> None:
    assert not is_id(name, values)


def test_the_named_index_of_a_frame_is_left_out_of_an_arrow_table() -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]}, index=pd.Index(RNG.integers(0, 9, N), name="line"))
    rows = pa.Table.from_pandas(frame)
    prepared = prepare(table(rows), None)
    assert prepared.rows(None).columns == ("a", "b")
    assert "columns left out (a file's index): line; --set data.kinds.line=KIND keeps one" in prepared.warnings
    kept = prepare(table(rows), None, settings={"data.kinds.line": "real"})
    assert kept.rows(None).columns == ("a", "b", "line")


def test_a_table_of_ids_alone_is_kept() -> None:
    assert config_of(np.arange(40.0)[:, None]).data.exclude == ()


def test_a_detector_takes_later_arrays_with_the_columns_of_fit() -> None:
    x = np.c_[np.arange(N), X]
    with pytest.warns(UserWarning, match="named like an id\\): x0; --set data.kinds.x0=KIND keeps one"):
        detector = Detector(alpha=0.5, settings=QUICK).fit(x)
    assert (detector.n_features_in_, detector.left_out_) == (3, ("x0",))
    moved = np.c_[np.arange(N) + 600, X]
    np.testing.assert_array_equal(detector.score_samples(moved), detector.score_samples(x))
    np.testing.assert_array_equal(detector.score_samples(x.tolist()), detector.score_samples(x))
    with pytest.raises(InputError, match="expecting 3 features"):
        detector.predict(X)
    named = pd.DataFrame({"a": X[:, 0], "id": np.arange(N), "b": X[:, 1]})
    with pytest.warns(UserWarning, match="named like an id\\): id; "):
        by_name = Detector(alpha=0.5, settings=QUICK).fit(named)
    want = by_name.score_samples(named)
    for form in (named.to_numpy(), named[["b", "a"]], named.to_numpy().tolist(), named.to_dict("records")):
        np.testing.assert_array_equal(by_name.score_samples(form), want)


# Text that is numbers, and CSV dialects.


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["5,00", "12,5", "7", "1,25", "0,5", "3,75"], "--set data.decimal=',' reads '5,00'"),
        (["1.234,5", "2.000,25", "13.000", "1.000.000", "9.999,1"], "--set data.decimal=',' --set data.thousands=."),
        (["1,234.56", "22,000", "1,000,000.5", "3,141.59", "2,718"], "--set data.thousands=',' reads '1,234.56'"),
        (["1 234", "22 000", "1 000 000.5", "3 141.59", "2 718"], "--set data.thousands=' ' reads '1 234'"),
        (["1\u202f234", "22\u202f000", "1\u00a0000\u00a0000", "3 141"], "--set data.thousands=' ' reads '1\\u202f234'"),
        (["1 234,5", "22 000,25", "3 141,59"], "--set data.decimal=',' --set data.thousands=' ' reads '1 234,5'"),
        (["-$5.00", "$3.00", "+$4", "-$1,200"], "remove the '$' to model it as numbers"),
        (["$5.00", "$1,200", "$.75", "$3", "$41.1"], "remove the '$' to model it as numbers"),
        (["12.3%", "4%", "99.9%", "0.1 %", "55%"], "remove the '%' to model it as numbers"),
        (["3 kg", "4.5 kg", "12kg", "0.25 kg", "7 kg"], "remove the 'kg' to model it as numbers"),
        (["€3", "€4,50", "€5", "€6", "€7.1"], "remove the '€'"),
    ],
)
def test_text_that_is_formatted_numbers_is_said_with_what_reads_it(tmp_path: Path, cells: list[str], said: str) -> None:
    column = [*cells, *cells] * 10
    frame = pd.DataFrame({"price": column, "a": X[: len(column), 0]})
    _, remarks = inferred(csv(tmp_path / "rows.csv", frame))
    assert f"column 'price' is text that looks like numbers: {said}" in remarks
    (warned,) = [text for text in prepare(table(frame), None).warnings if "looks like numbers" in text]
    assert warned.startswith("column 'price' is text that looks like numbers: ")


@pytest.mark.parametrize(
    "cells",
    [
        ["A4", "B5", "C6", "D7", "E8", "F9"],
        ["4WD", "2WD", "5G", "3XL", "2nd", "1st"],
        ["M-0001", "M-0002", "M-0003", "M-0004"],
        ["A12", "A13", "A14", "A15"],
        ["007x", "008x", "009x"],
        ["red", "1,5", "blue", "green", "pink", "grey"],
        ["01", "02", "03", "04", "05", "06"],
        ["2026-01-01 ok", "b", "c", "d", "e", "f"],
    ],
)
def test_other_text_is_levels_without_a_remark(cells: list[str]) -> None:
    assert formatted(np.array(cells, dtype=object), in_file=True) is None


DIALECTS = {
    "semicolons and commas": ({"sep": ";", "decimal": ","}, ["data.delimiter=';'", "data.decimal=','"]),
    "tabs": ({"sep": "\t"}, ["data.delimiter='\t'"]),
    "bars": ({"sep": "|"}, ["data.delimiter=|"]),
}


@pytest.mark.parametrize(("written", "settings"), DIALECTS.values(), ids=DIALECTS)
def test_a_csv_of_another_dialect_is_read_as_settings_say(
    tmp_path: Path, written: dict[str, str], settings: list[str]
) -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": np.where(X[:, 0] > 0, "x, y", "z")})
    plain, _ = inferred(csv(tmp_path / "plain.csv", frame))
    config, _ = inferred(csv(tmp_path / "other.csv", frame, **written), *settings)
    one, other = load(plain.data, plain.likelihood), load(config.data, config.likelihood)
    assert (one.columns, one.kinds, one.levels) == (other.columns, other.kinds, other.levels)
    np.testing.assert_array_equal(one.x, other.x)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_file_that_is_not_separated_by_commas_is_told_how_to_read_it(tmp_path: Path, separator: str) -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    with_commas = csv(tmp_path / "commas.csv", frame, sep=separator, decimal=",")
    with pytest.raises(InputError) as refused:
        infer(str(with_commas))
    assert f"row 0: 3 cells, but the header has 1; --set data.delimiter={separator!r}" in str(refused.value)
    with pytest.raises(InputError) as refused:
        infer(str(csv(tmp_path / "points.csv", frame, sep=separator)))
    assert "points.csv': no column is left to model; only one column" in str(refused.value)
    assert f"use --set data.delimiter={separator!r}" in str(refused.value)


def test_a_table_without_a_column_to_model_is_refused_with_the_reasons() -> None:
    frame = pd.DataFrame({"when": pd.date_range("2026-01-01", periods=N), "note": [f"note {k}" for k in range(N)]})
    with pytest.raises(InputError, match=r"^no column is left to model; .*\(dates\): when; .* in most .*: note; "):
        Detector().fit(frame)
    with pytest.raises(InputError, match=r"too few rows: 0 normal"):
        Detector(settings=QUICK).fit(X, np.ones(N, dtype=bool))


@pytest.mark.parametrize(
    ("settings", "cell", "value"),
    [
        (["data.decimal=','"], '"1,5"', 1.5),
        (["data.decimal=','", "data.thousands=."], '"1.234,5"', 1234.5),
        (["data.thousands=','"], '"-1,234,567.25"', -1234567.25),
        (["data.thousands=' '"], "12 000", 12000.0),
        (["data.thousands=' '"], "12\u202f000", 12000.0),
        (["data.decimal=','", "data.thousands=' '"], '"12\u00a0000,5"', 12000.5),
        (["data.decimal=','"], '"-,5e2"', -50.0),
        (["data.decimal=','"], "7", 7.0),
    ],
)
def test_numbers_of_a_dialect_are_read(tmp_path: Path, settings: list[str], cell: str, value: float) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"a,b\n{cell},1.0\n2,1\n" if "decimal" not in settings[0] else f"a,b\n{cell},1\n2,1\n")
    config = make_config({"name": "a", "data": {"source": str(path)}}, settings)
    assert load(config.data).x[0, 0] == value


def test_a_number_of_another_dialect_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('a,b\n"1,5",1\n1.5,2\n"2,5",3\n')
    config = make_config({"name": "a", "data": {"source": str(path)}}, ["data.decimal=','"])
    with pytest.raises(InputError, match=r"row 1, feature 'a': not a number: .1\.5 \(decimal sep"):
        load(config.data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sep=;\na;b\n1;2\n", "line 1, 'sep=;', is for Excel alone: delete it; set the delimiter"),
        ("# by pump 7\na,b\n1,2\n", "but the header has 1, '# by pump 7'; delete lines above the header"),
    ],
)
def test_a_line_above_the_header_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(InputError) as refused:
        infer(str(tmp_path / "rows.csv"))
    assert said in str(refused.value)


@pytest.mark.parametrize("form", ["2024-{m:02d}-{d:02d}", "{d:02d}.{m:02d}.2024", "{m}/{d}/2024", "{d}-{m}-2024 9:30"])
def test_text_that_is_dates_is_left_out_as_dates(tmp_path: Path, form: str) -> None:
    when = [form.format(m=k % 12 + 1, d=k % 28 + 1) for k in range(N)]
    frame = pd.DataFrame({"when": when, "a": X[:, 0], "b": X[:, 1], "version": ["1.2.3", "1.12.0"] * (N // 2)})
    for found in (inferred(csv(tmp_path / "rows.csv", frame))[0], prepare(table(frame), None).config):
        assert found.data.exclude == ("when",)


def test_text_that_is_all_numbers_in_a_frame_is_said() -> None:
    frame = pd.DataFrame({"a": [str(x) for x in X[:, 0]], "b": X[:, 1], "code": [f"{k % 9:03d}" for k in range(N)]})
    said = prepare(table(frame), None).warnings
    assert "column 'a' is text that is all numbers: convert it to model it as numbers" in said
    assert not any("'code'" in line for line in said)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"a": []}), "X has no rows"),
        (pd.DataFrame(index=range(30)), "X has no columns"),
        (pl.DataFrame({"a": [1.0]}).lazy(), "X is a lazy frame; collect it first: X.collect()"),
    ],
    ids=["no rows", "no columns", "lazy"],
)
def test_a_frame_without_rows_is_refused(frame: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        Detector().fit(frame)
    assert str(refused.value) == said


# Columns that say little, and categories.


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("read", ["memory", "stream"])
def test_a_column_without_a_value_is_left_out_however_it_is_read(tmp_path: Path, read: str, statistics: bool) -> None:
    kinds = {"n": pa.null(), "f": pa.float64(), "i": pa.int64(), "s": pa.string(), "b": pa.bool_(), "d": pa.date32()}
    empty = {name: pa.nulls(N, kind) for name, kind in kinds.items()}
    empty["c"] = pa.nulls(N, pa.dictionary(pa.int8(), pa.string()))
    rows = pa.table({"a": X[:, 0], "b0": X[:, 1], **empty})
    pq.write_table(rows, tmp_path / "rows.parquet", write_statistics=statistics, row_group_size=50)
    config, said = inferred(tmp_path / "rows.parquet", f"data.read={read}")
    assert set(config.data.exclude) == set(empty)
    assert "columns left out (no values): " in said
    assert load(config.data, config.likelihood).columns == ("a", "b0")


@pytest.mark.parametrize("read", ["memory", "stream"])
def test_a_dictionary_of_integers_in_parquet_is_a_category(tmp_path: Path, read: str) -> None:
    rows = pa.table({"a": X[:, 0], "zip": pa.array(RNG.integers(0, 4, N) * 1000).dictionary_encode()})
    pq.write_table(rows, tmp_path / "rows.parquet")
    config, _ = inferred(tmp_path / "rows.parquet", f"data.read={read}")
    assert load(config.data, config.likelihood).levels[1] == ("0", "1000", "2000", "3000")


def test_columns_of_polars_that_are_no_cells_are_left_out() -> None:
    frame = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "s": [{"x": 1.0}] * N, "l": [[1, 2]] * N})
    storage = pa.StructArray.from_arrays([pa.array(X[:, 0]), pa.array(X[:, 1])], ["left", "right"])
    odd = pl.from_arrow(pa.table({"extended": storage}))
    long = pl.Series("long", [2**70 + k % 3 for k in range(N)], dtype=pl.Int128)
    assert prepare(table(frame.hstack(odd).with_columns(long)), None).config.data.exclude == ("s", "l", "extended")


def test_a_category_of_few_rows_for_each_level_is_said(tmp_path: Path) -> None:
    machines = [f"M-{k:04d}" for k in np.r_[:55, :55, :10]]
    frame = pd.DataFrame({"machine": machines, "a": X[:, 0], "site": np.where(X[:, 1] > 0, "north", "south")})
    config, said = inferred(csv(tmp_path / "rows.csv", frame))
    levels = len(set(machines))
    assert f"column 'machine' has {levels} levels in {N} rows" in said
    assert """--set data.exclude="['machine']\"""" in said
    assert "column 'site'" not in said
    assert config.likelihood.name == "mixed"


# Values.


@pytest.mark.parametrize("sentinel", [9.9e9, -999.0, 65535.0, 1e300, -1e300])
def test_a_sentinel_that_blinds_a_column_is_named(sentinel: float) -> None:
    x = np.c_[101_325 + 1000 * RNG.standard_normal(800), RNG.standard_normal(800)]
    column = 1 if abs(sentinel) < 1e5 else 0
    at = [17, 300, 541, 90, 700]
    x[at, column] = sentinel
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (said,) = found_in(x)
    assert said.startswith(f"column 'x{column}': ")
    shown = {9.9e9: "9900000000"}.get(sentinel, f"{sentinel:g}")
    assert f"cells of {shown} (rows 17, " in said
    assert f'if they mean "missing", set data.missing_values = [{shown}]; if not' in said
    assert "data.exclude" in said


@pytest.mark.parametrize("sentinel", [-999, -99.0, 9999, 65535, np.float32(-999.9)])
@pytest.mark.parametrize("share", [0.15, 0.4, 0.7])
def test_a_sentinel_in_many_cells_is_named(sentinel: float, share: float) -> None:
    many = np.where(RNG.random(800) < share, sentinel, RNG.standard_normal(800))
    (said,) = found_in(np.c_[many, RNG.standard_normal(800)])
    assert f"set data.missing_values = [{str(sentinel).removesuffix('.0')}]" in said


def test_many_different_cells_far_outside_are_to_be_corrected_one_by_one() -> None:
    x = RNG.standard_normal((800, 2))
    x[:20, 0] = 1e6 * np.arange(1, 21)
    x[:20, 1] = 1e6
    both = found_in(x)
    assert [('if they mean "missing", empty them' in said, "missing_values = [1e+06]" in said) for said in both] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    "values",
    [
        RNG.standard_normal(800),
        np.exp(2 * RNG.standard_normal(800)),
        RNG.standard_cauchy(800).clip(-200, 200),
        RNG.poisson(0.5, 800),
        RNG.integers(0, 100, 800),
        np.where(RNG.random(800) < 0.3, 99.0, RNG.integers(60, 100, 800)),
        np.where(RNG.random(800) < 0.3, 0.0, 1000 + RNG.standard_normal(800)),
        np.where(RNG.random(800) < 0.3, 0.0, RNG.exponential(size=800)),
    ],
    ids=["normal", "lognormal", "heavy tails", "counts", "to 99", "many 99", "off and on", "many zeros"],
)
def test_ordinary_tails_are_not_sentinels(values: NDArray[np.float64]) -> None:
    assert found_in(np.c_[values, RNG.standard_normal(800)]) == []


def test_values_near_the_largest_float_leak_no_warning_of_numpy() -> None:
    x = np.c_[RNG.standard_normal(60), RNG.standard_normal(60)]
    x[:2, 0] = 1e300
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match=r"or name values that mean missing in data\.missing_values"):
            Detector(alpha=0.5, settings=QUICK).fit(x)
    assert [str(one.message)[:13] for one in leaked] == ["column 'x0': "]
    x[:2, 0] = 1e100
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        Detector(alpha=0.5, settings=QUICK).fit(x).predict(x)
    assert [str(one.message)[:13] for one in leaked] == ["column 'x0': "]


def test_infinities_are_refused_with_advice_that_works() -> None:
    x = X.copy()
    x[3, 0], x[5, 0] = np.inf, -np.inf
    with pytest.raises(InputError) as refused:
        Detector(settings=QUICK).fit(x)
    said = str(refused.value)
    assert said.startswith("row 3, feature 'x0': not finite: inf (2 such cells in this column; empty them if the")
    assert "gaussian" not in said
    x[~np.isfinite(x)] = np.nan
    Detector(alpha=0.5, settings=QUICK).fit(x)
    x[3, 0] = np.inf
    Detector(alpha=0.5, settings=[*QUICK, "data.exclude=['x0']"]).fit(x)


def test_columns_of_nearly_one_value_are_named() -> None:
    x = RNG.standard_normal((800, 3))
    x[:, 1] = np.where(np.arange(800) % 150 == 7, x[:, 1], 4.0)
    x[:, 2] = 4.0
    (said,) = found_in(x)
    assert said.startswith("columns of nearly one value: 'x1' (99.")
    assert "% of its cells are 4)" in said
    assert "data.exclude" in said


# Copies of rows.


def test_copies_across_splits_are_said_because_p_values_do_not_hold() -> None:
    x = np.tile(RNG.standard_normal((50, 3)), (16, 1))
    (said,) = found_in(x)
    assert said.startswith("100% of the calibration rows are copies of rows in the train split")
    assert "p-values do not hold" in said
    assert "data.split = 'group:COLUMN'" in said
    (by_folds,) = found_in(x, folds=3)
    assert "copies of rows in the other folds" in by_folds
    images = np.tile(RNG.integers(0, 255, (20, 4, 4)).astype(np.uint8), (10, 1, 1))
    rows = of_array(images)
    (of_images,) = findings(rows, split(rows, make_config({"name": "a", "data": {"source": "m"}}).data, 0))
    assert "are copies" in of_images


@pytest.mark.parametrize(
    "x",
    [
        RNG.standard_normal((400, 3)),
        RNG.integers(0, 2, (400, 4)).astype(float),
        np.repeat(RNG.integers(0, 2, (400, 1)), 4, axis=1).astype(float),
        np.c_[RNG.integers(0, 3, (400, 3)), RNG.integers(0, 12, 400)].astype(float),
    ],
    ids=["reals", "bits", "one bit four times", "few values"],
)
def test_equal_rows_of_discrete_data_are_expected(x: NDArray[np.float64]) -> None:
    assert [said for said in found_in(x) if "copies" in said] == []


def test_a_detector_says_what_it_found() -> None:
    x = np.tile(RNG.standard_normal((40, 2)), (4, 1))
    with pytest.warns(UserWarning, match="are copies of rows in the train split"):
        Detector(alpha=0.5, settings=QUICK).fit(x)


# One default recipe.


def tables() -> dict[str, pd.DataFrame]:
    numbers = {"a": X[:, 0], "b": X[:, 1]}
    bits = {"p": X[:, 0] > 0, "q": X[:, 1] > 0}
    return {
        "numbers": pd.DataFrame(numbers),
        "numbers with gaps": pd.DataFrame({**numbers, "a": np.where(X[:, 1] > 0, X[:, 0], np.nan)}),
        "numbers and 0 and 1": pd.DataFrame({**numbers, "p": bits["p"].astype(int)}),
        "bits": pd.DataFrame({name: column.astype(int) for name, column in bits.items()}),
        "booleans": pd.DataFrame(bits),
        "numbers and booleans": pd.DataFrame({**numbers, **bits}),
        "numbers and text": pd.DataFrame({**numbers, "site": np.where(X[:, 0] > 0, "n", "s")}),
        "text": pd.DataFrame({"s": np.where(X[:, 0] > 0, "n", "s"), "t": np.where(X[:, 1] > 0, "u", "v")}),
    }


@pytest.mark.parametrize("name", tables())
def test_vae_train_and_detector_have_one_default_recipe(tmp_path: Path, name: str) -> None:
    frame = tables()[name]
    fitted = prepare(table(frame), None).config
    parts = ("likelihood", "network", "prior", "objective", "draws")
    for path in (csv(tmp_path / "rows.csv", frame), tmp_path / "rows.parquet"):
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        for settings in ((), ("likelihood.name=auto",)):
            config, _ = inferred(path, *settings)
            for part in parts:
                assert getattr(config, part) == getattr(fitted, part), part
            rows = load(config.data, config.likelihood)
            assert (rows.columns, rows.kinds, rows.levels) == _facts(prepare(table(frame), None).rows(None))


def _facts(rows: Rows) -> tuple[Any, ...]:
    return rows.columns, rows.kinds, rows.levels


def test_a_given_likelihood_is_not_inferred(tmp_path: Path) -> None:
    frame = tables()["numbers"]
    assert inferred(csv(tmp_path / "rows.csv", frame), "likelihood.name=laplace")[0].likelihood.name == "laplace"
    assert prepare(table(frame), None, likelihood="laplace").config.likelihood.name == "laplace"
    assert prepare(table(frame), None, settings=["likelihood.name=laplace"]).config.likelihood.name == "laplace"
    scaled = prepare(table(frame), None, settings=["likelihood.scale=shared"]).config.likelihood
    assert (scaled.name, scaled.scale) == ("student_t", "shared")


@pytest.mark.parametrize("bad", ["n/a", "oops", "?"])
def test_a_cell_of_text_in_a_frames_column_of_numbers_is_refused(bad: str) -> None:
    column: list[Any] = [*X[:40, 0], bad]
    frame = pd.DataFrame({"a": pd.Series(column, dtype=object), "b": X[:41, 1]})
    with pytest.raises(InputError, match=r"^row 40, feature 'a': not a number: .*; 40 of the column's 41 cells"):
        Detector(settings=QUICK).fit(frame)
