"""The explanation benchmark: how cells are made wrong, counted hits and written results."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.explanation import __main__ as command
from benchmarks.explanation import one
from benchmarks.explanation.one import Job, _largest_z, run
from benchmarks.explanation.plant import MIN_ERROR, WAYS, plant

ROOT = Path(__file__).parents[2]
TRAIN = np.random.default_rng(0).standard_normal((400, 5)) * [1.0, 10.0, 0.1, 3.0, 0.0] + [0.0, 5.0, -1.0, 2.0, 7.0]


@pytest.mark.parametrize("way", WAYS)
def test_one_cell_of_each_row_is_wrong_by_at_least_the_minimum_error(way: str) -> None:
    planted = plant(way, TRAIN[:200], TRAIN, seed=3)
    changed = planted.rows != planted.clean
    assert (changed.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(changed.argmax(axis=1), planted.column)
    off = np.abs(planted.rows - planted.clean)[changed] / TRAIN.std(axis=0)[planted.column]
    assert off.min() >= MIN_ERROR
    assert set(planted.column) == {0, 1, 2, 3}  # the fifth never varies
    np.testing.assert_array_equal(planted.truth, planted.clean[changed])


def test_a_swapped_cell_has_the_value_of_another_row() -> None:
    planted = plant("swapped", TRAIN[:200], TRAIN, seed=3)
    for row, d in zip(planted.rows, planted.column, strict=True):
        assert row[d] in TRAIN[:200, d]


def test_the_largest_z_score_is_found_and_constant_columns_are_ignored() -> None:
    planted = plant("scaled", TRAIN[:200], TRAIN, seed=3)
    rows = planted.rows.copy()
    rows[:, 4] = 8.0
    assert (_largest_z(rows, TRAIN) == planted.column).mean() > 0.3
    assert 4 not in _largest_z(rows, TRAIN)


def test_the_ecod_arm_returns_the_feature_with_the_largest_contribution(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    class Standing:
        """Stands for PyOD's ECOD: after scoring, O (m + n, D) ends with the scored rows."""

        def fit(self, train: np.ndarray) -> Any:
            self.train = train
            return self

        def decision_function(self, rows: np.ndarray) -> None:
            self.O = np.abs(np.concatenate([self.train, rows]))

    monkeypatch.setitem(sys.modules, "pyod.models.ecod", types.SimpleNamespace(ECOD=Standing))
    from benchmarks.explanation.arms import peer_ecod

    np.savez(tmp_path / "rows.npz", train=np.full((4, 3), 9.0), swapped=np.eye(3)[[2, 0]], shifted=np.eye(3)[[1]])
    peer_ecod.main(tmp_path / "rows.npz")
    assert json.loads(capsys.readouterr().out) == {"swapped": [2, 0], "shifted": [1]}


def linear(path: Path, dims: int) -> None:
    """Rows on a line with some noise, and rows that are not normal."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((420, 1)) * np.linspace(1, 2, dims) + 0.1 * rng.standard_normal((420, dims))
    np.savez(path, X=x, y=(np.arange(420) % 7 == 0).astype(int))


def test_a_set_is_measured_written_and_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    linear(tmp_path / "data" / "line.npz", 5)
    linear(tmp_path / "data" / "thin.npz", 3)  # too few columns to say anything
    words = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out.json"), "--no-peers", "--models", "feature"]
    command.main([*words, "--set", "training.steps=300", "--set", "network.latent_dim=1"])
    written = json.loads((tmp_path / "out.json").read_text())
    (told,) = written["settings"]["sets"]
    assert (told["set"], told["rows"], told["dims"]) == ("line", 360, 5)
    figures = {figure["name"]: figure["value"] for figure in written["figures"]}
    assert figures["swapped: relief, feature"] > 0.8 > figures["swapped: |z|"]
    assert figures["swapped: relief, feature, minus |z|"] == pytest.approx(
        figures["swapped: relief, feature"] - figures["swapped: |z|"]
    )
    given, pulled = (figures[f"swapped: feature, expected given the {what}"] for what in ("other cells", "whole row"))
    assert given < pulled
    assert 0.7 < figures["swapped: feature, intervals with the truth"] <= 1.0
    job = Job(tmp_path / "data" / "line.npz", 3000, ("feature",), ("training.steps=300", "network.latent_dim=1"), None)
    monkeypatch.setattr(one, "run", lambda _: {"set": "anew"})
    assert one.run_or_load(tmp_path / "out", job) == told  # and is not measured again
    assert one.run_or_load(tmp_path / "out", replace(job, rows=100)) == {"set": "anew"}


def test_a_set_with_too_few_columns_has_no_result(tmp_path: Path) -> None:
    linear(tmp_path / "thin.npz", 3)
    assert run(Job(tmp_path / "thin.npz", 300, ("feature",), (), None)) is None


@pytest.mark.slow
def test_sets_are_measured_in_separate_processes(tmp_path: Path) -> None:
    for name in ("thin", "thinner"):  # too few columns to say anything, which takes no training to know
        linear(tmp_path / f"{name}.npz", 3)
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "out.json"), "--no-peers", "--jobs", "2"]
    subprocess.run([sys.executable, "-m", "benchmarks.explanation", *words], check=True, cwd=ROOT)
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == {"thin", "thinner"}
