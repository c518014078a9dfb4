"""Callers who send large JSON, do not read large replies, or reset connections; bounded in connections and time.

python -m benchmarks.chaos.hostile_callers PORT CASE SECONDS

Prints the statuses of their replies; 0 stands for a connection that ended without one.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import cast

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.serving.load import LOST, counts_by_text, print_result
from benchmarks.serving.replies import Replies
from benchmarks.serving.servers import Request
from vaekit.client.wire import NPY_TYPE

Caller = Callable[[int, bytes, Counter[int]], Awaitable[None]]

PATH = "/models/digits/elbo"
ROWS, KEYS = 10_000, 300_000
LEAD = 3.0  # seconds from the start of this program to the first request, in which it makes its bodies
PIPELINED = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2


def images() -> bytes:
    """10,000 images of 8 x 8 x 1 pixels as JSON: 4.4 MB."""
    return Request(json.dumps({"inputs": _pixels().tolist()}).encode(), PATH).wire()


def wrong_image() -> bytes:
    """The same with one pixel too many at the end, which is refused."""
    x = _pixels().tolist()
    x[-1][-1].append([0])
    return Request(json.dumps({"inputs": x}).encode(), PATH).wire()


def features() -> bytes:
    """10,000 images as npy, whose reply in JSON has the log-likelihood of each pixel: 14 MB."""
    out = io.BytesIO()
    np.save(out, _pixels())
    return Request(out.getvalue(), f"{PATH}?features=true", NPY_TYPE).wire()


def unknown_keys() -> bytes:
    """One image and 300,000 unknown fields: 4 MB, which is refused."""
    body = {"inputs": _pixels()[:1].tolist(), **{f"key{i}": 1 for i in range(KEYS)}}
    return Request(json.dumps(body).encode(), PATH).wire()


def _pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (ROWS, 8, 8, 1), dtype=np.uint8)


class Asking(asyncio.Protocol):
    """Sends a request again and again, each time once the reply has been read."""

    def __init__(self, request: bytes, statuses: Counter[int], *, reads: bool = True) -> None:
        self._request, self._statuses, self._reads = request, statuses, reads
        self._replies = Replies()
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)
        if not self._reads:
            asyncio.get_running_loop().call_soon(self.transport.pause_reading)  # uvloop begins to read after this call

    def data_received(self, data: bytes) -> None:
        if (reply := self._replies.feed(data)) is not None:
            self._statuses[reply.status] += 1
            if reply.is_last:
                self.transport.abort()
            else:
                self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio passes it
        if not self.over.done():
            self.over.set_result(None)


async def ask(port: int, request: bytes, statuses: Counter[int], *, reads: bool = True) -> None:
    """Send the request on one connection until that is closed."""
    loop = asyncio.get_running_loop()
    transport, asking = await loop.create_connection(lambda: Asking(request, statuses, reads=reads), "127.0.0.1", port)
    try:
        await asking.over
        statuses[LOST] += 1
    finally:
        transport.abort()


async def reset(port: int, request: bytes, statuses: Counter[int]) -> None:
    """Send, and reset the connection without waiting for a reply."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.transport.abort()
    statuses[LOST] += 1


CASES: dict[str, tuple[int, Callable[[], bytes], Caller]] = {  # connections, what each sends, and how
    "images": (16, images, ask),
    "wrong images": (16, wrong_image, ask),
    "unread replies": (40, features, partial(ask, reads=False)),
    "unknown keys": (4, unknown_keys, ask),
    "resets": (50, lambda: PIPELINED, reset),
}


async def attack(port: int, case: str, seconds: float, lead: float = LEAD) -> dict[str, int]:
    """The statuses of the replies in so many seconds, after `lead`."""
    connections, make, one = CASES[case]
    statuses: Counter[int] = Counter()
    begin = perf_counter() + lead
    request = make()
    await asyncio.sleep(begin - perf_counter())
    end = perf_counter() + seconds

    async def again() -> None:
        while perf_counter() < end:
            with suppress(OSError):
                await one(port, request, statuses)
            await asyncio.sleep(0.05)

    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*(again() for _ in range(connections))), seconds)
    return counts_by_text(statuses)


if __name__ == "__main__":
    port, case, seconds = sys.argv[1:]
    print_result({**uvloop.run(attack(int(port), case, float(seconds)))})
