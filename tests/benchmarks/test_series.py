"""The benchmark on labelled series: what is fitted and tested, its figures, and the calibration of every method."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.series import nab
from benchmarks.series.__main__ import figures_of, main
from benchmarks.series.methods import METHODS, StepScores
from benchmarks.series.simulation import ar1, false_alarms

START = datetime(2024, 1, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like NAB's: a series with an event in its second half, one whose event is early, and one without."""
    rng, events = np.random.default_rng(0), {"late": [400, 420], "early": [20, 30], "none": None}
    labels = {}
    (tmp_path / "data" / "made").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    for name, event in events.items():
        x = np.sin(np.arange(600) / 3) + 0.05 * rng.standard_normal(600)
        if event:
            inside = slice(event[0], event[1] + 1)
            x[inside] = rng.permutation(x[inside])  # usual values, but not in this order
        lines = [f"{START + timedelta(minutes=i)},{value}" for i, value in enumerate(x)]
        (tmp_path / "data" / "made" / f"{name}.csv").write_text(
            "timestamp,value\n" + "\n".join(lines), encoding="utf-8"
        )
        labels[f"made/{name}.csv"] = [[str(START + timedelta(minutes=i)) for i in event]] if event else []
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(labels), encoding="utf-8")
    return tmp_path


def test_only_steps_before_the_first_event_are_fitted(folder: Path) -> None:
    (series,) = nab.read(folder, ("made",))
    assert series.name == "made/late.csv"
    assert series.fitted == 300  # at most half
    assert series.events == ((400, 420),)
    assert np.flatnonzero(series.is_anomaly).tolist() == list(range(100, 121))
    assert list(nab.read(folder, ("other",))) == []


def test_an_event_is_found_by_one_alarm_and_alarms_outside_are_false() -> None:
    series = nab.LabelledSeries("a", np.zeros((20, 1)), 10, ((12, 13), (16, 17)))
    p_value = np.ones(10)
    p_value[[3, 9]] = 0.01  # steps 13 and 19
    found = figures_of(series, StepScores(-p_value, p_value), 0.05)
    assert found["event_recall"] == 0.5
    assert found["false_alarm_rate"] == 1 / 6
    assert found["auroc"] == pytest.approx((1 * 5.5 + 3 * 2.5) / 24)


def test_a_misplaced_value_is_one_of_the_first_part_and_the_steps_after_it_do_not_count(folder: Path) -> None:
    (series,) = nab.read(folder, ("made",))
    found = nab.misplaced(series, 6, 0)
    steps = [first for first, _ in found.events]
    assert 5 <= len(steps) <= 25
    assert not set(steps) & set(range(400, 421))
    assert np.isin(found.x[steps], series.x[: series.fitted]).all()
    np.testing.assert_array_equal(np.delete(found.x, steps), np.delete(series.x, steps))
    assert found.counts[np.array(steps) - 300].all()
    assert not any(found.counts[step - 300 + 1 : step - 300 + 6].any() for step in steps)
    assert not found.counts[100:126].any()
    by_windows, by_rows = (METHODS[name](found, 6, 0) for name in ("vaekit, windows", "vaekit, rows"))
    assert figures_of(found, by_windows, 0.2)["auroc"] > figures_of(found, by_rows, 0.2)["auroc"] + 0.2


@pytest.mark.parametrize("method", METHODS, ids=METHODS)
def test_every_method_scores_every_tested_step(folder: Path, method: str) -> None:
    (series,) = nab.read(folder, ("made",))
    found = METHODS[method](series, 6, 0)
    assert found.score.shape == found.p_value.shape == (300,)
    assert np.isfinite(found.score).all()
    assert found.p_value.min() > 0
    if method in ("vaekit, windows", "kNN, windows"):
        assert figures_of(series, found, 0.2)["auroc"] > 0.9
    if method == "vaekit, rows":
        assert figures_of(series, found, 0.2)["auroc"] < 0.6  # each value by itself is usual


def test_the_command_writes_its_table(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--data", str(folder), "--groups", "made", "--window", "6", "--out", str(tmp_path / "series.json")])
    assert "1 series, W = 6, alpha = 0.05" in capsys.readouterr().out
    found = json.loads((tmp_path / "series.json").read_text(encoding="utf-8"))
    assert {row["method"] for row in found["settings"]["rows"]} == set(METHODS)


def test_a_simulated_series_is_stationary() -> None:
    x = ar1(np.random.default_rng(0), 20_000, 0.9)[:, 0]
    assert x.std() == pytest.approx(1.0, abs=0.06)
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.9, abs=0.02)


def test_a_run_of_the_simulation_counts_non_overlapping_windows() -> None:
    found = false_alarms(0.5, width=12, alpha=0.1, runs=2)
    assert (400 - 11) / 18 * 0.8 < found.windows < (400 - 11) / 12
    assert 0 <= found.rate < 0.35
    assert found.expected == pytest.approx(np.floor(0.1 * (found.windows + 1)) / (found.windows + 1), abs=0.02)
