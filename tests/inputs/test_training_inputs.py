"""`vae train` and Detector.fit read the same columns from every form of input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.core.arrays.arrow.extension_types import ArrowPeriodType

from tests.inputs import table as inputs
from tests.inputs.test_every_entry_point import CELLS, fitted_to
from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.client.tables import settled
from vaekit.tabular import encode
from vaekit.tabular.arrow_columns import Columns
from vaekit_training.config import make_config, parse_overrides
from vaekit_training.data.load import load
from vaekit_training.data.rows import Rows
from vaekit_training.infer import infer, overrides_beside

SHORT = inputs.SETTINGS[:-1]


def trained_from(path: Path, *more: str, settings: Sequence[str] = inputs.SETTINGS) -> tuple[Rows, list[str]]:
    """The rows that `vae train PATH` reads, and what it says."""
    settings = [*settings, *more]
    asked = parse_overrides(settings)
    tree, said = infer(str(path), asked)
    config = make_config(tree, overrides_beside(asked, settings))
    return load(config.data, config.likelihood), said


def told(rows: Rows) -> list[tuple[Any, ...]]:
    return list(zip(rows.columns, rows.kinds, rows.levels, rows.may_be_missing, strict=True))


@pytest.fixture(scope="module")
def wanted() -> Rows:
    """The rows as they should be read."""
    return fitted_to(inputs.in_pandas(CELLS))[0]


def test_columns_have_the_kinds_and_levels_that_they_look_like(wanted: Rows) -> None:
    bands = tuple(sorted(set(CELLS["band"])))
    assert told(wanted) == [
        ("load", "real", None, True),
        ("door_open", "binary", None, False),
        ("shop", "category", tuple(str(inputs.FIRST + k) for k in range(4)), True),
        ("took", "real", None, True),
        ("zip", "category", ("10000", "11000", "12000", "13000"), True),
        ("band", "category", bands, False),
    ]
    seconds = [np.nan if cell is None else cell.total_seconds() for cell in CELLS["took"]]
    np.testing.assert_array_equal(wanted.x[:, 3], seconds)


@pytest.mark.parametrize("form", inputs.FRAMES.values(), ids=inputs.FRAMES)
def test_a_detector_is_fitted_to_the_same_rows_by_every_frame(wanted: Rows, form: Any) -> None:
    rows, said = fitted_to(form(CELLS))
    assert told(rows) == told(wanted)
    np.testing.assert_array_equal(rows.x, wanted.x)
    assert [line.partition(";")[0] for line in said] == [
        "columns left out (whole numbers that all differ, and are in order, without gaps or named like an id): serial",
        "columns left out (dates): when, day",
    ]


@pytest.mark.parametrize("write", [inputs.parquet_file, inputs.interval_file])
@pytest.mark.parametrize("read", ["memory", "stream"])
def test_vae_train_reads_the_same_rows_from_parquet(wanted: Rows, tmp_path: Path, read: str, write: Any) -> None:
    rows, said = trained_from(write(CELLS, tmp_path / "rows.parquet"), f"data.read={read}")
    assert told(rows) == told(wanted)
    assert sorted(map(tuple, np.nan_to_num(rows.x))) == sorted(map(tuple, np.nan_to_num(wanted.x)))
    assert rows.index == ("__index_level_0__",)
    assert any(line.startswith("columns left out (dates): when, day") for line in said)


@pytest.mark.parametrize("semicolons", [False, True])
def test_vae_train_reads_the_same_rows_from_csv(wanted: Rows, tmp_path: Path, semicolons: bool) -> None:
    settings = ["data.kinds.zip=category", *(["data.delimiter=;", "data.decimal=','"] if semicolons else [])]
    path = (inputs.semicolon_file if semicolons else inputs.csv_file)(CELLS, tmp_path / "rows.csv")
    rows, said = trained_from(path, *settings)
    assert told(rows) == told(wanted)
    np.testing.assert_allclose(rows.x, wanted.x, rtol=1e-15)
    assert rows.index == ("",)
    assert any(line.startswith("columns left out (dates): when, day") for line in said)


@pytest.fixture(params=[False, True], ids=["with pandas", "without pandas"])
def period_type(request: pytest.FixtureRequest) -> Iterator[None]:
    """Arrow has the type of pandas' periods only where pandas is imported; otherwise a file has metadata alone."""
    if request.param:
        pa.unregister_extension_type("pandas.period")
    yield
    if request.param:
        pa.register_extension_type(ArrowPeriodType("D"))


@pytest.mark.usefixtures("period_type")
@pytest.mark.parametrize(("freq", "first"), [("M", "2026-01"), ("Q", "2026-01"), ("2h", "2026-01-01T00"), ("W", None)])
def test_periods_of_pandas_are_dates_that_are_left_out_or_categories(
    tmp_path: Path, freq: str, first: str | None
) -> None:
    path, rng = tmp_path / "rows.parquet", np.random.default_rng(0)
    periods = pd.Series(np.tile(pd.period_range("2026-01-01", periods=8, freq=freq), 20))
    frame = pd.DataFrame({"a": rng.normal(size=160), "b": rng.normal(size=160), "p": periods})
    frame.loc[5, "p"] = pd.NaT
    frame.to_parquet(path)
    read, category = pq.read_table(path), "data.kinds.p=category"
    rows, said = trained_from(path, settings=SHORT)
    kept, _ = trained_from(path, category, settings=SHORT)
    is_date = first is not None  # other frequencies are text
    assert rows.columns == (("a", "b") if is_date else ("a", "b", "p"))
    assert any(line.startswith("columns left out (dates): p") for line in said) == is_date
    assert kept.levels[2] is not None
    assert (len(kept.levels[2]), is_date and kept.levels[2][0]) == (8, first or False)
    columns = zip(kept.columns, kept.kinds, kept.levels, kept.may_be_missing, strict=True)
    spec = VectorSpec(columns=tuple(Column(name=a, kind=b, levels=c, may_be_missing=d) for a, b, c, d in columns))
    np.testing.assert_array_equal(encode(settled(frame), spec)[:, 2], kept.x[:, 2])  # as Client sends it
    for form in (frame, read):
        assert fitted_to(form, SHORT)[0].columns == rows.columns
        by_detector, _ = fitted_to(form, [*SHORT, category])
        assert by_detector.levels == kept.levels
        np.testing.assert_array_equal(by_detector.x[:, 2], kept.x[:, 2])
        np.testing.assert_array_equal(encode(form, spec)[:, 2], kept.x[:, 2])
    (batch,) = read.to_batches()
    found = Columns(read.schema, spec, text=False, indices=False).take(batch, 0)[1]
    np.testing.assert_array_equal(found[:, 2], kept.x[:, 2])
