"""Text that is numbers or dates, and CSV dialects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.test_detector import QUICK
from tests.training.test_inspection import N, X, csv, inferred
from vaekit import Detector
from vaekit.detector_training import prepare
from vaekit.errors import InputError
from vaekit.tabular.frames import table
from vaekit_training.config import make_config
from vaekit_training.data.load import load
from vaekit_training.data.looks import formatted
from vaekit_training.infer import infer


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["5,00", "12,5", "7", "1,25", "0,5", "3,75"], "such as '5,00': --decimal ',' reads them"),
        (["1.234,5", "2.000,25", "13.000", "1.000.000", "9.999,1"], "--decimal ',' --thousands . reads them"),
        (["1,234.56", "22,000", "1,000,000.5", "3,141.59", "2,718"], "such as '1,234.56': --thousands ',' reads them"),
        (["1 234", "22 000", "1 000 000.5", "3 141.59", "2 718"], "such as '1 234': --thousands ' ' reads them"),
        (["1\u202f234", "22\u202f000", "1\u00a0000\u00a0000", "3 141"], "'1\\u202f234': --thousands ' ' reads them"),
        (["1 234,5", "22 000,25", "3 141,59"], "'1 234,5': --decimal ',' --thousands ' ' reads them"),
    ],
)
def test_numbers_in_another_notation_are_refused_with_what_reads_them(
    tmp_path: Path, cells: list[str], said: str
) -> None:
    column = [*cells, *cells] * 10
    frame = pd.DataFrame({"a price": column, "a": X[: len(column), 0]})
    path = csv(tmp_path / "rows.csv", frame)
    with pytest.raises(InputError) as refused:
        inferred(path)
    assert "1 column is text that looks like numbers: 'a price', such as " in str(refused.value)
    assert said in str(refused.value)
    assert str(refused.value).endswith("--set data.kinds.'a price'=category or --exclude 'a price'")
    assert inferred(path, "data.kinds.'a price'=category")[0].data.kinds == {"a price": "category"}
    assert inferred(path, 'data.exclude=["a price"]')[0].data.exclude == ("a price",)
    with pytest.raises(InputError, match=r"^1 column is text that looks like numbers: .*: convert them to numbers\. "):
        prepare(table(frame), None)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
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
    header = repr(f"a{separator}b")
    wanted = f"cells seem to be separated by {separator!r}: use --delimiter {separator!r}"
    with_commas = csv(tmp_path / "commas.csv", frame, sep=separator, decimal=",")
    with pytest.raises(InputError) as refused:
        infer(str(with_commas))
    assert f"row 0: 3 cells, but the header has 1: one column, {header}; its {wanted} --decimal ','" in str(
        refused.value
    )
    with pytest.raises(InputError) as refused:
        infer(str(csv(tmp_path / "points.csv", frame, sep=separator)))
    assert str(refused.value).endswith(f": one column, {header}; its {wanted}")
    for settings in ({"label": "b"}, {"kinds": {"b": "real"}}):
        with pytest.raises(InputError) as refused:
            infer(str(tmp_path / "points.csv"), {"data": settings})
        assert str(refused.value).endswith(f": one column, {header}; its {wanted}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.label=lable"], "data.label: no column 'lable' (did you mean 'label'?); there are: temp_F, label"),
        (["data.kinds.temp_G=real"], "data.kinds: no column 'temp_G' (did you mean 'temp_F'?)"),
        (['data.exclude=["tempf"]'], "data.exclude: no column 'tempf' (did you mean 'temp_F'?)"),
        (["data.split=time:labl"], "data.split: no column 'labl' (did you mean 'label'?)"),
    ],
)
def test_a_column_that_does_not_exist_is_refused_before_anything_is_said(
    tmp_path: Path, settings: list[str], said: str
) -> None:
    path = csv(tmp_path / "rows.csv", pd.DataFrame({"temp_F": X[:, 0], "label": np.arange(N) % 2}))
    with pytest.raises(InputError) as refused:
        inferred(path, *settings)
    assert said in str(refused.value)


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
