"""Callers that send what HTTP bounds nowhere, to a server on this machine; bounded in bytes, connections and time.

python -m benchmarks.serving.attacks PORT ATTACK SECONDS
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import repeat
from time import perf_counter

import uvloop

from benchmarks.serving.load import print_result

FLOOD = 16 * 2**20  # bytes that one connection sends at most; servers without limits keep a hundred times as much
PIECE = 64 * 1024
TRICKLING = 500  # connections at once
PAUSE = 1.0  # seconds between two bytes of one of them
REFUSED = b"a" * 4_800_000
HEAD = b"POST /elbo HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = HEAD + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"

FLOODS: dict[str, tuple[bytes, bytes]] = {  # how it begins, and what then repeats
    "header lines": (HEAD, b"x: y\r\n"),
    "trailers": (CHUNKED, b"x: y\r\n"),
    "one header value": (HEAD + b"x: ", b"y"),
    "one path": (b"GET /", b"y"),
}
PROBES: dict[str, bytes] = {  # one request each, of which the statuses of the replies are told
    "no host": b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
    "gzip, chunked": HEAD + b"transfer-encoding: gzip, chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
    "upgrade to h2c": b"POST /models/nobody/elbo HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
    b"content-length: 2\r\n\r\n{}GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "4.8 MB refused": HEAD + b"content-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(REFUSED) + REFUSED,
}


async def _flood(port: int, begin: bytes, unit: bytes) -> int:
    """Send up to FLOOD bytes on one connection; return how many were taken."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    sent, piece = 0, unit * (PIECE // len(unit))
    with suppress(ConnectionError):
        writer.write(begin)
        while sent < FLOOD and not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
    writer.transport.abort()
    return sent


async def _trickle(port: int) -> int:
    """Hold one connection open with a byte now and then, until the server closes it; return 1."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    closed = asyncio.create_task(reader.read())
    try:
        writer.write(HEAD)
        while not closed.done():
            writer.write(b"x")
            await asyncio.wait([closed], timeout=PAUSE)
        closed.exception()  # a reset is an end too
    finally:
        closed.cancel()
        writer.transport.abort()
    return 1


async def _refused(port: int) -> int:
    """Send a body of a type that is not read, and take the reply; return 1."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        writer.write(PROBES["4.8 MB refused"])
        await writer.drain()
        await reader.readline()
    writer.transport.abort()
    return 1


def _attack(name: str, port: int) -> Iterator[Callable[[], Awaitable[int]]]:
    if name in FLOODS:
        return repeat(lambda: _flood(port, *FLOODS[name]), 4)
    if name == "trickle":
        return repeat(lambda: _trickle(port), TRICKLING)
    return repeat(lambda: _refused(port), 4)


ATTACKS = (*FLOODS, "trickle", "refused bodies")


async def attack(port: int, name: str, seconds: float) -> dict[str, float]:
    """What was sent in so many seconds by all connections of an attack."""
    end, total = perf_counter() + seconds, 0

    async def again(one: Callable[[], Awaitable[int]]) -> None:
        nonlocal total
        while perf_counter() < end:
            with suppress(OSError):
                total += await one()
            await asyncio.sleep(0.01)

    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*(again(one) for one in _attack(name, port))), seconds + 1)
    return {"sent": total}


async def probe(port: int, request: bytes) -> list[int]:
    """The statuses of all replies on a connection, to its end; 0 stands for a reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said, reset = b"", []
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(5):
            while data := await reader.read(2**16):
                said += data
    except ConnectionError:
        reset = [0]
    except TimeoutError:
        pass
    writer.transport.abort()
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]] + reset


async def probes(port: int) -> dict[str, list[int]]:
    return {name: await probe(port, request) for name, request in PROBES.items()}


if __name__ == "__main__":
    port, name, seconds = sys.argv[1:]
    if name == "probes":
        print_result({**uvloop.run(probes(int(port)))})
    else:
        print_result({**uvloop.run(attack(int(port), name, float(seconds)))})
