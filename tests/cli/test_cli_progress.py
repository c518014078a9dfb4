"""The lines on the progress of a training, where stderr is not a terminal."""

from __future__ import annotations

import itertools

import pytest

from vaekit.cli.progress import TrainingLines, duration


def test_a_line_comes_every_30_s_with_the_step_the_elbo_and_the_time_left() -> None:
    clock, said = itertools.count(step=10.0), []
    lines = TrainingLines(1000, said.append, lambda: next(clock))
    for step in range(1, 10):
        lines.on_step(step)
        if step == 5:
            lines.on_validation(5, -12.345)
    assert said == [
        "step 4 of 1,000, at most 2.8 h left",
        "step 7 of 1,000, validation ELBO -12.35 nats, at most 2.8 h left",
    ]


def test_a_validation_is_compared_with_the_best_so_far() -> None:
    lines = TrainingLines(1000, print)
    assert lines.on_validation(50, -20.0) == "validation ELBO -20.00 nats"  # of the warm-up, which is not comparable
    lines.on_best(2050, -9225.74)
    assert lines.on_validation(2050, -9225.74) == "validation ELBO -9225.74 nats (the best so far)"
    want = "validation ELBO -10360.92 nats (best -9225.74 at step 2,050)"
    assert lines.on_validation(2100, -10360.92) == want
    assert lines.on_validation(50, -30.0) == "validation ELBO -30.00 nats"  # of the next fold


def test_a_resumed_run_and_a_second_fold_are_timed_from_their_first_step() -> None:
    now, said = [0.0], []
    lines = TrainingLines(100, said.append, lambda: now[0])
    for step, seconds in ((50, 0), (51, 10), (52, 40), (1, 60), (2, 65), (3, 75)):
        now[0] = float(seconds)
        lines.on_step(step)
    assert said == ["step 52 of 100, at most 16 min left", "step 3 of 100, at most 12 min left"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_a_time_is_rounded(seconds: float, text: str) -> None:
    assert duration(seconds) == text
