"""Kills and stops single containers of the service, and starts one with many models under a limit of processes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from benchmarks.chaos.containers.rolling import kill_process
from benchmarks.chaos.containers.stack import IMAGE, docker, wait
from benchmarks.chaos.load import CONNECTIONS, answered, disturbed, failed, one_row
from benchmarks.plan import Plan
from benchmarks.processes import ROOT
from benchmarks.report import Figure, Measured
from benchmarks.serving.load import LOST

KILLS = (20, 2)  # full, quick
STOPS = (10, 1)  # full, quick; of each delay
DELAYS = (0.0, 0.3, 0.6)  # seconds from `docker run` to `docker stop`
GRACE = 40  # seconds, as stop_grace_period of docker-compose.yml
SETTLED_SECONDS = 11.0  # of running, after which the engine restarts a container without a longer delay
READY_SECONDS = 5.0  # target
# Of each caller the request in flight, and one on a connection that the kernel accepts while the process dies.
MOST_LOST = 2.0 * CONNECTIONS  # target
TERMINATED = 143  # exit code of a process that SIGTERM ended
MODELS, PIDS, THREADS = 50, 512, 8  # models served; --pids-limit; VAE_THREADS
PORT = 18090
NOT_READY = "503"
# As in docker-compose.yml. On the network of the host, so that no proxy of the engine accepts connections while the
# service is down; on loopback, so that no key is needed.
OPTIONS = (
    *("--init", "--read-only", "--tmpfs", "/tmp:size=1g,mode=1777", "--cap-drop", "ALL", "--network", "host"),
    *("--memory", "2g", "--memory-swap", "2g", "--env", "VAE_HOST=127.0.0.1", "--env", f"VAE_PORT={PORT}"),
    *("--volume", f"{ROOT / 'models'}:/models:ro"),
)


def kills(plan: Plan) -> Measured:
    """Count failed requests and the seconds until a killed container, which the engine restarts, is ready again."""
    results, seconds = [], list[float]()
    with running("--restart", "unless-stopped", "--env", "VAE_THREADS=1") as container:
        for _ in range(plan.pick(*KILLS)):
            results.append(disturbed(PORT, one_row(), lambda: seconds.append(_kill(container))))
            time.sleep(SETTLED_SECONDS)
    lost = [one["statuses"].get(str(LOST), 0) for one in results]
    loading = [one["statuses"].get(NOT_READY, 0) for one in results]
    name = "kill -9 of a container"
    figures = [
        Figure(f"{name}: kills", len(results), "times"),
        Figure.of(f"{name}: requests lost, of {CONNECTIONS} connections", lost, "requests"),
        Figure(f"{name}: most requests lost", max(lost), "requests", target=MOST_LOST),
        Figure.of(f"{name}: answered 503 with retry-after, while models loaded again", loading, "requests"),
        Figure(
            f"{name}: failed otherwise", sum(map(failed, results)) - sum(lost) - sum(loading), "requests", target=0.0
        ),
        Figure(f"{name}: requests answered", sum(map(answered, results)), "requests"),
        Figure.of(f"{name}: from the kill to ready", seconds, "s"),
        Figure(f"{name}: longest time from the kill to ready", max(seconds), "s", target=READY_SECONDS),
    ]
    return Measured(figures, {"results": results, "seconds": seconds})


def stops(plan: Plan) -> Measured:
    """Count stops soon after the start that do not end with exit code 0."""
    codes: dict[str, list[int]] = {}
    seconds = []
    for delay in DELAYS:
        for _ in range(plan.pick(*STOPS)):
            with _container() as container:
                time.sleep(delay)
                start = time.monotonic()
                docker("stop", "--time", str(GRACE), container)
                seconds.append(time.monotonic() - start)
                code = docker("inspect", "--format", "{{.State.ExitCode}}", container)
                codes.setdefault(f"{delay:g}", []).append(int(code))
    every = [(delay, code) for delay, each in codes.items() for code in each]
    early = sum(code == TERMINATED for delay, code in every if delay == "0")
    other = sum(code != 0 for _, code in every) - early
    figures = [
        Figure("docker stop 0, 0.3 and 0.6 s after the start: stops", len(every), "times"),
        Figure(
            "docker stop 0 s after the start: ended by the signal before Python ran (exit code 143)", early, "times"
        ),
        Figure("docker stop soon after the start: exit codes other than 0 and these", other, "times", target=0.0),
        Figure.of("docker stop soon after the start: time", seconds, "s"),
    ]
    return Measured(figures, {"exit_codes": codes})


def many_models(plan: Plan) -> Measured:  # noqa: ARG001  every part has this signature
    """Start a container with more models than its limit of processes has threads for."""
    named = ",".join(f"m{number}=/models/breast-cancer" for number in range(MODELS))
    options = ("--pids-limit", str(PIDS), "--env", f"VAE_THREADS={THREADS}", "--env", "VAE_MODELS=")
    start = time.monotonic()
    with running(*options, "--env", f"VAE_MODEL={named}") as container:
        seconds = time.monotonic() - start
        ready = [one["state"] for one in _models()].count("ready")
        threads = int(docker("stats", "--no-stream", "--format", "{{.PIDs}}", container))
    name = f"{MODELS} models, VAE_THREADS={THREADS}, --pids-limit {PIDS}"
    figures = [
        Figure(f"{name}: models ready", ready, "models", target=float(MODELS), better="higher"),
        Figure(f"{name}: processes and threads", threads, "", target=float(PIDS)),
        Figure(f"{name}: from docker run to ready", seconds, "s"),
    ]
    return Measured(figures)


@contextmanager
def _container(*options: str) -> Iterator[str]:
    """A started container of the service, which is removed at the end."""
    container = docker("run", "--detach", *OPTIONS, *options, IMAGE).strip()
    try:
        yield container
    finally:
        docker("rm", "--force", container)


@contextmanager
def running(*options: str) -> Iterator[str]:
    """A container of the service that is ready."""
    with _container(*options) as container:
        wait("the container is ready", _is_ready, 120.0)
        yield container


def _kill(container: str) -> float:
    """Kill a container's processes, and return the seconds until it is ready again."""
    start = time.monotonic()
    kill_process(container)
    wait("the container does not answer", lambda: not _is_ready(), pause=0.0)
    wait("the container is ready again", _is_ready, pause=0.02)
    return time.monotonic() - start


def _is_ready() -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{PORT}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _models() -> list[dict[str, Any]]:
    return list(json.loads(httpx.get(f"http://127.0.0.1:{PORT}/models").text)["models"])
