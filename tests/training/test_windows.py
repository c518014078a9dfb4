"""Time steps become windows at training; no step is in two splits, and held-out windows do not overlap."""

from __future__ import annotations

import json
import shutil
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.kinds import Published, series_columns
from vaekit import Model
from vaekit.bundle import Calibration, VectorSpec
from vaekit.bundle.read import read_manifest
from vaekit.bundle.window import SeriesWindow
from vaekit.errors import ConfigError, InputError
from vaekit_training.config import make_config
from vaekit_training.data.findings import findings
from vaekit_training.data.load import Rows, load, of_array, of_columns
from vaekit_training.data.rows import PlaceInSeries
from vaekit_training.data.split import SPLITS, Splits, split
from vaekit_training.data.window_split import blocks_left_out
from vaekit_training.run import train
from vaekit_training.sections import DataConfig, LikelihoodConfig


def config(**more: Any) -> DataConfig:
    return DataConfig(**{"source": "memory", "window": 4, **more})


def rows_of(columns: dict[str, Any], anomaly: Any = None, **more: Any) -> Rows:
    arrays = {name: np.asarray(cells) for name, cells in columns.items()}
    n = len(next(iter(arrays.values())))
    flags = np.zeros(n, dtype=bool) if anomaly is None else np.asarray(anomaly)
    return of_columns(arrays, flags, config=config(**more), likelihood=LikelihoodConfig())


def steps_of_splits(rows: Rows, parts: Splits) -> list[set[tuple[int, int]]]:
    """(series, place) of all time steps of the windows of each split."""
    place = rows.place
    assert place is not None
    return [
        {
            (int(place.series[i]), int(place.end[i]) - lag)
            for i in getattr(parts, name)
            for lag in range(place.window.steps)
        }
        for name in SPLITS
    ]


def test_windows_have_the_oldest_step_first_and_names_with_lags() -> None:
    rows = rows_of({"a": np.arange(40.0), "b": np.arange(40.0) + 100}, window=3)
    assert rows.columns == ("a[t-2]", "b[t-2]", "a[t-1]", "b[t-1]", "a[t]", "b[t]")
    np.testing.assert_array_equal(rows.x[:2], [[0, 100, 1, 101, 2, 102], [1, 101, 2, 102, 3, 103]])
    assert len(rows.x) == 38
    assert rows.remarks == ("38 windows of 3 steps from 40 time steps",)


def test_a_window_with_an_anomaly_inside_is_left_out_and_one_that_ends_there_is_an_anomaly() -> None:
    anomaly = np.zeros(60, dtype=bool)
    anomaly[30] = True
    rows = rows_of({"a": np.arange(60.0)}, anomaly)
    assert rows.x[rows.anomaly, -1].tolist() == [30.0]
    assert not (rows.x[~rows.anomaly] == 30.0).any()
    assert len(rows.x) == 60 - 3 - 3


def test_the_stride_skips_windows_and_gaps_of_time_are_said() -> None:
    time = np.r_[np.arange(50.0), np.arange(100.0, 150.0)]
    rows = rows_of({"a": np.arange(100.0), "t": time}, time="t")
    assert len(rows.x) == 2 * 47
    assert rows.remarks[1] == "1 gaps of more than 1.5 in column 't': no window reaches across them"
    every = rows_of({"a": np.arange(100.0), "t": time}, time="t", stride=5)
    assert set(np.diff(every.x[:, -1]).tolist()) <= {5.0, 10.0}
    wide = rows_of({"a": np.arange(100.0), "t": time}, time="t", gap=60.0)
    assert len(wide.x) == 97


@settings(max_examples=40)
@given(
    seed=st.integers(0, 99),
    width=st.integers(2, 12),
    many=st.integers(1, 3),
    by=st.sampled_from(["blocks", "time:t"]),
)
def test_no_time_step_is_in_two_splits_and_w_minus_1_steps_between_them_are_in_none(
    seed: int, width: int, many: int, by: str
) -> None:
    n = 400
    time, machine = np.repeat(np.arange(float(n)), many), np.tile(np.arange(many), n)
    columns = {"a": np.random.default_rng(seed).standard_normal(n * many), "t": time, "m": machine}
    rows = rows_of(columns, window=width, time="t", series_column="m", split=by)
    parts = split(rows, config(window=width, time="t", series_column="m", split=by), seed)
    steps = steps_of_splits(rows, parts)
    assert all(not a & b for a, b in combinations(steps, 2))
    for series in range(many):
        ends = [[p for s, p in one if s == series] for one in steps]
        for earlier, later in pairwise(ends):
            assert min(later) - max(earlier) - 1 >= width - 1
    for name in ("calibration", "test"):
        index = getattr(parts, name)
        assert len(steps[SPLITS.index(name)]) == width * len(index)  # no step twice: they do not overlap


