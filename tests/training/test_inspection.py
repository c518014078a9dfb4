"""Data are inspected before they are used: what is left out or looks wrong is said, with what to do about it."""

from __future__ import annotations

import re
from dataclasses import replace
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
from vaekit_training.data.findings import constants, counts_as_real, findings
from vaekit_training.data.load import load, of_array
from vaekit_training.data.looks import is_id
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
    keep = """settings={"data": {"kinds": {"line": "KIND"}}} keeps one"""
    assert f"columns left out (a file's index): line; {keep}" in prepared.warnings
    kept = prepare(table(rows), None, settings={"data": {"kinds": {"line": "real"}}})
    assert kept.rows(None).columns == ("a", "b", "line")


def test_a_table_of_ids_alone_is_kept() -> None:
    assert config_of(np.arange(40.0)[:, None]).data.exclude == ()


def test_a_detector_takes_later_arrays_with_the_columns_of_fit() -> None:
    x = np.c_[np.arange(N), X]
    keep = re.escape('named like an id): x0; settings={"data": {"kinds": {"x0": "KIND"}}} keeps one')
    with pytest.warns(UserWarning, match=keep):
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
    assert "leave it out by --exclude machine" in said
    assert "column 'site'" not in said
    assert config.likelihood.name == "mixed"


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
    with pytest.raises(
        InputError, match=r"^row 40, feature 'a': not a number: .*; 40 of the column's 41 cells"
    ) as refused:
        Detector(settings=QUICK).fit(frame)
    assert f"""use settings={{"data": {{"missing_values": ["{bad}"]}}}} if the value is missing""" in str(refused.value)
    assert 'settings={"data": {"kinds": {"a": "category"}}} or settings={"data": {"exclude": ["a"]}}' in str(
        refused.value
    )
    assert "--set" not in str(refused.value)


def test_counts_that_are_modelled_as_real_numbers_are_said() -> None:
    x = np.column_stack([np.arange(200) * 7 % 5, np.arange(200) / 7, np.arange(200) % 2, np.arange(200) * 1000 % 7919])
    rows = of_array(x.astype(np.float64), ["n", "a", "b", "wide"])
    splits = split(rows, make_config({"name": "a", "data": {"source": "m"}}).data, 0)
    (said,) = counts_as_real(rows, splits)
    assert "below 0: 'n'; --set data.kinds.n=count models one as counts" in said
    (said,) = counts_as_real(rows, splits, source="memory")
    assert """below 0: 'n'; settings={"data": {"kinds": {"n": "count"}}} models one as counts""" in said
    assert counts_as_real(rows, splits, ["n"]) == []


@pytest.mark.parametrize(
    ("values", "is_count"),
    [(np.arange(200) % 12 + 1, True), (np.arange(200) % 12 + 2, False), (np.array([0, 5, 10, 20] * 50), False)],
    ids=["from 1", "from 2", "with gaps"],
)
def test_counts_start_at_0_or_1_and_have_few_gaps(values: NDArray[np.int64], is_count: bool) -> None:
    rows = of_array(values[:, None].astype(np.float64), ["n"])
    splits = split(rows, make_config({"name": "a", "data": {"source": "m"}}).data, 0)
    assert bool(counts_as_real(rows, splits)) is is_count


def test_columns_with_one_value_are_said_with_the_option_that_leaves_one_out() -> None:
    config = make_config({"name": "a", "data": {"source": "m", "missing": "marginalise"}}).data
    x = np.c_[RNG.standard_normal(200), np.full(200, 4.0), np.where(np.arange(200) == 9, np.nan, 2.0)]
    rows = of_array(x, ["a", "site", "unit"], config=config)
    splits = split(rows, config, 0)
    (said,) = constants(rows, splits)
    assert said == (
        "columns with one value in all training rows: 'site', 'unit'; they only tell a row with another value there, "
        "which is an anomaly; --exclude site leaves one out"
    )
    assert """settings={"data": {"exclude": ["site"]}} leaves one out""" in constants(rows, splits, "memory")[0]
    assert constants(replace(rows, x=rows.x + np.arange(200)[:, None]), splits) == []
