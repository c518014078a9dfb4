"""/healthz and /readyz while the device's thread is stuck, and after it has gone on or ended."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from tests.service.test_service_engine import busy, job
from vaekit_service.engine.engine import Engine
from vaekit_service.errors import DeadlineExceeded

pytestmark = pytest.mark.anyio

LIMIT = 0.05  # seconds


async def answered(service: Any, path: str, status: int) -> Any:
    """The reply, once it has this status."""
    async with asyncio.timeout(30):
        while (reply := await service.http.get(path)).status_code != status:
            await asyncio.sleep(0)
    return reply


async def test_healthz_is_503_while_a_call_is_stuck_and_recovers(start: Any, copied: Any) -> None:
    leave = threading.Event()

    def wait() -> None:
        assert leave.wait(30)

    async with start(copied, stuck_seconds=LIMIT) as service:
        assert (await service.http.get("/healthz")).json() == {"status": "ok"}
        call = asyncio.create_task(service.components.engine.call(wait))
        reply = await answered(service, "/healthz", 503)
        problem = reply.json()
        assert problem["title"] == "Not healthy"
        assert "has been in one call for 0." in problem["detail"]
        assert "longer than VAE_STUCK_SECONDS (0.05 s); restart the service" in problem["detail"]
        ready = await service.http.get("/readyz")
        assert (ready.status_code, ready.json()["detail"][:40]) == (503, problem["detail"][:40])
        assert "retry-after" not in ready.headers
        assert "\nvae_ready 0.0\n" in (await service.http.get("/metrics")).text
        leave.set()
        await call
        await answered(service, "/healthz", 200)
        assert (await service.http.get("/readyz")).status_code == 200
        lines = [line for line in service.lines() if line.get("error") == "NotHealthy" and line["route"] == "/healthz"]
        assert {(line["level"], line["status"]) for line in lines} == {("info", 503)}


async def test_healthz_is_200_while_the_device_has_nothing_to_do(start: Any, copied: Any) -> None:
    async with start(copied, stuck_seconds=1e-9) as service:
        await answered(service, "/healthz", 200)  # the thread rests soon after the models have loaded
        assert (await service.post("/sample", {"n": 1})).status_code == 200
        await answered(service, "/healthz", 200)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_healthz_is_503_once_the_thread_has_ended(start: Any, copied: Any) -> None:
    def fatal() -> None:
        raise SystemExit("no driver")

    async with start(copied) as service:
        call = asyncio.create_task(service.components.engine.call(fatal))
        reply = await answered(service, "/healthz", 503)
        assert reply.json()["detail"] == "the thread that runs the models ended with an error; restart the service"
        call.cancel()


async def test_jobs_that_time_out_in_the_queue_do_not_hide_that_it_is_stuck() -> None:
    on = await busy()
    last = on.engine.stalled_seconds
    assert last > 0
    for _ in range(3):
        with pytest.raises(DeadlineExceeded):
            await on.ask(1, deadline=0.0)
        assert on.engine.stalled_seconds > last
        last = on.engine.stalled_seconds
    on.model.leave.set()
    await on.first
    await on.engine.close()


async def test_work_that_the_thread_does_not_pick_up_counts_until_it_does() -> None:
    engine = Engine(max_queue_rows=3)  # not started: a thread that is stuck outside a call
    on_device = threading.Event()
    call = asyncio.create_task(engine.call(on_device.set))
    with pytest.raises(DeadlineExceeded):
        await engine.submit(job(None, 1), deadline=0.0)
    seconds = engine.stalled_seconds
    assert seconds > 0
    assert not engine.is_running
    with pytest.raises(DeadlineExceeded):
        await engine.submit(job(None, 1), deadline=0.0)
    assert engine.stalled_seconds > seconds
    engine.start()
    await call
    async with asyncio.timeout(30):
        while engine.stalled_seconds:
            await asyncio.sleep(0)
    assert on_device.is_set()
    await engine.close()


async def test_the_time_begins_again_with_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now, engine = [100.0], Engine(max_queue_rows=3)
    monkeypatch.setattr("vaekit_service.engine.engine.monotonic", lambda: now[0])
    begun, leave = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    def work(number: int) -> None:
        begun[number].set()
        assert leave[number].wait(30)

    assert engine.stalled_seconds == 0
    calls = [asyncio.create_task(engine.call(partial(work, 0)))]
    await asyncio.sleep(0)
    now[0] += 2
    assert engine.stalled_seconds == 2  # not picked up
    engine.start()
    await asyncio.to_thread(begun[0].wait, 30)
    assert engine.stalled_seconds == 0
    now[0] += 3
    calls.append(asyncio.create_task(engine.call(partial(work, 1))))
    await asyncio.sleep(0)
    assert engine.stalled_seconds == 3  # more work does not hide it
    leave[0].set()
    await asyncio.to_thread(begun[1].wait, 30)
    assert engine.stalled_seconds == 0
    leave[1].set()
    await asyncio.gather(*calls)
    await engine.close()
