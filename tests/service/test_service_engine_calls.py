"""Jobs that run in the event loop, and calls in the thread of the device."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

from tests.service.test_service_engine import Held, busy, job
from vaekit.errors import NotFinite
from vaekit_service.engine.engine import Engine
from vaekit_service.errors import NotReady

pytestmark = pytest.mark.anyio


async def soon(inline_seconds: float, device: str = "cpu") -> tuple[Engine, Held]:
    """An engine that has run a first job and so measured the time per row; and its model."""
    engine, model = Engine(max_queue_rows=30, inline_seconds=inline_seconds), Held()
    model.device = device
    engine.start()
    model.leave.set()
    await engine.submit(job(model, 0))
    return engine, model


async def test_a_short_job_that_is_alone_runs_in_the_event_loop() -> None:
    engine, model = await soon(60.0)
    found: Any = await engine.submit(job(model, 1))
    with pytest.raises(NotFinite):
        await engine.submit(job(model, -1))
    assert found.mu[:, 0].tolist() == [1]
    assert model.threads == ["device", "MainThread", "MainThread"]  # the time of the first job was unknown
    assert engine.rows == 0
    await engine.close()


async def test_a_job_of_several_batches_runs_in_the_thread() -> None:
    engine, model = await soon(60.0)
    found: Any = await engine.submit(job(model, *range(20)))
    assert (len(found.mu), model.threads[1:]) == (20, ["device"] * 3)
    await engine.close()


async def test_jobs_that_arrive_together_run_in_the_thread() -> None:
    engine, model = await soon(60.0)
    await asyncio.gather(*(engine.submit(job(model, value)) for value in (1, 2)))
    assert (model.ran[1:], model.threads[1:]) == ([[1, 2]], ["device"])
    await engine.close()


@pytest.mark.parametrize(("inline_seconds", "device"), [(1e-9, "cpu"), (0.0, "cpu"), (60.0, "cuda")])
async def test_a_long_job_or_a_job_for_a_gpu_runs_in_the_thread(inline_seconds: float, device: str) -> None:
    engine, model = await soon(inline_seconds, device)
    await engine.submit(job(model, 1))
    assert model.threads == ["device", "device"]
    await engine.close()


async def test_even_a_short_job_waits_for_the_running_batch() -> None:
    engine, model = await soon(60.0)
    model.leave.clear()
    model.begun.clear()
    both = [asyncio.create_task(engine.submit(job(model, value))) for value in (1, 2)]
    await asyncio.to_thread(model.begun.wait, 30)
    third = asyncio.create_task(engine.submit(job(model, 3)))
    await asyncio.sleep(0.01)
    assert engine.depth == 1
    model.leave.set()
    await asyncio.gather(*both, third)
    assert (model.ran[1:], model.threads[1:]) == ([[1, 2], [3]], ["device", "device"])
    await engine.close()


async def test_the_engine_does_not_keep_an_unloaded_model_alive() -> None:
    engine, model = await soon(60.0)
    gone = weakref.ref(model)
    del model
    for _ in range(50):
        gc.collect()
        if gone() is None:
            break
        await asyncio.sleep(0.01)
    assert gone() is None
    await engine.close()


async def test_a_call_runs_in_the_devices_thread_before_waiting_jobs() -> None:
    on = await busy()
    waiting = on.ask(1)
    await asyncio.sleep(0)
    seen: list[Any] = []
    work = asyncio.create_task(on.engine.call(lambda: seen.extend([threading.current_thread().name, *on.model.ran])))
    await asyncio.sleep(0)
    on.model.leave.set()
    await asyncio.gather(work, on.first, waiting)
    assert seen == ["device", [0]]
    assert on.model.ran == [[0], [1]]
    await on.engine.close()


async def test_an_error_of_a_call_goes_to_its_caller_and_the_engine_goes_on() -> None:
    on = await busy()
    on.model.leave.set()

    def fail() -> None:
        raise ValueError("no such kernel")

    with pytest.raises(ValueError, match="no such kernel"):
        await on.engine.call(fail)
    assert await on.ask(1) == [1]
    await on.engine.close()
    with pytest.raises(NotReady, match="shutting down"):
        await on.engine.call(fail)


async def test_a_waiting_call_is_cancelled_when_the_engine_closes() -> None:
    on = await busy()
    work = asyncio.create_task(on.engine.call(lambda: None))
    await asyncio.sleep(0)
    closing = asyncio.create_task(on.engine.close())
    await asyncio.gather(work, on.first, return_exceptions=True)
    assert work.cancelled()
    on.model.leave.set()
    await closing


async def test_a_call_that_ends_the_thread_gives_its_caller_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # the thread ends on purpose
    engine = Engine(max_queue_rows=30)
    engine.start()

    def leave() -> None:
        raise SystemExit("over")

    async with asyncio.timeout(20):
        with pytest.raises(RuntimeError, match="the device's thread ended"):
            await engine.call(leave)
        with pytest.raises((NotReady, RuntimeError), match="ended"):
            await engine.call(leave)
