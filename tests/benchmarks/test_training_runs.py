"""The training benchmark of killed, distributed and streamed runs and of image density."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.plan import Plan
from benchmarks.processes import ROOT, run_arm
from benchmarks.training import __main__ as command
from benchmarks.training import density, memory, ranks, resume
from benchmarks.training.arms.density import binarised


def _pictures(folder: Path, n: int) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    for part in ("train", "test"):
        np.savez(folder / f"mnist_{part}.npz", x=grey, y=np.zeros(n))


@pytest.mark.slow
def test_a_run_killed_after_a_checkpoint_is_resumed_and_one_killed_before_is_an_error(tmp_path: Path) -> None:
    sha = resume.killed("elbo", 130, tmp_path / "killed")
    assert len(sha) == 64
    assert (tmp_path / "killed" / "checkpoint.pt").is_file()
    with pytest.raises(SystemExit, match="no checkpoint to resume from"):
        resume.killed("elbo", 3, tmp_path / "early")


def test_the_difference_of_losses_is_infinite_if_the_numbers_of_steps_differ() -> None:
    assert ranks.difference([2.0, 4.0], [2.0, 4.0]) == 0.0
    assert ranks.difference([2.0, -4.0], [2.0, -4.1]) == pytest.approx(0.025)
    assert ranks.difference([2.0, 4.0], [2.0]) == float("inf")


def test_memory_is_relative_to_the_start_and_growth_compares_the_halves() -> None:
    samples = [(0.0, 0, 150), (1.0, 1, 200), (2.0, 5, 180), (3.0, 6, 190), (4.0, 10, 260)]
    found = memory.Peaks({"start_bytes": 100, "samples": samples})
    assert found.over == 160
    assert found.level == 95
    assert found.growth == pytest.approx(125 / 90)


@pytest.mark.slow
def test_memory_is_sampled_during_a_run_over_parquet(tmp_path: Path) -> None:
    written = memory.generate(tmp_path / "rows", 2e6)
    assert written > 2e6
    found = run_arm("training.arms.stream", ["--source", str(tmp_path / "rows"), "--steps", "3000", "--batch", "64"])
    assert found["start_bytes"] > 0
    assert max(step for _, step, _ in found["samples"]) > 0


def test_a_set_larger_than_the_free_disk_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="GB are free, expected at least 2e\\+12 GB"):
        memory.generate(tmp_path / "rows", 1e21)


def test_many_samples_are_thinned_and_few_are_kept() -> None:
    assert memory.thinned([1, 2, 3], most=3) == [1, 2, 3]
    assert memory.thinned(list(range(10)), most=4) == [0, 3, 6, 9]


def test_images_are_binarised_once_by_their_grey_values(tmp_path: Path) -> None:
    _pictures(tmp_path, 200)
    drawn = binarised(tmp_path / "mnist_train.npz", seed=0)
    assert drawn.shape == (200, 28, 28, 1)
    assert set(np.unique(drawn)) == {0, 255}
    assert (drawn == binarised(tmp_path / "mnist_train.npz", seed=0)).all()
    assert drawn.mean() == pytest.approx(127.5, rel=0.01)


@pytest.mark.slow
def test_the_density_arm_returns_nats_and_minutes(tmp_path: Path) -> None:
    _pictures(tmp_path, 2_100)
    few = ["--steps", "2", "--validations", "1", "--test-rows", "3", "--draws", "5"]
    found = run_arm("training.arms.density", ["--recipe", "mlp", "--data", str(tmp_path), *few])
    assert 400 < found["nll"] < 700  # 784 fair coins are 543 nats
    recipe = density.Recipe("mlp", "MLP", steps=2, test_rows=3, draws=5, target=found["nll"] - 1)
    figure, minutes = density.of(recipe, found)
    assert figure.met is False
    assert figure.low == found["nll"] - found["standard_error"]
    assert minutes.met is True


@pytest.mark.slow
def test_one_part_is_measured_from_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    start = [sys.executable, "-m", "benchmarks.training", "--quick", "--only", "quadrature", "density"]
    subprocess.run([*start, "--out", str(out), "--work", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    found = json.loads(out.read_text())
    assert all(figure["met"] for figure in found["figures"])
    assert found["settings"]["density"] == {"left_out": "no --data"}


def test_results_are_written_even_if_a_later_part_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Plan) -> None:
        raise SystemExit("no")

    monkeypatch.setitem(command.PARTS, "ranks", fail)
    out = tmp_path / "results.json"
    asked = ["--quick", "--only", "quadrature", "ranks", "--out", str(out), "--work", str(tmp_path)]
    with pytest.raises(SystemExit, match="no"):
        command.main(asked)
    assert json.loads(out.read_text())["figures"]
