"""Compares rows per second of the trainer with pythae, PyOD and a plain torch loop, and an ensemble with separate runs.

Every arm runs in its own process on one thread. The first epoch is warm-up and not counted. Rounds are interleaved.
Rates use CPU seconds, which depend little on other load; wall-clock seconds are recorded as well.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import venvs
from benchmarks.plan import Plan
from benchmarks.processes import run_arms
from benchmarks.report import Figure, Measured
from benchmarks.training.arms.common import Job

SMALL = Job(dims=32, hidden=64, latent=8)
LARGE = Job(dims=784, hidden=400, latent=20)
MEMBERS = 8
# targets for the ratio of rows per second: (full, quick)
TARGETS = {
    SMALL: {"pythae": (2.0, 1.7), "PyOD": (1.5, 1.3), "bare loop": (1.0, 0.9)},
    LARGE: {"pythae": (1.1, 1.0), "PyOD": (1.0, 0.9), "bare loop": (1.0, 0.9)},
}
ENSEMBLE_TARGET = (3.0, 2.5)

Answers = Sequence[dict[str, Any]]


def measure(plan: Plan) -> Measured:
    """Measure both shapes against every peer."""
    pythons: dict[str, tuple[Path | str, str]] = {
        "vaekit": (sys.executable, "training.arms.ours"),
        "bare loop": (sys.executable, "training.arms.bare"),
    }
    facts: dict[str, Any] = {}
    if plan.peers is not None:
        pythons["pythae"] = (venvs.make(venvs.PYTHAE, plan.peers), "training.arms.peer_pythae")
        pythons["PyOD"] = (venvs.make(venvs.PYOD, plan.peers), "training.arms.peer_pyod")
        facts = {peer.name: venvs.installed(peer, plan.peers) for peer in (venvs.PYTHAE, venvs.PYOD)}
    figures = []
    for shape, targets in TARGETS.items():
        job = _sized(shape, plan)
        arms = {name: (python, module, job.arguments()) for name, (python, module) in pythons.items()}
        figures += compare(f"{job.dims}-{job.hidden}-{job.latent}", run_arms(arms, _rounds(plan)), plan, targets)
    return Measured(figures, {"peers_installed": facts})


def ensemble(plan: Plan) -> Measured:
    """Compare one run that trains M members with M separate runs."""
    job = _sized(SMALL, plan)
    arms: dict[str, tuple[Path | str, str, Sequence[str]]] = {
        "one": (sys.executable, "training.arms.ours", job.arguments()),
        "all": (sys.executable, "training.arms.ours", replace(job, members=MEMBERS).arguments()),
    }
    answers = run_arms(arms, _rounds(plan))
    value, low, high = ratio(answers["all"], answers["one"])
    times = (MEMBERS * value, MEMBERS * low, MEMBERS * high)
    name = f"{MEMBERS} members of {job.dims}-{job.hidden}-{job.latent} / {MEMBERS} runs"
    return Measured([ratio_figure(name, times, plan.pick(*ENSEMBLE_TARGET))])


def compare(
    shape: str, answers: dict[str, list[dict[str, Any]]], plan: Plan, targets: dict[str, tuple[float, float]]
) -> list[Figure]:
    """Rows per second of every arm, seconds of its process, and the ratios of vaekit to the others."""
    rates = [Figure.of(f"{shape}: {name}", _rates(each), "rows/s") for name, each in answers.items()]
    whole = [
        Figure.of(f"{shape}: {name}, process", [one["process_seconds"] for one in each], "s")
        for name, each in answers.items()
    ]
    times = [
        ratio_figure(f"{shape}: vaekit / {name}", ratio(answers["vaekit"], each), plan.pick(*targets[name]))
        for name, each in answers.items()
        if name != "vaekit"
    ]
    return [*times, *rates, *whole]


def ratio(ours: Answers, other: Answers) -> tuple[float, float, float]:
    """vaekit's rows per second over the other's: medians over all epochs, and the range of medians by round."""
    whole = statistics.median(_rates(ours)) / statistics.median(_rates(other))
    rounds = [statistics.median(_rates([a])) / statistics.median(_rates([b])) for a, b in zip(ours, other, strict=True)]
    return whole, min(rounds), max(rounds)


def ratio_figure(name: str, times: tuple[float, float, float], target: float) -> Figure:
    """A ratio of rates as a figure."""
    value, low, high = times
    return Figure(name, value, "times as fast", low, high, target, better="higher")


def _rates(answers: Answers) -> list[float]:
    """Rows per CPU second, for every epoch after the warm-up."""
    return [one["rows_per_epoch"] / seconds for one in answers for seconds in one["seconds"][1:]]


def _rounds(plan: Plan) -> int:
    return int(plan.pick(3, 2))


def _sized(job: Job, plan: Plan) -> Job:
    return replace(job, rows=plan.pick(60_000, 20_000), epochs=plan.pick(6, 4))
