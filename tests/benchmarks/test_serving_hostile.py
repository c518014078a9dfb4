"""The hostile callers of the benchmark send what they say, within their bounds, and tell what came back."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvloop

from benchmarks.chaos import hostile, hostile_callers
from benchmarks.serving import attacks, servers
from benchmarks.serving.arms import asgi
from tests.talk import App, logged, serving
from vaekit.bundle.read import read_manifest
from vaekit.errors import InputError
from vaekit_service.codecs import json_codec
from vaekit_service.messages import Target


def test_probes_tell_the_statuses_of_all_replies() -> None:
    async def probed() -> dict[str, list[int]]:
        app = App()
        async with serving(logged(app.raising, app.memory)) as served:
            return await attacks.probes(served.port)

    assert uvloop.run(probed()) == {
        "no host": [400],
        "two hosts": [400],
        "gzip, chunked": [501],
        "upgrade to h2c": [200, 200],
        "4.8 MB refused": [200],  # by an app that reads every type
    }


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_an_attack_sends_something_and_ends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "FLOOD", 2**20)
    monkeypatch.setattr(attacks, "TRICKLING", 3)
    monkeypatch.setattr(attacks, "PAUSE", 0.01)

    async def attacked() -> float:
        app = App()
        async with serving(logged(app.raising, app.memory), head_seconds=0.05) as served:
            return (await attacks.attack(served.port, name, 0.1))["sent"]

    assert uvloop.run(attacked()) > 0


def test_the_servers_of_uvicorn_are_always_compared() -> None:
    assert {"uvicorn httptools", "uvicorn h11"} <= set(asgi.installed())


@pytest.mark.parametrize("case", hostile_callers.CASES)
def test_hostile_callers_are_answered_unless_they_do_not_read(case: str) -> None:
    async def attacked() -> dict[str, int]:
        app = App()
        async with serving(logged(app.raising, app.memory)) as served:
            found = await hostile_callers.attack(served.port, case, 1.0, lead=0.0)
            assert app.begun.is_set()
            return found

    statuses = uvloop.run(attacked())
    assert bool(statuses) == (case != "unread replies")


def test_the_bodies_of_hostile_callers_are_read_or_refused_as_they_say(models_dir: Path) -> None:
    target = Target("elbo", read_manifest(models_dir / "digits" / "1"), 10_000)

    def read(wire: bytes) -> int:
        rows = json_codec.read(wire.partition(b"\r\n\r\n")[2], {}, target).rows
        assert rows is not None
        return len(rows)

    assert read(hostile_callers.images()) == 10_000
    with pytest.raises(InputError, match="images differ in shape"):
        read(hostile_callers.wrong_image())
    with pytest.raises(InputError, match="body: 300000 unknown fields"):
        read(hostile_callers.unknown_keys())


def test_a_process_that_a_thread_started_is_a_child() -> None:
    with ThreadPoolExecutor(1) as thread:
        process = thread.submit(subprocess.Popen, [sys.executable, "-c", "input()"], stdin=subprocess.PIPE).result()
        assert process.pid in servers.children(os.getpid())
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("statuses", "unanswered", "slowest"),
    [({"200": 3}, 0, 0.5), ({"200": 3}, 1, math.inf), ({"200": 2, "503": 1}, 0, math.inf)],
)
def test_a_probe_that_fails_counts_as_never_answered(statuses: dict[str, int], unanswered: int, slowest: float) -> None:
    found = {"statuses": statuses, "unanswered": unanswered, "seconds": {"200": {"p100": 0.5}}}
    assert hostile._slowest(found) == slowest
