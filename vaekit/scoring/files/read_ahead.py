"""Produces the next items of an iterator in a thread, while the caller uses the current one."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Full, Queue
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.1  # seconds between two checks whether the iterator was closed


class _End(Exception):
    """Marks the end of the items in the queue."""


def read_ahead(items: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, up to `depth` of them produced in advance.

    An exception of `items` is raised after the items before it. Closing the generator ends the thread.
    """
    ready: Queue[T | BaseException] = Queue(depth)  # the last entry is _End or the exception of `items`
    stop = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, stop), name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), BaseException):
            yield item
        if not isinstance(item, _End):
            raise item
    finally:
        stop.set()
        thread.join()


def _fill(items: Iterator[T], ready: Queue[T | BaseException], stop: threading.Event) -> None:
    last: BaseException = _End()
    try:
        for item in items:
            _put(ready, item, stop)
            if stop.is_set():
                return
    except BaseException as exc:  # noqa: BLE001  raised again in the consumer
        last = exc
    _put(ready, last, stop)


def _put(ready: Queue[T | BaseException], item: T | BaseException, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            ready.put(item, timeout=POLL_SECONDS)
        except Full:
            continue
        return
