"""Returns memory that was freed to the operating system."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

MUCH = 4 * 2**20  # bytes
PAUSE = 5.0  # seconds between two returns, each of which takes some milliseconds


def release_freed_memory() -> None:
    """Return freed memory to the operating system; glibc does not do so by itself."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)


class FreedMemory:
    """Returns memory in a thread, a while after much of it was freed. Use it in the event loop.

    Args:
        pool: runs `release`.
        release: returns memory.
        pause: seconds after which it is called.
    """

    def __init__(
        self, pool: Executor, release: Callable[[], None] = release_freed_memory, *, pause: float = PAUSE
    ) -> None:
        self._pool, self._release, self._pause = pool, release, pause
        self._freed = 0  # bytes since the last return
        self._is_due = False

    def freed(self, size: int) -> None:
        """Count freed bytes."""
        self._freed += size
        if self._freed >= MUCH and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(self._pause, self._return)

    def _return(self) -> None:
        self._freed, self._is_due = 0, False
        with suppress(RuntimeError):  # the pool is closed
            self._pool.submit(self._release)
