"""Detector with pandas and polars frames: columns by name, kinds of columns, and each library's missing values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.test_detector import QUICK
from vaekit import Detector
from vaekit.bundle import VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.frames import table

NAMES = ["load", "on", "colour", "stops"]
LIBRARIES: dict[str, Callable[[dict[str, Any]], Any]] = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


def columns(n: int = 200) -> dict[str, list[Any]]:
    """Columns of numbers, booleans, text and counts, all computed from the first column, which alone has no None."""
    load = np.random.default_rng(0).standard_normal(n).tolist()
    found: dict[str, list[Any]] = {
        "load": load,
        "on": [x > 0 for x in load],
        "colour": ["red" if x > 0 else "blue" for x in load],
        "stops": [int(abs(x) * 3) for x in load],
    }
    for row in range(0, n, 4):
        found[NAMES[1 + row // 4 % 3]][row] = None
    return found


def rows(n: int = 200) -> list[list[Any]]:
    """The cells of columns(n), row by row."""
    return [list(row) for row in zip(*columns(n).values(), strict=True)]


FRAMES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pd.DataFrame,
    "pandas with its own types": lambda c: pd.DataFrame(
        {
            "load": pd.array(c["load"], dtype="Float64"),
            "on": pd.array(c["on"], dtype="boolean"),
            "colour": pd.Categorical(c["colour"]),
            "stops": pd.array(c["stops"], dtype="Int64"),
        }
    ),
    "pandas with NA among objects": lambda c: pd.DataFrame(
        {name: pd.Series([pd.NA if x is None else x for x in column], dtype=object) for name, column in c.items()}
    ),
    "polars": pl.DataFrame,
    "polars with categories": lambda c: pl.DataFrame(c).with_columns(pl.col("colour").cast(pl.Categorical)),
}


@pytest.fixture(scope="module")
def fitted() -> Detector:
    """A detector fitted to a pandas frame."""
    return Detector(alpha=0.1, settings=QUICK).fit(pd.DataFrame(columns()))


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_every_kind_of_frame_gives_the_same_cells(frame: Callable[[dict[str, Any]], Any]) -> None:
    found = table(frame(columns()))
    assert found.names == tuple(NAMES)
    assert found.values.tolist() == rows()
    assert {type(cell) for cell in found.values[:, 1]} == {bool, NoneType}


def test_the_types_of_a_frames_columns_set_the_kinds_of_the_models_columns(fitted: Detector) -> None:
    spec = fitted.model_.spec
    assert isinstance(spec, VectorSpec)
    assert [(c.name, c.kind, c.levels, c.may_be_missing) for c in spec.columns] == [
        ("load", "real", None, False),
        ("on", "binary", None, True),
        ("colour", "category", ("blue", "red"), True),
        ("stops", "real", None, True),
    ]
    assert fitted.feature_names_in_.tolist() == NAMES
    assert fitted.n_features_in_ == 4


def test_fitting_pandas_and_polars_frames_gives_the_same_detector(fitted: Detector) -> None:
    other = Detector(alpha=0.1, settings=QUICK).fit(pl.DataFrame(columns()))
    assert other.model_.manifest.provenance.data_sha256 == fitted.model_.manifest.provenance.data_sha256
    np.testing.assert_allclose(other.score_samples(rows(40)), fitted.score_samples(rows(40)))


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_columns_are_found_by_name_in_any_order(fitted: Detector, frame: Callable[[dict[str, Any]], Any]) -> None:
    reversed_columns, lists = frame(columns(40))[NAMES[::-1]], rows(40)
    for method in (fitted.score_samples, fitted.p_value, fitted.decision_function, fitted.predict):
        np.testing.assert_array_equal(method(reversed_columns), method(lists))
    one, other = fitted.explain(reversed_columns).explanation, fitted.explain(lists).explanation
    assert one is not None
    assert other is not None
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("frame", LIBRARIES.values(), ids=LIBRARIES)
def test_the_error_names_the_invalid_cell(fitted: Detector, frame: Callable[[dict[str, Any]], Any]) -> None:
    cells = columns(8)
    cells["colour"][2] = "pink"
    assert fitted.predict(frame(cells))[2] == -1  # a level unseen in training
    strict = Detector.of(fitted.model_, alpha=fitted.alpha).set_params(strict=True)
    with pytest.raises(InputError, match=r"^row 2, feature 'colour': not one of its 2 levels .*: 'pink'$"):
        strict.predict(frame(cells))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["Load", "on", "colour", "stops"],
            "the input lacks 1 .*: 'load'; 'Load' resembles 'load'",
        ),
        (["on"], "the input lacks 1 of the model's columns: 'load'"),
        (["day"], "the input lacks 4 of the model's columns: 'load', 'on', 'colour', 'stops'"),
    ],
)
@pytest.mark.parametrize("frame", LIBRARIES.values(), ids=LIBRARIES)
def test_missing_and_unknown_columns_are_refused_by_name(
    fitted: Detector, frame: Callable[[dict[str, Any]], Any], names: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        fitted.score_samples(frame({name: [0.0] for name in names}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": [1.0, 2.0]}, r"X is of type dict, .*: pandas\.DataFrame\(X\) makes a table of a dict of columns$"),
        ((row for row in [[1.0]]), "X is of type generator, expected an array, a frame or a list of rows$"),
        ("[[1.0]]", "X is of type str, "),
        (None, "X is of type NoneType, "),
    ],
)
def test_what_is_no_table_is_refused_by_its_type(fitted: Detector, given: Any, said: str) -> None:
    for ask in (Detector().fit, fitted.predict):
        with pytest.raises(InputError, match=said):
            ask(given)


def test_a_frame_with_a_name_twice_is_refused(fitted: Detector) -> None:
    with pytest.raises(InputError, match=r"^duplicate column name: 'on'$"):
        fitted.score_samples(pd.DataFrame(np.zeros((2, 5)), columns=[*NAMES, "on"]))


@pytest.mark.parametrize("frame", LIBRARIES.values(), ids=LIBRARIES)
def test_dates_are_left_out_and_durations_are_seconds(frame: Callable[[dict[str, Any]], Any]) -> None:
    day = date(2026, 3, 1)
    load = np.random.default_rng(0).standard_normal(40)
    cells = {
        "load": load.tolist(),
        "when": [None, *[day + timedelta(days=n) for n in range(39)]],
        "took": [timedelta(seconds=abs(x)) for x in load],
    }
    with pytest.warns(
        UserWarning, match=r"^columns left out \(dates\): when; settings=.*\"when\": \"KIND\".* keeps one"
    ):
        detector = Detector(alpha=0.5, settings=QUICK).fit(frame(cells))
    assert detector.left_out_ == ("when",)
    assert detector.feature_names_in_.tolist() == list(cells)
    assert (detector.n_features_in_, detector.model_.spec.dim) == (3, 2)
    rows = np.stack([load, [x.total_seconds() for x in cells["took"]]], axis=1)
    want = detector.model_.elbo(rows).elbo
    np.testing.assert_allclose(detector.score_samples(frame(cells)), want)
    np.testing.assert_allclose(detector.score_samples(frame({name: cells[name] for name in ("took", "load")})), want)
    with pytest.raises(InputError, match="datetime64"):
        table(np.array([[day]], dtype="datetime64[D]"))


@pytest.mark.parametrize("frame", LIBRARIES.values(), ids=LIBRARIES)
def test_columns_that_fit_did_not_have_are_ignored_and_named(
    fitted: Detector, frame: Callable[[dict[str, Any]], Any]
) -> None:
    want = fitted.score_samples(frame(columns(8)))
    more = {"y": [1] * 8, **columns(8), "at": [date(2026, 3, 1)] * 8}
    with pytest.warns(UserWarning, match=r"^columns that the model does not have are ignored: 'y', 'at'$"):
        np.testing.assert_array_equal(fitted.score_samples(frame(more)), want)
    strict = Detector.of(fitted.model_, alpha=0.1).set_params(strict=True)
    with pytest.raises(InputError, match=r"^unknown feature 'y'; strict allows only the model's columns$"):
        strict.score_samples(frame(more))


@pytest.mark.parametrize("frame", LIBRARIES.values(), ids=LIBRARIES)
def test_booleans_and_decimals_beside_numbers_are_numbers(frame: Callable[[dict[str, Any]], Any]) -> None:
    found = table(frame({"a": [0.5, None], "b": [True, None], "c": [1, 2], "d": [Decimal("1.5"), None]})).values
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0.5, 1.0, 1.0, 1.5], [np.nan, np.nan, 2.0, np.nan]])


def test_booleans_in_lists_are_numbers_unless_text_is_beside_them() -> None:
    assert table([[0.5, True], [None, np.False_]]).values == [[0.5, 1], [None, 0]]
    assert table([[0.5, True], ["x", False]]).values == [[0.5, True], ["x", False]]


def test_a_frame_whose_column_names_are_numbers_gives_no_feature_names() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).standard_normal((30, 2)))
    detector = Detector(alpha=0.5, settings=QUICK).fit(frame)
    assert not hasattr(detector, "feature_names_in_")
    np.testing.assert_array_equal(detector.score_samples(frame[[1, 0]]), detector.score_samples(frame.to_numpy()))
