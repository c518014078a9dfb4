"""Freed memory is returned to the operating system some time after much of it was freed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from vaekit_service.engine.limits import LARGE, MemoryBudget
from vaekit_service.memory import MUCH, FreedMemory

pytestmark = pytest.mark.anyio


async def test_memory_is_returned_once_after_much_of_it_was_freed() -> None:
    returned, done = [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def release() -> None:
        returned.append(1)
        loop.call_soon_threadsafe(done.set)

    with ThreadPoolExecutor(1) as pool:
        memory = FreedMemory(pool, release, pause=0.05)
        memory.freed(MUCH - 1)
        await asyncio.sleep(0.1)
        assert not returned
        for _ in range(3):
            memory.freed(MUCH)
        await asyncio.wait_for(done.wait(), 10)
        await asyncio.sleep(0.1)
        assert len(returned) == 1
        memory.freed(MUCH)
    await asyncio.sleep(0.1)
    assert len(returned) == 1  # the pool is closed


def test_the_release_of_large_reservations_is_told() -> None:
    told: list[int] = []
    budget = MemoryBudget(max_body_bytes=2**30, max_inflight_bytes=2**30, freed=told.append)
    for size in (LARGE - 1, LARGE, 3 * LARGE):
        with budget.reserve() as reservation:
            reservation.hold(size)
    assert told == [LARGE, 3 * LARGE]
    assert budget.held == 0
