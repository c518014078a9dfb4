"""The engine: one device, a bounded queue, and jobs that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from service.engine import Engine, Job
from service.errors import DeadlineExceeded, Overloaded
from vaekit.errors import NotFinite

pytestmark = pytest.mark.anyio


class Held:
    """A model whose encode waits for leave, and says when it has begun."""

    manifest = SimpleNamespace(name="held", version=1)

    def __init__(self) -> None:
        self.begun, self.leave = threading.Event(), threading.Event()
        self.ran: list[Any] = []

    def encode(self, rows: Any) -> Any:
        self.begun.set()
        assert self.leave.wait(30)
        self.ran.append(rows)
        return rows


def job(model: Any, rows: Any = "rows") -> Job:
    return Job(model, "encode", 1, rows)


@dataclass
class Busy:
    engine: Engine
    model: Held
    first: asyncio.Task[Any]


async def busy(**settings: Any) -> Busy:
    """An engine whose device is held by a first job."""
    engine = Engine(**{"max_queue": 2, "answer_seconds": 30.0, **settings})
    engine.start()
    model = Held()
    first = asyncio.create_task(engine.submit(job(model, "first")))
    await asyncio.to_thread(model.begun.wait, 30)
    return Busy(engine, model, first)


async def test_a_full_queue_refuses_at_once() -> None:
    on = await busy()
    waiting = [asyncio.create_task(on.engine.submit(job(on.model, i))) for i in range(2)]
    await asyncio.sleep(0)
    assert on.engine.depth == 2
    with pytest.raises(Overloaded, match="2 jobs wait"):
        await on.engine.submit(job(on.model))
    on.model.leave.set()
    assert await asyncio.gather(on.first, *waiting) == ["first", 0, 1]
    await on.engine.close()


async def test_a_job_that_nobody_waits_for_is_not_run() -> None:
    on = await busy()
    gone = asyncio.create_task(on.engine.submit(job(on.model, "gone")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert on.engine.depth == 0
    on.model.leave.set()
    await on.engine.submit(job(on.model, "last"))
    assert on.model.ran == ["first", "last"]
    await on.engine.close()


async def test_an_answer_that_comes_too_late_is_a_deadline_and_leaves_the_queue() -> None:
    on = await busy(answer_seconds=0.01)
    with pytest.raises(DeadlineExceeded, match=r"0\.01 s"):
        await on.engine.submit(job(on.model, "late"))
    assert on.engine.depth == 0
    with pytest.raises(DeadlineExceeded):
        await on.first
    on.model.leave.set()
    await on.engine.close()


async def test_a_job_that_fails_fails_alone() -> None:
    class Faulty(Held):
        def encode(self, _: Any) -> Any:
            raise NotFinite("no")

    engine = Engine(max_queue=2, answer_seconds=30.0)
    engine.start()
    model = Held()
    model.leave.set()
    with pytest.raises(NotFinite):
        await engine.submit(job(Faulty()))
    assert await engine.submit(job(model, "next")) == "next"
    await engine.close()


async def test_closing_the_engine_leaves_nobody_waiting() -> None:
    on = await busy()
    queued = asyncio.create_task(on.engine.submit(job(on.model)))
    await asyncio.sleep(0)
    await on.engine.close()
    on.model.leave.set()
    for task in (on.first, queued):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_caller_that_hangs_up_while_it_waits_leaves_the_queue(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await busy()
    monkeypatch.setattr(service.api.engine, "submit", lambda _: on.engine.submit(job(on.model, "gone")))
    body = [{"type": "http.request", "body": b'{"n": 1}', "more_body": False}, {"type": "http.disconnect"}]
    transport: Any = service.http._transport
    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/sample",
        "headers": headers,
        "query_string": b"",
        "root_path": "",
    }

    async def receive() -> Any:
        return body.pop(0)

    async def send(_: Any) -> None:
        return None

    await transport.app({**scope, "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}, receive, send)
    assert on.engine.depth == 0
    assert service.lines()[-1]["status"] == 499
    on.model.leave.set()
    await on.first
    assert on.model.ran == ["first"]
    await on.engine.close()
