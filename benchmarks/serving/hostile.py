"""Compares servers of the same app: single rows, bulk bodies, and honest rows beside hostile connections.

`vae serve` is compared with uvicorn's own protocols, and with hypercorn and granian if they are installed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.processes import command
from benchmarks.report import Figure, Measured, run_rounds
from benchmarks.serving import models, servers
from benchmarks.serving.arms.asgi import installed
from benchmarks.serving.attacks import ATTACKS
from benchmarks.serving.contenders import OURS, ours, require_all_answered
from benchmarks.serving.load import WARM_UP
from benchmarks.serving.models import LARGE, SMALL, Shape
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Running, Server, started

PACE, CONNECTIONS = 50.0, 8  # honest single rows per second, and connections
LOADS: dict[str, tuple[Shape, bool, int, int]] = {  # shape, npy, rows, connections
    "one row of JSON, D = 30": (SMALL, False, 1, 32),
    "64 rows of npy, D = 784": (LARGE, True, 64, 4),
    "512 rows of npy, D = 784": (LARGE, True, 512, 4),
}
MEMORY, P99 = 16.0, 100.0  # targets of `vae serve` under attack: MiB, ms


def contender(plan: Plan, name: str, shape: Shape, *, npy: bool = False) -> Server:
    """A server by name, for requests with K draws."""
    own = ours(plan, shape, npy=npy)
    if name == OURS:
        return own
    start = command("serving.arms.asgi", [name, "PORT", str(plan.work / "models"), shape.name])
    return Server(name, tuple(start), own.ask, own.elbo, ready="/readyz")


def protocols(plan: Plan) -> Measured:
    """Requests per CPU second of each server, and the same divided by those of uvicorn's httptools protocol.

    CPU seconds of the server, because they depend less than its rate on what else the machine does.
    """
    names, figures = [OURS, *installed()], []
    for label, (shape, npy, n, connections) in LOADS.items():
        loads = {name: partial(_loaded, plan, contender(plan, name, shape, npy=npy), n, connections) for name in names}
        found = run_rounds(loads, plan.rounds)
        base = found["uvicorn httptools"]
        for name, rates in found.items():
            shares = [a / b for a, b in zip(rates, base, strict=True)]
            figures.append(Figure.of(f"{label}: {name}", rates, "requests/CPU s", better="higher"))
            figures.append(Figure.of(f"{label}: {name} / uvicorn httptools", shares, "times", better="higher"))
    return Measured(figures)


def _loaded(plan: Plan, server: Server, n: int, connections: int) -> float:
    shape = SMALL if n == 1 else LARGE
    with started(server) as running:
        request = server.ask(models.rows(shape)[:n])
        before = servers.cpu_seconds(running.pid)
        found = require_all_answered(running, running.load(request, connections, plan.seconds))
        sent = found["requests_per_second"] * (WARM_UP + plan.seconds)
        return float(sent / (servers.cpu_seconds(running.pid) - before))


def measure(plan: Plan) -> Measured:
    """For each attack and server, p99 of honest rows, the peak of memory, and what is kept afterwards."""
    names = [OURS, *installed()] if not plan.quick else [OURS]
    figures, facts = [], {}
    for name in names:
        with started(contender(plan, name, SMALL)) as running:
            facts[name] = servers.run_pinned(
                "serving.attacks", [str(running.port), "probes", "0"], core=servers.LOAD_CORE
            )
        for attack in ATTACKS:
            runs = [_attacked(plan, name, attack) for _ in range(plan.rounds)]
            is_ours = name == OURS
            label = f"{attack}: {name}"
            for what, unit, target in (("p99", "ms", P99), ("peak", "MiB", MEMORY), ("kept", "MiB", MEMORY)):
                target_of = target if is_ours else None
                figures.append(Figure.of(f"{label}: {what}", [run[what] for run in runs], unit, target=target_of))
    return Measured(figures, {"statuses": facts})


def _attacked(plan: Plan, name: str, attack: str) -> dict[str, float]:
    seconds = 2 * plan.seconds
    with started(contender(plan, name, SMALL)) as running, ThreadPoolExecutor(1) as beside:
        request = running.server.ask(models.rows(SMALL)[:1])
        running.load(request, CONNECTIONS, 0.5)
        before = _memory(running, "VmRSS")
        arguments = [str(running.port), attack, str(seconds + 2.0)]
        attacked = beside.submit(servers.run_pinned, "serving.attacks", arguments, core=servers.LOAD_CORE)
        found = running.load(request, CONNECTIONS, PACE, seconds, "even", loop="open_loop")
        attacked.result()
        honest = found["seconds"].get("200", {"p99": float("inf")})
        peak, kept = _memory(running, "VmHWM") - before, _memory(running, "VmRSS") - before
    return {"p99": 1e3 * float(honest["p99"]), "peak": peak, "kept": kept, "unanswered": found["unanswered"]}


def _memory(running: Running, figure: str) -> float:
    """VmRSS or VmHWM in MiB, of the process and its children."""
    total = 0
    for pid in (running.pid, *servers.children(running.pid)):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith(figure))
    return total / 1024