def test_held_out_windows_are_at_all_phases_of_a_cycle() -> None:
    rows = rows_of({"a": np.arange(24.0 * 300)}, window=24)
    parts = split(rows, config(window=24), 0)
    phases = rows.place.end[parts.calibration] % 24  # type: ignore[union-attr]
    assert len(set(phases.tolist())) >= 12


def test_a_split_by_group_keeps_series_whole() -> None:
    columns = {"a": np.arange(1200.0), "m": np.repeat(np.arange(20), 60)}
    rows = rows_of(columns, series_column="m", split="group:m")
    parts = split(rows, config(series_column="m", split="group:m"), 0)
    assert rows.place is not None
    seen = [set(rows.place.series[getattr(parts, name)].tolist()) for name in SPLITS]
    assert all(not a & b for a, b in combinations(seen, 2))
    assert set().union(*seen) == set(range(20))


def test_validation_windows_stay_out_of_training_with_a_kernel_prior() -> None:
    rows = rows_of({"a": np.arange(500.0)})
    parts = split(rows, config(), 0)
    assert parts.with_few_validation_rows() is parts


@pytest.mark.parametrize("n", [60, 400, 4000])
def test_windows_left_out_in_the_search_share_no_step_with_those_kept(n: int) -> None:
    window, ends = SeriesWindow(steps=7, columns=("a",)), np.arange(6, n + 6)
    place = PlaceInSeries(window, np.zeros(n, int), ends, ends, np.array([n + 6]), None, None)
    index = np.random.default_rng(0).permutation(n)
    found = blocks_left_out(place, index, 5, 0.2, n, np.random.default_rng(1))
    assert found
    for kept, left_out in found:
        a, b = place.end[index[kept]], place.end[index[left_out]]
        assert np.abs(a[:, None] - b[None]).min() >= 7
        assert len(a) >= n / 3


