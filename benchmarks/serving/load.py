"""Runs a closed loop of HTTP requests: each connection has one request in flight.

python -m benchmarks.serving.load PORT REQUEST.bin CONNECTIONS SECONDS
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import cast

import uvloop

from benchmarks.serving.replies import Replies

WARM_UP = 1.0  # seconds that are not counted
LOST = 0  # counted as status if the connection ended without a reply


class Connection(asyncio.Protocol):
    """Sends the request again as soon as its reply is complete."""

    def __init__(self, request: bytes, begin: float) -> None:
        self._request, self._begin = request, begin
        self._replies = Replies()
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.over = asyncio.get_running_loop().create_future()
        self.stops = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport has its methods but is not a subclass
        self._send()

    def _send(self) -> None:
        self._sent = perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if (reply := self._replies.feed(data)) is None:
            return
        if self._sent >= self._begin:
            self.seconds.append(perf_counter() - self._sent)
            self.statuses[reply.status] += 1
        if self.stops:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio passes it
        if not self.stops:
            self.statuses[LOST] += 1
        if not self.over.done():
            self.over.set_result(None)


async def closed_loop(port: int, request: bytes, connections: int, seconds: float) -> dict[str, object]:
    """Requests per second and latencies in seconds, for requests sent after the warm-up."""
    loop = asyncio.get_running_loop()
    begin = perf_counter() + WARM_UP
    all_connections = [Connection(request, begin) for _ in range(connections)]
    for one in all_connections:
        await loop.create_connection(lambda one=one: one, "127.0.0.1", port)  # type: ignore[misc]  # bound at once
    await asyncio.sleep(WARM_UP + seconds)
    took = perf_counter() - begin
    for one in all_connections:
        one.stops = True
    await asyncio.wait_for(asyncio.gather(*(one.over for one in all_connections)), 60)
    taken = [second for one in all_connections for second in one.seconds]
    statuses = sum((one.statuses for one in all_connections), Counter[int]())
    return {"requests_per_second": len(taken) / took, **quantiles(taken), "statuses": counts_by_text(statuses)}


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest, p100."""
    ordered = sorted(seconds)
    return {f"p{q}": quantile(ordered, q / 100) for q in (50, 95, 99, 100)}


def quantile(ordered: Sequence[float], q: float) -> float:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")


def counts_by_text(statuses: Counter[int]) -> dict[str, int]:
    """Counts by status, with text keys for JSON."""
    return {str(status): count for status, count in sorted(statuses.items())}


def print_result(found: dict[str, object]) -> None:
    """Print the result as the last line."""
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    port, request, connections, seconds = sys.argv[1:]
    print_result(uvloop.run(closed_loop(int(port), Path(request).read_bytes(), int(connections), float(seconds))))
