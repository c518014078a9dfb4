"""Runs an open loop of HTTP requests: each is sent at its scheduled time, whether or not earlier ones are answered.

    python -m benchmarks.serving.open_loop PORT REQUEST.bin CONNECTIONS RATE SECONDS poisson|even

Latency counts from the scheduled time. A server that stalls therefore gets as many requests, and every wait counts.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np
import uvloop

from benchmarks.serving.load import LOST, WARM_UP, counts_by_text, print_result, quantiles
from benchmarks.serving.replies import Replies

DRAIN_TIMEOUT = 30.0  # seconds to wait for replies after the last scheduled request


def poisson(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Times from 0 to the end, on average `rate` per second, with independent exponential gaps."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(2 * rate * seconds) + 100)
    moments = np.cumsum(gaps)
    return [float(moment) for moment in moments[moments < seconds]]


def even(rate: float, seconds: float) -> list[float]:
    """Times 1 / rate apart."""
    return [i / rate for i in range(int(rate * seconds))]


class Connection(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._replies = pool, Replies()
        self._due: float | None = None  # scheduled time of the request in flight
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._is_open = cast(asyncio.Transport, transport), True
        self._pool.free(self)

    def send(self, due: float) -> bool:
        """Send a request; returns whether it could be sent."""
        if not self._is_open or self._transport.is_closing():
            return False
        self._due = due
        self._transport.write(self._pool.request)
        return True

    def data_received(self, data: bytes) -> None:
        reply = self._replies.feed(data)
        if reply is None or self._due is None:
            return
        due, self._due = self._due, None
        self._pool.answered(due, reply.status)
        if reply.is_last:
            self._transport.abort()  # drops the rest of the request that is not sent yet
        else:
            self._pool.free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio passes it
        self._is_open = False
        self._pool.closed(self._due)


class Pool:
    """Free connections, and requests that wait for one."""

    def __init__(self, port: int, request: bytes) -> None:
        self.request = request
        self._port = port
        self._free: list[Connection] = []
        self._waiting: deque[float] = deque()
        self._connecting: set[asyncio.Task[Any]] = set()
        self.is_over = False
        self.late: list[float] = []  # seconds from scheduled time to sending, if a connection was free
        self.waited = 0  # number of requests without a free connection
        self.answers: list[tuple[float, float, int]] = []  # scheduled, answered, status
        self.under_way = 0

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Connection(self), "127.0.0.1", self._port)

    def due(self, moment: float) -> None:
        """Send a request that is due, or queue it until a connection is free."""
        self.under_way += 1
        while self._free:
            if self._free.pop().send(moment):
                self.late.append(perf_counter() - moment)
                return
        self.waited += 1
        self._waiting.append(moment)

    def free(self, connection: Connection) -> None:
        if self._waiting and connection.send(self._waiting[0]):
            self._waiting.popleft()
        else:
            self._free.append(connection)

    def answered(self, due: float, status: int) -> None:
        self.under_way -= 1
        self.answers.append((due, perf_counter(), status))

    def closed(self, due: float | None) -> None:
        """A connection is closed, by the server or at the end. A new one replaces it."""
        if due is not None:
            self.answered(due, LOST)
        if not self.is_over:
            task = asyncio.get_running_loop().create_task(self.connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)


async def open_loop(port: int, request: bytes, connections: int, moments: Sequence[float]) -> dict[str, Any]:
    """Run the schedule and return the outcome of the requests that were due after the warm-up."""
    pool = Pool(port, request)
    await asyncio.gather(*(pool.connect() for _ in range(connections)))
    begin = perf_counter()
    for moment in moments:
        await _until(begin + moment)
        pool.due(begin + moment)
    last = perf_counter()
    while pool.under_way and perf_counter() < last + DRAIN_TIMEOUT:
        await asyncio.sleep(0.01)
    pool.is_over = True
    return _outcome(pool, begin + WARM_UP, last)


async def _until(moment: float) -> None:
    """Sleep until a time, and yield to the event loop at least once. Timers may be a millisecond late, which adds to
    latencies."""
    await asyncio.sleep(0)
    while (left := moment - perf_counter()) > 0:
        await asyncio.sleep(left)


def _outcome(pool: Pool, begin: float, end: float) -> dict[str, Any]:
    """Counts and latencies by status, the rate of 200s during the load, and how late requests were sent."""
    counted = [(due, done, status) for due, done, status in pool.answers if due >= begin]
    statuses = Counter(status for _, _, status in counted)
    goodput = sum(status == 200 and begin <= done < end for _, done, status in pool.answers) / (end - begin)
    return {
        "statuses": counts_by_text(statuses),
        "seconds": {str(one): quantiles([done - due for due, done, s in counted if s == one]) for one in statuses},
        "offered_per_second": (len(counted) + pool.under_way) / (end - begin),
        "goodput_per_second": goodput,
        "unanswered": pool.under_way,
        "sent_late": quantiles(pool.late),
        "waited_for_a_connection": pool.waited,
    }


SCHEDULES: dict[str, Callable[[float, float], list[float]]] = {"poisson": poisson, "even": even}

if __name__ == "__main__":
    port, request, connections, rate, seconds, schedule = sys.argv[1:]
    moments = SCHEDULES[schedule](float(rate), WARM_UP + float(seconds))
    print_result(uvloop.run(open_loop(int(port), Path(request).read_bytes(), int(connections), moments)))
