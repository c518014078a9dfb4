"""Half an hour at 80 % of the largest load, with hang-ups of callers: wrong answers, and growth of memory."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import theilslopes

from benchmarks.chaos.service import NAME, server
from benchmarks.plan import Plan
from benchmarks.processes import ROOT
from benchmarks.report import Figure, Measured
from benchmarks.serving import servers
from benchmarks.serving.contenders import json_request
from benchmarks.serving.servers import Request, Running, started
from vaekit.runtime import Model

CONNECTIONS = 32
SHARE = 0.8  # of the largest load
PROBED = 20_000  # requests that measure the largest load
SEGMENT_SECONDS, SEGMENTS = (60.0, 10.0), (30, 3)  # full, quick; memory is read after each segment
FIRST = 5  # segment from which memory counts; before, pools, arenas and windows fill
MAX_SLOPE = 5.0  # MiB per hour
SIZES = (1, 1, 1, 3, 8, 40)  # rows of the requests, in turn


def measure(plan: Plan) -> Measured:
    """Count wrong answers, and fit a line through the memory after each segment."""
    source = plan.work / "cases.json"
    source.write_text(json.dumps(_cases()))
    outcomes: dict[str, float] = {}
    memory: list[int] = []
    own = server(ROOT / "models", 60.0)
    with started(replace(own, command=(*own.command, "--default-model", NAME))) as running:
        probe = _load(running, source, PROBED)
        rate = SHARE * PROBED / probe["seconds"]
        seconds, segments = plan.pick(SEGMENT_SECONDS[0], SEGMENT_SECONDS[1]), plan.pick(*SEGMENTS)
        for number in range(segments):
            found = _load(running, source, int(rate * seconds), rate)
            for name, count in found.items():
                outcomes[name] = outcomes.get(name, 0) + count
            memory.append(_anonymous_bytes(running))
            sys.stderr.write(f"segment {number + 1} of {segments}: {memory[-1] / 2**20:.1f} MiB\n")
    kept = memory[min(FIRST, segments - 2) :]
    return Measured(figures(outcomes, kept, seconds, rate), {"outcomes": outcomes, "memory_bytes": memory})


def _cases() -> list[dict[str, Any]]:
    """Requests of several sizes with the ELBO of their rows."""
    rng, cases = np.random.default_rng(0), []
    with Model.load(ROOT / "models" / NAME / "1", device="cpu", threads=1) as model:
        for n in SIZES:
            x = 10.0 + rng.normal(size=(n, 30))
            request: Request = json_request(x)
            elbo = [float(value) for value in model.elbo(x).elbo]
            cases.append({"request": request.wire().decode("latin-1"), "elbo": elbo})
    return cases


def _load(running: Running, source: Path, requests: int, *rate: float) -> dict[str, Any]:
    arguments = [str(running.port), str(source), str(CONNECTIONS), str(requests), *map(str, rate)]
    return servers.run_pinned("serving.hang_ups", arguments, core=servers.LOAD_CORE)


def _anonymous_bytes(running: Running) -> int:
    [line] = re.findall(r"^RssAnon:\s*(\d+) kB$", Path(f"/proc/{running.pid}/status").read_text(), re.MULTILINE)
    return int(line) * 1024


def figures(outcomes: dict[str, float], memory: list[int], seconds: float, rate: float) -> list[Figure]:
    """Wrong answers, and the slope of the memory (Theil and Sen's, which single values do not move)."""
    hours = np.arange(len(memory)) * seconds / 3600.0
    slope, _, low, high = theilslopes(np.array(memory) / 2**20, hours, 0.95)
    right = outcomes.get("right", 0)
    cut = sum(count for name, count in outcomes.items() if name.startswith("cut"))
    wrong = sum(count for name, count in outcomes.items() if name not in ("right", "seconds")) - cut
    return [
        Figure("soak: answers that were wrong, lost, refused or late", wrong, "requests", target=0.0),
        Figure("soak: right answers", right, "requests"),
        Figure("soak: requests hung up on", cut, "requests"),
        Figure("soak: time", outcomes["seconds"] / 60.0, "minutes"),
        Figure("soak: rate", rate, "requests/s"),
        Figure("soak: growth of the memory", float(slope), "MiB/h", float(low), float(high), target=MAX_SLOPE),
        Figure("soak: memory at the end", memory[-1] / 2**20, "MiB, anonymous"),
    ]
