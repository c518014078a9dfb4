"""Checks that a run that is killed and resumed ends with the same weights."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from benchmarks.plan import Plan
from benchmarks.processes import ROOT, command, environment, run_arm
from benchmarks.report import Figure, Measured

STEPS = 400
# By settings of arms.keep: the steps at which a run is killed. Checkpoints are every 40 steps; 240 and 280 hit one.
KILLS = {
    "elbo": (57, 280, 399),
    "iwae, ema, accumulated": (130, 321),
    "members, bf16": (93, 240),
    "aggregate prior, cyclical": (66, 311),
}
QUICK = {"elbo": (57,), "iwae, ema, accumulated": (321,)}


def measure(plan: Plan) -> Measured:
    """The number of killed runs whose weights differ from those of an uninterrupted run."""
    differ, kills = 0, plan.pick(KILLS, QUICK)
    for number, (settings, steps) in enumerate(kills.items()):
        whole = run_arm("training.arms.keep", _arguments(settings, plan.work / f"whole-{number}"))
        for step in steps:
            differ += whole["sha256"] != killed(settings, step, plan.work / f"killed-{number}-{step}")
    count = sum(len(steps) for steps in kills.values())
    figure = Figure("runs whose weights differ after kill -9 and resume", differ, f"of {count}", target=0)
    return Measured([figure], {"killed_at": {name: list(steps) for name, steps in kills.items()}, "steps": STEPS})


def killed(settings: str, step: int, folder: Path) -> str:
    """sha256 of the weights of a run that is killed at a step and then resumed.

    Raises:
        SystemExit: the run ended before it was killed, or the second run did not resume.
    """
    arguments = _arguments(settings, folder)
    with subprocess.Popen(
        command("training.arms.keep", arguments), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        reached = any(line == f"step {step}\n" for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    if not reached or process.returncode != -signal.SIGKILL:
        raise SystemExit(f"arm keep was not killed at step {step}: it ended with code {process.returncode}")
    rest = run_arm("training.arms.keep", [*arguments, "--resume"])
    if rest["first_step"] <= 1:
        raise SystemExit(f"arm keep was killed at step {step}, and started again from the first step")
    return str(rest["sha256"])


def _arguments(settings: str, folder: Path) -> list[str]:
    return ["--settings", settings, "--steps", str(STEPS), "--run", str(folder)]
