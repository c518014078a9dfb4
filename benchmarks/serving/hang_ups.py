"""Runs a closed loop of callers that sometimes hang up, and reports the outcome of all other requests.

    python -m benchmarks.serving.hang_ups PORT CASES.json CONNECTIONS REQUESTS [RATE]

RATE: requests per second at most; without it each caller sends its next request at once.
CASES.json: [{"request": its bytes as latin-1, "elbo": [numbers]}].
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import uvloop

from benchmarks.serving.arms.graph import agrees
from benchmarks.serving.load import print_result
from benchmarks.serving.replies import END, Replies, Reply

SHARE = 0.1  # of the requests end with a hang-up of the caller
MOMENTS = ("cut in the body", "cut before the reply", "cut in the reply")
MAX_DELAY = 0.02  # seconds; largest delay of a hang-up after the data was sent
HUNG_AFTER = 10.0  # seconds after which a request without a reply counts as hung


@dataclass(frozen=True)
class Case:
    """A request and the ELBO of its rows."""

    request: bytes
    elbo: tuple[float, ...]

    def outcome_of(self, reply: Reply) -> str:
        if reply.status != 200:
            return f"status {reply.status}"
        return "right" if agrees(json.loads(reply.body)["elbo"], self.elbo) else "wrong"


class Caller:
    """One connection, reopened after each hang-up."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self._port, self._rng = port, rng
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, case: Case) -> str:
        """The outcome of one request: right, wrong, its status, hung, lost, or where it was cut."""
        moment = self._rng.choice(MOMENTS) if self._rng.random() < SHARE else None
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.timeout(HUNG_AFTER):
                outcome = await (self._whole(case) if moment is None else self._cut(case, moment))
        except TimeoutError:
            outcome = "hung"
        except ConnectionError:
            outcome = "lost" if moment is None else moment
        if outcome != "right":
            self.close()
        return outcome

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    async def _whole(self, case: Case) -> str:
        assert self._writer is not None
        self._writer.write(case.request)
        replies, reply = Replies(), None
        while reply is None:
            if not (data := await self._reader.read(2**16)):
                return "lost"
            reply = replies.feed(data)
        return case.outcome_of(reply)

    async def _cut(self, case: Case, moment: str) -> str:
        """Send, and read, up to the moment of the hang-up. The caller then closes the connection."""
        assert self._writer is not None
        if moment == "cut in the body":
            body = case.request.index(END) + len(END)
            self._writer.write(case.request[: self._rng.randrange(body, len(case.request))])
            await self._writer.drain()
            await asyncio.sleep(self._rng.uniform(0, MAX_DELAY))
            return moment
        self._writer.write(case.request)
        await self._writer.drain()
        if moment == "cut before the reply":
            await asyncio.sleep(self._rng.uniform(0, MAX_DELAY))
        else:
            await self._reader.read(1)
        return moment


async def hang_ups(
    port: int, cases: list[Case], connections: int, requests: int, rate: float = math.inf
) -> dict[str, float]:
    """The number of requests by outcome, and the `seconds` that all took."""
    left, found, begin = _due(requests, rate), Counter[str](), perf_counter()
    await asyncio.gather(
        *(_call_repeatedly(Caller(port, random.Random(i)), cases, left, found) for i in range(connections))
    )
    return {**found, "seconds": perf_counter() - begin}


def _due(requests: int, rate: float) -> Iterator[tuple[int, float]]:
    """The number of each request, and the time at which it is due."""
    begin = perf_counter()
    return ((i, begin + i / rate) for i in range(requests))


async def _call_repeatedly(
    caller: Caller, cases: list[Case], left: Iterator[tuple[int, float]], found: Counter[str]
) -> None:
    for i, due in left:
        if (wait := due - perf_counter()) > 0:
            await asyncio.sleep(wait)
        found[await caller.call(cases[i % len(cases)])] += 1
    caller.close()


if __name__ == "__main__":
    port, source, connections, requests, *rate = sys.argv[1:]
    cases = [Case(one["request"].encode("latin-1"), tuple(one["elbo"])) for one in json.loads(Path(source).read_text())]
    print_result({**uvloop.run(hang_ups(int(port), cases, int(connections), int(requests), *map(float, rate)))})
