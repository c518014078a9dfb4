"""The calibration benchmark: its tests detect violated guarantees and accept valid counts, and the command runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.calibration.arm import normal_rows
from benchmarks.calibration.laws import (
    count_alarms,
    distribution_p_value,
    holm,
    law,
    mean_rate_p_value,
    resplit,
    share_of_ties,
    uniforms,
)
from benchmarks.calibration.set_result import SetResult, figures

ROOT = Path(__file__).parents[2]
N, M, ALPHA = 199, 150, 0.05


def counts(shift: float, times: int = 200) -> list[int]:
    """Counts of alarms among rows whose scores are shifted against the calibration scores, with new draws each time."""
    rng = np.random.default_rng(0)
    return [count_alarms(rng.normal(size=N), rng.normal(shift, size=M))[ALPHA] for _ in range(times)]


def test_resplits_of_a_pool_pass_both_tests_for_any_scores() -> None:
    for pool in (np.random.default_rng(1).standard_cauchy(N + M), np.arange(float(N + M)) ** 3):
        found = resplit(pool, N, 300, np.random.default_rng(2))[ALPHA]
        assert mean_rate_p_value(found, N, M, ALPHA) > 0.01
        assert distribution_p_value(uniforms(found, N, M, ALPHA), ties=False) > 0.01


def test_slightly_higher_test_scores_fail_both_tests() -> None:
    for shift, kept in ((0.0, True), (0.2, False)):
        found = counts(shift)
        assert (mean_rate_p_value(found, N, M, ALPHA) > 0.01) == kept
        assert (distribution_p_value(uniforms(found, N, M, ALPHA), ties=True) > 0.01) == kept


def test_too_few_alarms_do_not_violate_the_guarantee() -> None:
    found = counts(-0.3)
    assert mean_rate_p_value(found, N, M, ALPHA) > 0.5
    assert distribution_p_value(uniforms(found, N, M, ALPHA), ties=False) < 0.01
    assert distribution_p_value(uniforms(found, N, M, ALPHA), ties=True) > 0.5


def test_ties_give_fewer_alarms_and_do_not_violate_the_guarantee() -> None:
    pool = np.random.default_rng(3).integers(0, 12, N + M).astype(float)
    assert share_of_ties(pool) > 0.9
    found = resplit(pool, N, 300, np.random.default_rng(4))[ALPHA]
    assert np.mean(found) / M < ALPHA
    assert distribution_p_value(uniforms(found, N, M, ALPHA), ties=True) > 0.01


def test_an_unresolvable_alpha_has_no_distribution_and_no_counts() -> None:
    assert law(50, 10, 0.01) is None
    assert set(count_alarms(np.arange(50.0), np.arange(10.0))) == {0.05, 0.1}


def test_holm_rejects_step_by_step() -> None:
    assert holm([0.04, 0.001, 0.02, 0.9], 0.08).tolist() == [True, True, True, False]
    assert holm([0.03, 0.03, 0.03], 0.08).tolist() == [False] * 3


def test_a_set_that_violates_the_guarantee_is_counted() -> None:
    def found(name: str, shift: float) -> SetResult:
        some = {ALPHA: counts(shift)}
        return SetResult(name, N, M, 0.0, some, some, {ALPHA: some[ALPHA][0]}, None)

    said = {f.name: f.value for f in figures([found("kept", 0.0), found("broken", 0.5)])}
    assert said[f"alpha = {ALPHA:g}: mean rate above alpha"] == 1
    assert said[f"alpha = {ALPHA:g}: counts that do not follow their distribution"] == 1
    assert said[f"alpha = {ALPHA:g}: distribution over the own splits of 400 models"] < 0.01
    assert said["alpha = 0.01: not resolvable"] == 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets: one whose order does not matter, and one whose columns drift from row to row."""
    rng = np.random.default_rng(5)

    def write(name: str, x: NDArray[np.float64]) -> None:
        np.savez(tmp_path / f"{name}.npz", X=np.r_[x, x[:5] + 9.0], y=np.r_[np.zeros(len(x)), np.ones(5)])

    write("drifts", rng.normal(size=(240, 3)) + np.linspace(0, 6, 240)[:, None])
    write("stays", rng.normal(size=(200, 3)))
    return tmp_path


def test_normal_rows_are_sampled_in_file_order(folder: Path) -> None:
    whole, some = (normal_rows(folder, "drifts", most) for most in (1000, 50))
    assert len(whole) == 240
    places = [int(np.flatnonzero((whole == row).all(axis=1))[0]) for row in some]
    assert len(places) == 50
    assert places == sorted(places)


@pytest.mark.slow
def test_the_command_reports_the_effect_of_file_order_and_failed_sets(folder: Path) -> None:
    np.savez(folder / "few.npz", X=np.zeros((3, 2)), y=np.zeros(3))
    out = folder / "out" / "calibration.json"
    command = [sys.executable, "-m", "benchmarks.calibration", "--quick", "--data", str(folder), "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    written = json.loads(out.read_text())
    said = {figure["name"]: figure for figure in written["figures"]}
    assert said["failed"]["value"] == 1
    assert "too few rows: 3 normal ones" in written["settings"]["failed"]["few"]
    sets = {one["set"]: one for one in written["settings"]["sets"]}
    assert sets["drifts"]["ordered_rate"]["0.1"] > 0.5 > sets["stays"]["ordered_rate"]["0.1"]
    assert sets["stays"]["not_resolvable"] == [0.01]
    assert said["alpha = 0.1: mean rate above alpha"]["met"]
    for picture in (out.with_suffix(".png"), out.with_name("calibration-order.png")):
        assert picture.read_bytes().startswith(b"\x89PNG")
