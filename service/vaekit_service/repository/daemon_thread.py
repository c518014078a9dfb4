"""Calls a function that may hang, in a thread that the process does not wait for at its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")

_NAME = "store"


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """The result of a function that waits for a network. If the caller is cancelled, the thread goes on alone."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not done.done():
            set_it()

    def run() -> None:
        outcome: Callable[[], None]
        try:
            outcome = partial(done.set_result, work())
        except BaseException as exc:  # noqa: BLE001 - whoever waits must get any error
            outcome = partial(done.set_exception, exc)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name=_NAME, daemon=True).start()
    return await done


def some_hang() -> bool:
    """Whether such a thread still runs. At the end of the process, Arrow's S3 client would wait for its request."""
    return any(thread.name == _NAME for thread in threading.enumerate())
