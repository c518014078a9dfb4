"""A closed loop of HTTP requests: so many connections, each with one request under way. Knows bytes, not meanings.

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

WARM_UP = 1.0  # seconds that are not counted


class Connection(asyncio.Protocol):
    """Sends the request again as soon as its reply is whole."""

    def __init__(self, request: bytes, begin: float) -> None:
        self._request, self._begin = request, begin
        self._buffer, self._missing = bytearray(), -1
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.over = asyncio.get_running_loop().create_future()
        self.stops = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has its methods, and another ancestry
        self._send()

    def _send(self) -> None:
        self._sent = perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._missing < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            self._status = int(head[9:12])
            at = head.index(b"content-length:") + 15
            self._missing = end + 4 + int(head[at : head.find(b"\r\n", at) % (len(head) + 1)])
        if len(self._buffer) >= self._missing:
            self._done()

    def _done(self) -> None:
        now = perf_counter()
        if self._sent >= self._begin:
            self.seconds.append(now - self._sent)
            self.statuses[self._status] += 1
        self._buffer.clear()
        self._missing = -1
        if self.stops:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio gives it
        if not self.over.done():
            self.over.set_result(None)


async def closed_loop(port: int, request: bytes, connections: int, seconds: float) -> dict[str, object]:
    """Requests a second and latencies, in seconds, of requests that began within the time."""
    loop = asyncio.get_running_loop()
    begin = perf_counter() + WARM_UP
    all_of_them = [Connection(request, begin) for _ in range(connections)]
    for one in all_of_them:
        await loop.create_connection(lambda one=one: one, "127.0.0.1", port)  # type: ignore[misc]  # bound at once
    await asyncio.sleep(WARM_UP + seconds)
    took = perf_counter() - begin
    for one in all_of_them:
        one.stops = True
    await asyncio.wait_for(asyncio.gather(*(one.over for one in all_of_them)), 60)
    taken = sorted(second for one in all_of_them for second in one.seconds)
    statuses = sum((one.statuses for one in all_of_them), Counter[int]())
    return {
        "requests_per_second": len(taken) / took,
        **{f"p{q}": quantile(taken, q / 100) for q in (50, 95, 99)},
        "statuses": {str(status): count for status, count in statuses.items()},
    }


def quantile(ordered: Sequence[float], q: float) -> float:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")


if __name__ == "__main__":
    port, request, connections, seconds = sys.argv[1:]
    found = uvloop.run(closed_loop(int(port), Path(request).read_bytes(), int(connections), float(seconds)))
    sys.stdout.write("\n" + json.dumps(found) + "\n")
