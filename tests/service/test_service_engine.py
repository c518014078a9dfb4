"""The engine: one thread for one device, callers that wait in the event loop, and jobs whose caller has left."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vaekit.errors import NotFinite
from vaekit.runtime.results import Posterior
from vaekit_service.engine.engine import Engine
from vaekit_service.engine.jobs import Job
from vaekit_service.errors import DeadlineExceeded, NotReady, Overloaded

pytestmark = pytest.mark.anyio


class Held:
    """A model whose encode sets `begun`, waits for `leave`, and fails for rows below 0."""

    manifest = SimpleNamespace(name="held", version=1)
    device = "cpu"

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.begun, self.leave = threading.Event(), threading.Event()
        self.ran: list[list[float]] = []

    def encode_checked(self, rows: Any) -> Posterior:
        self.begun.set()
        self.threads.append(threading.current_thread().name)
        assert self.leave.wait(30)
        self.ran.append(rows[:, 0].tolist())
        if (rows < 0).any():
            raise NotFinite("no")
        return Posterior(mu=rows, sigma=rows)


def job(model: Any, *values: float, most: int = 8) -> Job:
    return Job(model, "encode", len(values), np.array(values, dtype=float)[:, None], max_batch_rows=most)


@dataclass
class Busy:
    engine: Engine
    model: Held
    first: asyncio.Task[Any]

    def ask(self, *values: float, **more: Any) -> asyncio.Task[list[float]]:
        async def answer() -> list[float]:
            found: Any = await self.engine.submit(job(self.model, *values), **more)
            return list(found.mu[:, 0])

        return asyncio.create_task(answer())


async def busy(report: Any = None) -> Busy:
    """An engine whose device is busy with a first job."""
    engine = Engine(max_queue_rows=3, report=report)
    engine.start()
    on = Busy(engine, Held(), asyncio.create_task(asyncio.sleep(0)))
    on.first = on.ask(0)
    await asyncio.to_thread(on.model.begun.wait, 30)
    return on


async def test_waiting_jobs_share_a_batch_once_the_device_is_free() -> None:
    on = await busy()
    waiting = [on.ask(1), on.ask(2, 3)]
    await asyncio.sleep(0)
    assert (on.engine.depth, on.engine.rows) == (2, 3)
    with pytest.raises(Overloaded, match="3 rows are waiting"):
        await on.ask(4)
    on.model.leave.set()
    assert await asyncio.gather(on.first, *waiting) == [[0], [1], [2, 3]]
    assert on.model.ran == [[0], [1, 2, 3]]
    await on.engine.close()


async def test_jobs_of_one_round_of_the_event_loop_share_a_batch() -> None:
    engine, model = Engine(max_queue_rows=30), Held()
    engine.start()
    model.leave.set()
    await asyncio.gather(*(engine.submit(job(model, value)) for value in range(6)))
    assert model.ran == [[0, 1, 2, 3, 4, 5]]
    await engine.close()


async def test_the_device_does_not_wait_for_an_endless_stream_of_jobs() -> None:
    engine, model = Engine(max_queue_rows=10**6), Held()
    engine.start()
    model.leave.set()
    asked: list[asyncio.Task[Any]] = []

    async def stream() -> None:
        while not (asked and asked[0].done()):
            asked.append(asyncio.create_task(engine.submit(job(model, len(asked), most=10**6))))
            await asyncio.sleep(0)

    await asyncio.wait_for(stream(), 20)
    await asyncio.wait_for(asyncio.gather(*asked), 20)
    await engine.close()


async def test_a_large_job_runs_in_several_batches_and_gets_one_answer() -> None:
    engine, model = Engine(max_queue_rows=3), Held()
    engine.start()
    model.leave.set()
    found: Any = await engine.submit(job(model, *range(20)))
    assert found.mu[:, 0].tolist() == list(range(20))
    assert [len(rows) for rows in model.ran] == [8, 8, 4]
    await engine.close()


async def test_a_cancelled_job_is_dropped_from_the_queue() -> None:
    on = await busy()
    gone = on.ask(1)
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert on.engine.depth == 0
    on.model.leave.set()
    await on.ask(2)
    assert on.model.ran == [[0], [2]]
    await on.engine.close()


async def test_a_failing_job_does_not_fail_the_others_of_its_batch() -> None:
    on = await busy()
    waiting = [on.ask(1), on.ask(-1), on.ask(2)]
    await asyncio.sleep(0)
    on.model.leave.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert (answers[0], answers[2]) == ([1], [2])
    assert isinstance(answers[1], NotFinite)
    assert on.model.ran == [[0], [1, -1, 2], [1], [-1], [2]]
    assert await on.ask(3) == [3]
    await on.engine.close()


async def test_closing_the_engine_cancels_all_waiting_jobs() -> None:
    on = await busy()
    queued = on.ask(1)
    await asyncio.sleep(0)
    await on.engine.close()
    on.model.leave.set()
    for task in (on.first, queued):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_job_that_is_not_started_by_its_deadline_fails_at_the_deadline() -> None:
    on = await busy()
    late = on.ask(1, deadline=time.monotonic() + 0.05)
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(late, 10)  # while the device is held
    assert (on.engine.depth, on.engine.rows) == (0, 0)
    on.model.leave.set()
    assert await on.ask(2, deadline=time.monotonic() + 60) == [2]
    assert on.model.ran == [[0], [2]]
    await on.engine.close()


async def test_each_job_fails_at_its_own_deadline() -> None:
    on = await busy()
    start = time.monotonic()
    ended = dict[float, float]()

    async def ask(seconds: float) -> None:
        with pytest.raises(DeadlineExceeded):
            await on.ask(1, deadline=start + seconds)
        ended[seconds] = time.monotonic() - start

    await asyncio.wait_for(asyncio.gather(*map(ask, (0.3, 0.1, 0.2))), 10)
    assert list(ended) == [0.1, 0.2, 0.3]
    assert all(late >= deadline for deadline, late in ended.items())
    on.model.leave.set()
    assert await on.first == [0]
    await on.engine.close()


async def test_a_job_that_was_started_by_its_deadline_is_completed() -> None:
    on = await busy()
    assert on.engine._expire(float("inf")) == float("inf")  # while it is on the device
    on.model.leave.set()
    assert await on.first == [0]
    await on.engine.close()


async def test_a_closed_engine_refuses_jobs_and_its_thread_ends() -> None:
    on = await busy()
    on.model.leave.set()
    await on.first
    await on.engine.close()
    assert on.engine._thread is not None
    assert not on.engine._thread.is_alive()
    with pytest.raises(NotReady):
        await asyncio.wait_for(on.ask(1), 10)


async def test_the_arrays_of_an_answered_job_are_freed() -> None:
    on = await busy()
    on.model.leave.set()
    await on.first
    rows = np.zeros((4, 1))
    held = weakref.ref(rows)
    answer: Any = await on.engine.submit(Job(on.model, "encode", 4, rows))  # type: ignore[arg-type]  # a stand-in
    of_answer = weakref.ref(answer)
    del rows, answer
    on.model.ran.clear()
    for _ in range(100):
        gc.collect()
        if held() is None and of_answer() is None:
            break
        await asyncio.sleep(0.01)
    assert (held(), of_answer()) == (None, None)
    assert not on.engine._futures
    await on.engine.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_error_of_the_thread_itself_fails_all_jobs_and_makes_the_service_unready() -> None:
    class Faulty:
        def ran(self, *_: Any) -> None:
            raise ZeroDivisionError("of ours")

        failed = ran

    engine, model = Engine(max_queue_rows=30, report=Faulty()), Held()
    engine.start()
    model.leave.set()
    asked = [asyncio.create_task(engine.submit(job(model, value))) for value in (1, 2)]
    for task in asked:
        with pytest.raises(RuntimeError, match="the device's thread ended: ZeroDivisionError"):
            await asyncio.wait_for(task, 10)
    assert isinstance(engine.fault, ZeroDivisionError)
    with pytest.raises(NotReady, match="thread that runs the models ended"):
        await engine.submit(job(model, 3))
    await engine.close()


async def test_the_report_gets_all_batches_and_all_failures() -> None:
    seen: list[tuple[str, int]] = []

    class Report:
        def ran(self, batch: Any, seconds: float) -> None:
            assert seconds >= 0
            seen.append(("ran", batch.n))

        def failed(self, batch: Any, error: Exception) -> None:
            assert isinstance(error, NotFinite)
            seen.append(("failed", batch.n))

    on = await busy(Report())
    waiting = [on.ask(1), on.ask(2, -3)]
    await asyncio.sleep(0)
    on.model.leave.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert seen == [("ran", 1), ("failed", 3), ("ran", 1), ("failed", 2)]
    await on.engine.close()


async def test_the_job_of_a_caller_that_disconnects_leaves_the_queue(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await busy()
    monkeypatch.setattr(service.components.engine, "submit", lambda *_: on.engine.submit(job(on.model, 9)))
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
    assert on.model.ran == [[0.0]]
    await on.engine.close()
