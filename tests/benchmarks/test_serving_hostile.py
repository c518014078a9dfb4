"""The hostile callers of the benchmark send what they say, within their bounds, and tell what came back."""

from __future__ import annotations

import pytest
import uvloop

from benchmarks.serving import attacks
from benchmarks.serving.arms import asgi
from tests.talk import App, logged, serving


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