def ar1(rng: np.random.Generator, n: int, phi: float) -> NDArray[np.float64]:
    """n steps of a stationary AR(1) series with variance 1."""
    x, noise = np.empty(n), rng.standard_normal(n) * np.sqrt(1 - phi**2)
    x[0] = rng.standard_normal()
    for t in range(1, n):
        x[t] = phi * x[t - 1] + noise[t]
    return x


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_false_alarms_on_new_stretches_of_an_ar1_series_are_at_the_rate_alpha(phi: float) -> None:
    """The score is minus the log density of the window, up to a constant, so that only the calibration is tested."""
    width, alpha, runs = 8, 0.1, 250
    lags = np.arange(width)
    precision = np.linalg.inv(phi ** np.abs(lags[:, None] - lags[None]) if phi else np.eye(width))
    flagged = []
    for seed in range(runs):
        rng = np.random.default_rng((seed, 3))
        rows = rows_of({"a": ar1(rng, 1200, phi)}, window=width)
        parts = split(rows, config(window=width), seed)
        held_out = rows.x[parts.calibration]
        new = ar1(rng, 2 * width, phi)[-width:]  # the last window of another stretch
        scores = [np.einsum("ni,ij,nj->n", x, precision, x) for x in (held_out, new[None])]
        flagged.append(Calibration.of(scores[0]).p_value(scores[1])[0] <= alpha)
    error = np.sqrt(alpha * (1 - alpha) / runs)
    assert abs(np.mean(flagged) - alpha) <= 3 * error


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"window": 3, "folds": 3, "split": "random"}, "folds take rows at random, but windows that overlap"),
        ({"window": 3, "split": "random"}, "split 'random': windows that overlap would be in two splits"),
        ({"window": 3, "split": "group:site"}, "with windows set 'blocks'"),
        ({"window": 3, "read": "stream"}, "window needs all rows in memory"),
        ({"window": 3, "gap": 5}, "gap is a difference of times: set time too"),
        ({"window": 3, "time": "a", "series_column": "a"}, "time and series_column are both 'a'"),
        ({"time": "a"}, "time is for windows of a series: set window too"),
        ({"split": "blocks"}, "split 'blocks' is for windows of a series"),
        ({"window": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_that_windows_cannot_have_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_config({"name": "x", "data": {"source": "a.csv", **settings}})


def test_steps_that_cannot_be_windows_are_refused(tmp_path: Path) -> None:
    for columns, more, said in (
        ({"a[t-1]": np.arange(50.0)}, {}, r"column 'a\[t-1\]' is named like the cell of a window"),
        ({"a": np.arange(21.0)}, {}, "too few windows: 18 of 4 consecutive time steps"),
        ({"a": np.arange(50.0), "t": np.arange(50.0)[::-1]}, {"time": "t"}, "row 1, column 't': an earlier time"),
        ({"a": np.arange(26.0)}, {}, "too few time steps: no normal window of 4 steps is in the validation split"),
    ):
        with pytest.raises(InputError, match=said):
            split(rows_of(columns, **more), config(**more), 0)
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "\n".join(map(str, range(50))), encoding="utf-8")
    with pytest.raises(InputError, match="no column 'ts'; there are: a"):
        load(DataConfig(source=str(path), window=4, time="ts"))


def test_a_bundle_of_windows_describes_them_and_its_calibration(windowed: Published) -> None:
    manifest = read_manifest(windowed.root / "windowed" / "1")
    assert isinstance(manifest.input, VectorSpec)
    window = manifest.input.window
    assert window is not None
    assert (window.steps, window.columns) == (4, ("load", "temp", "mode"))
    assert (window.series, window.time, window.time_is, window.gap) == ("machine", "ts", "timestamp", 90.0)
    assert manifest.input.names == window.names
    assert manifest.input.step.names == ("load", "temp", "mode")
    assert manifest.input.step.columns[2].levels == ("day", "night")
    assert manifest.input.step.columns[1].may_be_missing
    assert manifest.calibration is not None
    assert "share no time step" in manifest.calibration.assumption
    assert manifest.format == "1.6"


def test_a_value_far_outside_is_reported_once_with_its_row() -> None:
    x = np.random.default_rng(0).standard_normal(400)
    x[60] = 1e6
    rows = rows_of({"a": x, "t": np.arange(400.0)}, time="t")
    said = findings(rows, split(rows, config(time="t"), 0))
    assert len(said) == 1
    assert "'a[t]'" in said[0]
    assert "(row 60)" in said[0]


def test_the_exemplars_of_windows_have_the_rows_at_which_they_end(tmp_path: Path) -> None:
    config = make_config(
        {
            "name": "shown",
            "data": {"source": "memory", "window": 3},
            "likelihood": {"name": "auto"},
            "privacy": {"show_exemplars": True},
        }
    )
    x = np.random.default_rng(0).standard_normal((120, 1))
    train(config, tmp_path, device="cpu", rows=of_array(x, ["a"], config=config.data), draws_report=False)
    with Model.load(tmp_path / "shown", device="cpu") as model:
        found = model.similar(x, top=1)
    assert found.row is not None
    assert found.rows is not None
    for row, window in zip(found.row[2:, 0], found.rows[2:, 0], strict=True):
        np.testing.assert_array_equal(window, x[row - 2 : row + 1, 0])


def test_an_older_reader_gives_windows_the_same_scores_and_refuses_time_steps(
    windowed: Published, tmp_path: Path
) -> None:
    """A reader of format 1.5 ignores `input.window`."""
    shutil.copytree(windowed.folder, tmp_path / "windowed")
    path = tmp_path / "windowed" / "1" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["input"]["window"]
    path.write_text(json.dumps({**manifest, "format": "1.5"}), encoding="utf-8")
    columns = series_columns(12, gap=None)
    steps = [[columns[name][i] for name in ("load", "temp", "mode")] for i in range(0, 24, 2)]
    windows = [[cell for step in steps[i : i + 4] for cell in step] for i in range(9)]
    with Model.load(windowed.folder, device="cpu") as new, Model.load(tmp_path / "windowed", device="cpu") as old:
        want = new.elbo(steps)
        found = old.elbo(windows)
        np.testing.assert_array_equal(found.elbo, want.elbo[3:])
        np.testing.assert_array_equal(found.p_value, want.p_value[3:])  # type: ignore[index]
        with pytest.raises(InputError, match="3 values, expected 12"):
            old.elbo(steps)
