"""The throughput benchmark of trainers: equal work of all arms, warm-up, and ratios."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.plan import Plan
from benchmarks.processes import parse_result, run_arm, run_arms
from benchmarks.training.arms.common import Clock, Job, binary_rows, job
from benchmarks.training.throughput import compare, ratio

TINY = Job(dims=4, hidden=3, latent=2, rows=256, epochs=3, batch=32)


def _answer(*seconds: float) -> dict[str, object]:
    return {"rows_per_epoch": 1000, "seconds": [100.0, *seconds], "process_seconds": 1.0}


def test_a_job_is_parsed_from_its_own_arguments() -> None:
    assert job(TINY.arguments()) == TINY


def test_every_arm_trains_on_the_same_binary_rows() -> None:
    x = binary_rows(TINY)
    assert x.shape == (256, 4)
    assert set(x.ravel()) == {0.0, 1.0}
    assert (x == binary_rows(TINY)).all()


def test_a_clock_measures_the_seconds_of_each_lap() -> None:
    clock = Clock()
    clock.start()
    clock.lap()
    clock.lap()
    assert len(clock.seconds) == len(clock.wall_seconds) == 2
    assert min(clock.wall_seconds) > 0


def test_the_ratio_of_rates_leaves_out_the_warm_up() -> None:
    ours, other = [_answer(1.0, 1.0), _answer(0.5, 0.5)], [_answer(2.0, 2.0), _answer(2.0, 2.0)]
    assert ratio(ours, other) == (1000 * 1.5 / 500, 2.0, 4.0)


def test_targets_are_met_by_a_faster_trainer_only(tmp_path: Path) -> None:
    answers = {"vaekit": [_answer(1.0)], "slow": [_answer(2.0)], "fast": [_answer(0.5)]}
    targets = {"slow": (1.5, 1.0), "fast": (1.5, 1.0)}
    found = {one.name: one for one in compare("s", answers, Plan(False, tmp_path, None), targets)}
    assert found["s: vaekit / slow"].met
    assert not found["s: vaekit / fast"].met
    assert found["s: vaekit"].value == 1000.0


@pytest.mark.slow
@pytest.mark.parametrize("module", ["bare", "ours"])
def test_an_arm_returns_the_seconds_of_every_epoch(module: str) -> None:
    found = run_arm(f"training.arms.{module}", TINY.arguments())
    assert found["rows_per_epoch"] == 256
    assert len(found["seconds"]) == TINY.epochs
    assert 0 < sum(found["wall_seconds"]) < found["process_seconds"]
    assert min(found["seconds"]) > 0


@pytest.mark.slow
def test_a_failed_arm_is_an_error_with_its_output() -> None:
    with pytest.raises(SystemExit, match=r"(?s)arm training.arms.bare ended with code 2.*--rows"):
        run_arm("training.arms.bare", ["--rows", "many"])


def test_the_result_is_the_last_line_of_output() -> None:
    assert parse_result('a remark\n{"rows": 1}\n') == {"rows": 1}


def test_arms_run_in_rotating_order(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("benchmarks.processes.run_arm", lambda module, _, **__: order.append(module) or {"seconds": []})
    run_arms({name: (sys.executable, name, ()) for name in ("a", "b")}, rounds=2)
    assert order == ["a", "b", "b", "a"]
