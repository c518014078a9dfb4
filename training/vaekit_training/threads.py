"""How many threads torch uses, in threads and forks of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

_PROCESS = os.getpid()  # which imported torch
_THREADS = threading.Lock()  # around changes of torch's number of threads
_INSIDE = threading.local()  # `threads`: that number in the innermost block of this thread
_BEFORE: list[int] = []  # that number before the first of the running blocks, once per block


def in_forked_child() -> bool:
    """Whether this process was forked after it had imported torch."""
    return os.getpid() != _PROCESS


def threads_after_fork() -> AbstractContextManager[None]:
    """One thread in a forked child: torch's threads stay with the parent, and a call that waits for them never ends."""
    return cpu_threads(1) if in_forked_child() else nullcontext()


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Context in which torch uses this number of threads.

    The number is the process's default for new threads too. So blocks of several threads that overlap in time all
    restore the number from before the first of them; a block inside another one restores the other's.
    """
    outer: int | None = getattr(_INSIDE, "threads", None)
    with _THREADS:
        _BEFORE.append(_BEFORE[0] if _BEFORE else torch.get_num_threads())
        torch.set_num_threads(threads)
    _INSIDE.threads = threads
    try:
        yield
    finally:
        _INSIDE.threads = outer
        with _THREADS:
            before = _BEFORE.pop()
            torch.set_num_threads(before if outer is None else outer)
