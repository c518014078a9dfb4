"""Runs a closed loop of HTTP requests that opens new connections when the server closes them, as good clients do.

python -m benchmarks.chaos.reconnecting PORT REQUEST.bin CONNECTIONS SECONDS STOP

It ends after SECONDS, or as soon as there is a file STOP.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import uvloop

from benchmarks.serving.load import LOST, counts_by_text, print_result, quantiles
from benchmarks.serving.replies import Replies

RETRY_SECONDS = 0.005  # after a connection was refused
POLL_SECONDS = 0.05  # between two looks for the file STOP
ANSWER_SECONDS = 30.0  # until a request counts as lost


class Caller:
    """One caller: sends the request again as soon as it was answered, on the same connection if that stays open."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port, self._request = port, request
        self.stops = False
        self.statuses: Counter[int] = Counter()  # LOST: sent on an open connection, and not answered
        self.refused = 0  # connections that were not accepted; no request was sent
        self.seconds: list[float] = []  # of the answered requests
        self.answered: list[float] = []  # when they were answered

    async def run(self) -> None:
        while not self.stops:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                await self._use(reader, writer)
            finally:
                writer.close()

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send requests on one connection until it ends."""
        replies = Replies()
        while not self.stops:
            start = perf_counter()
            writer.write(self._request)
            reply = None
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    while reply is None and (data := await reader.read(65536)):
                        reply = replies.feed(data)
            except (OSError, TimeoutError):
                reply = None
            self.statuses[LOST if reply is None else reply.status] += 1
            if reply is None:
                return
            self.answered.append(perf_counter())
            self.seconds.append(self.answered[-1] - start)
            if reply.is_last:
                return


async def reconnecting_loop(
    port: int, request: bytes, connections: int, seconds: float, stop: Path
) -> dict[str, object]:
    """Counts of requests by status, of refused connections, latencies, and the longest time without any answer."""
    callers = [Caller(port, request) for _ in range(connections)]
    running = asyncio.gather(*(caller.run() for caller in callers))
    end = perf_counter() + seconds
    while perf_counter() < end and not stop.exists():
        await asyncio.sleep(POLL_SECONDS)
    for caller in callers:
        caller.stops = True
    await running
    statuses = sum((caller.statuses for caller in callers), Counter[int]())
    answered = sorted(moment for caller in callers for moment in caller.answered)
    gaps = [after - before for before, after in pairwise(answered)]
    return {
        "statuses": counts_by_text(statuses),
        "refused": sum(caller.refused for caller in callers),
        "longest_gap": max(gaps, default=seconds),
        **quantiles([second for caller in callers for second in caller.seconds]),
    }


if __name__ == "__main__":
    port, request, connections, seconds, stop = sys.argv[1:]
    loop = reconnecting_loop(int(port), Path(request).read_bytes(), int(connections), float(seconds), Path(stop))
    print_result(uvloop.run(loop))
