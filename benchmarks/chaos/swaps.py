"""Swaps versions of a model under load, some of them broken: failed requests, latency, memory.

Rounds alternate between load alone and load while versions are published, so that other load on the machine affects
both.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chaos.service import NAME, server
from benchmarks.chaos.versions import HARMS, Publisher
from benchmarks.plan import Plan
from benchmarks.processes import ROOT
from benchmarks.report import Figure, Measured
from benchmarks.serving.contenders import json_request
from benchmarks.serving.load import WARM_UP
from benchmarks.serving.servers import Running, started

CONNECTIONS = 32
ROUNDS, SWAPS = (5, 2), 10  # full, quick; versions of a round, the last one of which is broken
PAUSE = 2.0  # seconds between two publishes
POLL_SECONDS = 0.5
STEADY_SECONDS = 20.0
DEADLINE = 30.0  # seconds from a publish until it serves, or is listed as failed
MAX_RATIO, MAX_GROWTH = 1.5, 1.05  # targets of p99 and memory, relative to the steady state


@dataclass
class Outcome:
    """What was seen while versions were published."""

    seconds: list[float] = field(default_factory=list)  # from the publish to the swap, of whole versions
    broken: int = 0  # versions that were refused
    wrong: int = 0  # looks at /models that showed another version than expected


def measure(plan: Plan) -> Measured:
    """Count failed requests; compare p99 and memory with those of the load alone."""
    home = plan.work / "models" / NAME
    shutil.copytree(ROOT / "models" / NAME / "1", home / "1")
    request = json_request(np.ones((1, 30)))
    rounds, outcome, publisher = plan.pick(*ROUNDS), Outcome(), Publisher(home)
    steady: list[dict[str, Any]] = []
    swapping: list[dict[str, Any]] = []
    with started(server(plan.work / "models", POLL_SECONDS)) as running, ThreadPoolExecutor(1) as beside:
        running.load(request, CONNECTIONS, STEADY_SECONDS / 4)  # the first load fills pools and arenas
        memory = [_settled_bytes(running)]
        for number in range(rounds):
            steady.append(running.load(request, CONNECTIONS, STEADY_SECONDS))
            publishing = beside.submit(_publish, running, publisher, outcome, HARMS[number % len(HARMS)])
            swapping.append(running.load(request, CONNECTIONS, SWAPS * PAUSE + WARM_UP))
            publishing.result()
            memory.append(_settled_bytes(running))
    figures = [*_figures(steady, swapping, outcome), *_memory(memory)]
    facts = {"steady": steady, "swapping": swapping, "seconds_to_serve": outcome.seconds, "memory_bytes": memory}
    return Measured(figures, facts)


def _publish(running: Running, publisher: Publisher, outcome: Outcome, harm: Any) -> None:
    """Publish the versions of a round, and wait for each until it serves or is refused."""
    time.sleep(WARM_UP)
    serving = json.loads(running.get("/models"))["models"][0]["version"]
    for harms in [None] * (SWAPS - 1) + [harm]:
        start, before = time.monotonic(), serving
        number = publisher.publish(harms)
        for seen in _states(running, start + DEADLINE):
            outcome.wrong += seen["version"] not in ({before} if harms else {before, number})
            if harms is None and seen["version"] == number:
                outcome.seconds.append(time.monotonic() - start)
                serving = number
                break
            if harms is not None and str(number) in seen["failed"]:
                outcome.broken += 1
                break
        else:
            raise SystemExit(f"version {number} neither serves nor failed within {DEADLINE:g} s")
        time.sleep(max(0.0, start + PAUSE - time.monotonic()))


def _states(running: Running, end: float) -> Iterator[dict[str, Any]]:
    """The model's entry of /models, again and again."""
    while time.monotonic() < end:
        yield json.loads(running.get("/models"))["models"][0]
        time.sleep(0.05)


def _settled_bytes(running: Running) -> int:
    """Anonymous memory once only the serving version is loaded. Pages of files are shared with other processes."""
    for seen in _states(running, time.monotonic() + DEADLINE):
        if seen["loaded"] == [seen["version"]]:
            break
    time.sleep(1.0)  # files of the last old version are deleted and its memory is returned
    [line] = re.findall(r"^RssAnon:\s*(\d+) kB$", Path(f"/proc/{running.pid}/status").read_text(), re.MULTILINE)
    return int(line) * 1024


def _figures(steady: Sequence[dict[str, Any]], swapping: Sequence[dict[str, Any]], outcome: Outcome) -> list[Figure]:
    failed = sum(count for one in swapping for status, count in one["statuses"].items() if status != "200")
    answered = sum(one["statuses"].get("200", 0) for one in swapping)
    alone, busy = [one["p99"] for one in steady], [one["p99"] for one in swapping]
    ratio = statistics.median(busy) / statistics.median(alone)
    return [
        Figure("swaps: requests failed", failed, "requests", target=0.0),
        Figure("swaps: requests answered", answered, "requests"),
        Figure("swaps: versions swapped in", len(outcome.seconds), "versions"),
        Figure("swaps: broken versions refused", outcome.broken, "versions"),
        Figure("swaps: looks that showed a wrong version", outcome.wrong, "looks", target=0.0),
        Figure("swaps: p99 relative to the load alone", ratio, "", target=MAX_RATIO),
        Figure.of("swaps: p99 of the load alone", [1e3 * each for each in alone], "ms"),
        Figure.of("swaps: p99 while versions are swapped", [1e3 * each for each in busy], "ms"),
        Figure.of("swaps: from publish to serving", outcome.seconds, f"s, polled every {POLL_SECONDS:g} s"),
    ]


def _memory(by_round: Sequence[int]) -> list[Figure]:
    before, after = by_round[0], by_round[-1]
    return [
        Figure("swaps: memory afterwards relative to before", after / before, "", target=MAX_GROWTH),
        Figure("swaps: memory before", before / 2**20, "MiB, anonymous"),
        Figure("swaps: memory afterwards", after / 2**20, "MiB, anonymous"),
    ]
