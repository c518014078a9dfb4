"""Kills a publisher with kill -9 at every step of a publish, and looks each time at what a running service serves."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import Any

import numpy as np

from benchmarks.chaos.service import NAME, server
from benchmarks.plan import Plan
from benchmarks.processes import ROOT, command
from benchmarks.report import Figure, Measured
from benchmarks.serving.contenders import json_request
from benchmarks.serving.servers import Running, started

POLL_SECONDS = 0.05
DEADLINE = 30.0  # seconds until the service has seen a version that is listed


def measure(plan: Plan) -> Measured:
    """Count steps after which a broken version is listed, or the service does not answer from a whole one."""
    root, source = plan.work / "models", ROOT / "models" / NAME / "1"
    shutil.copytree(source, root / NAME / "1")
    arguments = command("chaos.killed_publish", [str(source), str(root)])
    steps = listed_broken = unanswered = 0
    with (
        started(server(root, POLL_SECONDS)) as running,
        subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as publisher,
    ):
        assert publisher.stdin is not None
        assert publisher.stdout is not None
        for line in publisher.stdout:
            _, killed, versions = json.loads(line)
            seen = _seen(running, versions)
            steps += killed
            listed_broken += bool(seen["failed"]) or seen["versions"] != versions
            unanswered += _answers(running) != versions[-1]
            publisher.stdin.write("\n")
            publisher.stdin.flush()
    figures = [
        Figure("kills: steps of a publish at which it was killed", steps, "steps"),
        Figure("kills: steps after which a broken version was listed", listed_broken, "steps", target=0.0),
        Figure("kills: steps after which no whole version answered", unanswered, "steps", target=0.0),
    ]
    return Measured(figures, {"versions": len(list((root / NAME).glob("[0-9]*")))})


def _seen(running: Running, versions: list[int]) -> dict[str, Any]:
    """The model's entry of /models, after at least two looks of the service, and once it serves the newest version."""
    time.sleep(2 * POLL_SECONDS)
    end = time.monotonic() + DEADLINE
    while True:
        seen: dict[str, Any] = json.loads(running.get("/models"))["models"][0]
        if seen["version"] == versions[-1] or seen["failed"] or time.monotonic() > end:
            return seen
        time.sleep(POLL_SECONDS)


def _answers(running: Running) -> int:
    """The version that answers a request."""
    return int(json.loads(running.ask(json_request(np.ones((1, 30)))))["version"])
