"""The timer of a request: its deadline or a disconnect cancels the task once, with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from vaekit_service.errors import Disconnected, SlowBody
from vaekit_service.http import request_context
from vaekit_service.http.request_context import RequestTimer

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: Any) -> Any:
    return ("asyncio", {"loop_factory": uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop})


async def never() -> dict[str, Any]:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")


async def ended(timer: RequestTimer, work: Any) -> Exception | None:
    """The reason why the timer cancelled the work; None if the work was completed."""
    try:
        await work
    except asyncio.CancelledError:
        return timer.uncancel()
    return None


async def test_a_task_past_its_deadline_is_cancelled_and_may_continue() -> None:
    timer = RequestTimer()
    timer.set_deadline(0.01, lambda: SlowBody("late"))
    reason = await ended(timer, never())
    assert (type(reason), str(reason)) == (SlowBody, "late")
    await asyncio.sleep(0.02)  # not cancelled a second time
    assert timer.reason is None


async def test_a_new_deadline_replaces_the_old_one() -> None:
    timer = RequestTimer()
    timer.set_deadline(0.01, lambda: SlowBody("the first"))
    timer.set_deadline(0.05, lambda: SlowBody("the second"))
    assert str(await ended(timer, never())) == "the second"


async def test_a_stopped_timer_cancels_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit_service.http.request_context.LISTEN_AFTER", 0.0)
    timer = RequestTimer()
    timer.set_deadline(0.01, lambda: SlowBody("late"))
    timer.cancel_on_disconnect(gone)
    timer.stop()
    assert await ended(timer, asyncio.sleep(0.03)) is None


async def test_a_deadline_that_is_less_than_a_millisecond_away_is_kept_while_others_are_set() -> None:
    timer = RequestTimer()
    timer.set_deadline(1e-6, lambda: SlowBody("late"))
    timer.cancel_on_disconnect(never)
    assert str(await ended(timer, never())) == "late"
    timer.set_deadline(1e-6, lambda: SlowBody("the first"))
    timer.set_deadline(0.01, lambda: SlowBody("the second"))
    assert str(await ended(timer, never())) == "the second"


async def test_an_earlier_deadline_replaces_a_later_one() -> None:
    timer = RequestTimer()
    timer.set_deadline(60.0, lambda: SlowBody("the first"))
    timer.set_deadline(0.01, lambda: SlowBody("the second"))
    assert str(await ended(timer, never())) == "the second"


async def test_a_deadline_after_the_first_firing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit_service.http.request_context.LISTEN_AFTER", 0.01)
    timer = RequestTimer()
    timer.set_deadline(0.05, lambda: SlowBody("late"))
    assert await ended(timer, asyncio.sleep(0.03)) is None
    timer.set_deadline(0.05, lambda: SlowBody("later"))
    assert str(await ended(timer, never())) == "later"


async def test_a_paused_timer_cancels_nothing_until_it_is_set_again() -> None:
    timer = RequestTimer()
    timer.set_deadline(0.01, lambda: SlowBody("the first"))
    timer.pause()
    assert await ended(timer, asyncio.sleep(0.03)) is None
    timer.set_deadline(0.01, lambda: SlowBody("the second"))
    assert str(await ended(timer, never())) == "the second"


async def test_a_stopped_timer_leaves_nothing_in_the_event_loop() -> None:
    loop = asyncio.get_running_loop()
    timer = RequestTimer()
    timer.set_deadline(60.0, lambda: SlowBody("late"))
    timer.cancel_on_disconnect(gone)
    timer.stop()
    assert [one for one in getattr(loop, "_scheduled", ()) if not one.cancelled()] == []


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def test_a_disconnect_cancels_the_task() -> None:
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    timer = RequestTimer()
    timer.cancel_on_disconnect(receive)
    assert isinstance(await ended(timer, never()), Disconnected)


async def test_a_fast_answer_starts_no_listener() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("listened")

    begun = RequestTimer()
    begun.cancel_on_disconnect(receive)
    assert await ended(begun, asyncio.sleep(request_context.LISTEN_AFTER / 10)) is None
    begun.stop()
    await asyncio.sleep(2 * request_context.LISTEN_AFTER)


async def test_a_cancellation_by_the_server_has_no_reason() -> None:
    seen = list[Exception | None]()

    async def request() -> None:
        timer = RequestTimer()
        timer.set_deadline(60.0, lambda: SlowBody("late"))
        try:
            await never()
        finally:
            seen.append(timer.reason)
            timer.stop()

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [None]
