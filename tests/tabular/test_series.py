"""Series are cut into windows that cross blocks, never gaps or series, and results return to their time steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vaekit.bundle.window import SeriesWindow
from vaekit.errors import InputError
from vaekit.tabular.series import Ends, Steps, WindowCutter, series_names, usual_gap
from vaekit.tabular.times import kind_of_time, time_numbers


def window(steps: int = 3, dim: int = 2, **more: Any) -> SeriesWindow:
    return SeriesWindow(steps=steps, columns=tuple("abcdefg"[:dim]), **more)


def by_hand(
    x: NDArray[Any], series: NDArray[Any] | None, time: NDArray[Any] | None, steps: int, gap: float
) -> tuple[list[list[float]], list[int]]:
    """(windows, steps at which they end), one step after the other, straight from the definition."""
    found: list[list[float]] = []
    ends: list[int] = []
    for row in range(len(x)):
        own = [i for i in range(row + 1) if series is None or series[i] == series[row]][-steps:]
        near = time is None or all(time[b] - time[a] <= gap for a, b in pairwise(own))
        if len(own) == steps and near:
            found.append([float(cell) for i in own for cell in x[i]])
            ends.append(row)
    return found, ends


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    steps=st.integers(2, 6),
    dim=st.integers(1, 3),
    many=st.integers(1, 3),
    with_time=st.booleans(),
    block=st.integers(1, 45),
)
def test_windows_of_blocks_are_those_of_the_definition(
    seed: int, n: int, steps: int, dim: int, many: int, with_time: bool, block: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dim))
    series = None if many == 1 else rng.integers(0, many, n).astype(str)
    time = np.cumsum(rng.choice([1.0, 1.0, 1.0, 5.0], n)) if with_time else None
    gap = 1.5 * many  # neighbours of one series are further apart if several take turns
    spec = window(steps, dim, series=None if series is None else "m", time="t" if with_time else None, gap=gap)
    cutter, found, ends = WindowCutter(spec), [], []
    all_steps = Steps(x, series, time)
    for start in range(0, n, block):
        cut = cutter.cut(all_steps[start : start + block])
        found.append(cut.x)
        ends += (start + cut.ends).tolist()
    want, want_ends = by_hand(x, series, time, steps, gap)
    assert ends == want_ends
    np.testing.assert_array_equal(np.concatenate(found), np.array(want).reshape(-1, steps * dim))


def test_the_windows_of_one_series_are_a_view_of_its_steps() -> None:
    x = np.arange(20.0).reshape(10, 2)
    cut = WindowCutter(window()).cut(Steps(x))
    assert np.shares_memory(cut.x, x)
    assert cut.ends.tolist() == list(range(2, 10))


def test_steps_out_of_order_are_refused_with_their_row() -> None:
    x = np.zeros((4, 2))
    cutter = WindowCutter(window(time="ts"))
    cutter.cut(Steps(x, None, np.arange(4.0)))
    with pytest.raises(InputError, match="row 5, column 'ts': an earlier time than the row before; sort the rows by"):
        cutter.cut(Steps(x, None, np.array([4.0, 3.0, 5.0, 6.0])))
    names = np.array(["p", "q", "p", "q"])
    with pytest.raises(InputError, match="row 2, column 'ts': the same time as the row before of series 'p'; keep one"):
        WindowCutter(window(time="ts", series="m")).cut(Steps(x, names, np.array([1.0, 1.0, 1.0, 2.0])))


def test_a_gap_is_counted_and_no_window_reaches_across_it() -> None:
    cut = WindowCutter(window(time="ts", gap=1.5)).cut(Steps(np.zeros((6, 2)), None, np.array([0.0, 1, 2, 9, 10, 11])))
    assert cut.gaps == 1
    assert cut.ends.tolist() == [2, 5]


def test_results_of_windows_go_to_the_steps_at_which_they_end() -> None:
    ends = Ends(np.array([2, 4]), 5, window().needs)
    assert ends.without == 3
    assert ends.reason == ("3 of 5 time steps have no score: a window needs 3 consecutive time steps of one series")
    np.testing.assert_array_equal(ends.spread(np.array([1.0, 2.0])), [np.nan, np.nan, 1, np.nan, 2])
    assert ends.spread(np.array([True, True])).tolist() == [False, False, True, False, True]
    assert ends.spread(np.array([7, 8])).tolist() == [-1, -1, 7, -1, 8]
    assert ends.spread(np.array(["a", "b"])).tolist() == ["", "", "a", "", "b"]
    lists = np.empty(2, dtype=object)
    lists[:] = [["x"], []]
    assert ends.spread(lists).tolist() == [[], [], ["x"], [], []]
    assert ends.spread(np.ones((2, 3))).shape == (5, 3)


def test_names_of_series_are_text_and_a_missing_one_is_refused() -> None:
    assert series_names(np.array([7, 7.0, "7", "b"], dtype=object), "m").tolist() == ["7", "7", "7", "b"]
    with pytest.raises(InputError, match="row 11, column 'm': missing value in the column of series"):
        series_names(np.array(["a", None], dtype=object), "m", start=10)


@pytest.mark.parametrize(
    "cells",
    [
        np.array(["2024-01-01T00:00:00", "2024-01-01T00:00:01.5"], dtype=object),
        np.array(["2024-01-01T00:00:00", "2024-01-01T00:00:01.500"], dtype="datetime64[ms]"),
        np.array(["2024-01-01T01:00:00+01:00", "2024-01-01T00:00:01.5Z"], dtype=object),
    ],
)
def test_timestamps_are_seconds(cells: NDArray[Any]) -> None:
    assert kind_of_time(cells) == "timestamp"
    assert np.diff(time_numbers(cells, "timestamp", "ts")).tolist() == [1.5]


def test_times_are_read_as_in_training() -> None:
    assert time_numbers(np.array(["20240101", " 3.5 "], dtype=object), "number", "t").tolist() == [20240101, 3.5]
    assert kind_of_time(np.array([1, 2])) == "number"
    with pytest.raises(
        InputError, match="row 4, column 't': 'soon': not a number, as the first times of the training data"
    ):
        time_numbers(np.array([1, "soon"], dtype=object), "number", "t", start=3)
    with pytest.raises(InputError, match="row 0, column 't': 5: not a date or an ISO 8601 time"):
        time_numbers(np.array([5]), "timestamp", "t")
    for missing in (np.array([np.nan]), np.array([None], dtype=object)):
        with pytest.raises(InputError, match="row 0, column 't': missing value in the column of times"):
            time_numbers(missing, "number", "t")
    with pytest.raises(InputError, match="row 1, column 't': missing value"):
        time_numbers(np.array(["2024-01-01", "NaT"], dtype="datetime64[s]"), "timestamp", "t")


def test_the_usual_gap_is_one_and_a_half_times_the_median_distance_within_series() -> None:
    times = np.array([0.0, 0.0, 60.0, 60.0, 120.0, 1000.0])
    assert usual_gap(times, np.array(["a", "b", "a", "b", "a", "b"])) == 90.0
    assert usual_gap(times[:1], None) is None
