"""The load generators of the serving benchmark: schedules, counts, and callers that hang up."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.serving import hang_ups, open_loop
from benchmarks.serving.hang_ups import Case
from benchmarks.serving.load import closed_loop, quantile
from benchmarks.serving.replies import Replies, Reply
from benchmarks.serving.servers import Request

SECONDS = 0.005  # that the server of the closed loop takes
REQUEST = Request(b"abc").wire()

Answer = Callable[[int], Awaitable[bytes | None]]  # of the how many-th whole request; None: the connection is closed


def reply(status: int = 200, body: bytes = b"abc", *headers: bytes) -> bytes:
    fields = b"".join(header + b"\r\n" for header in (b"content-length: %d" % len(body), *headers))
    return b"HTTP/1.1 %d X\r\n%b\r\n%b" % (status, fields, body)


class Tiny:
    """A server with a given reply. It counts complete requests and concurrent requests."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.whole, self.at_once, self.most, self.connections = 0, 0, 0, 0

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"POST /elbo HTTP/1.1\r\n")
                await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                if (said := await self._one()) is None:
                    return
                writer.write(said)
                if b"connection: close" in said:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _one(self) -> bytes | None:
        self.whole += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            return await self._answer(self.whole)
        finally:
            self.at_once -= 1


async def at_once(_: int) -> bytes:
    return reply()


async def after_a_while(_: int) -> bytes:
    await asyncio.sleep(SECONDS)
    return reply(200, b"abc", b"x: y")


async def never(_: int) -> bytes:
    await asyncio.sleep(60)
    return reply()


CHUNKED = b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n6;x\r\na0\r\n\r\n\r\n2\r\nbc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("wire", "want"),
    [
        (reply(), Reply(200, b"abc", False)),
        (reply(429, b"", b"Connection: close"), Reply(429, b"", True)),
        (b"HTTP/1.1 200 X\r\nx: y\r\nContent-Length: 2\r\n\r\nok", Reply(200, b"ok", False)),
        (CHUNKED, Reply(201, b"a0\r\n\r\nbc", False)),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_reply_is_complete_with_its_last_byte_for_any_chunking(wire: bytes, want: Reply, size: int) -> None:
    replies = Replies()
    for _ in range(2):
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        found = [replies.feed(piece) for piece in pieces]
        assert found[-1] == want
        assert found[:-1] == [None] * (len(pieces) - 1)


def test_a_reply_without_a_length_is_refused() -> None:
    with pytest.raises(ValueError, match="neither content-length nor chunked"):
        Replies().feed(b"HTTP/1.0 200 X\r\n\r\nabc")


def test_quantiles_are_observed_values() -> None:
    assert [quantile(range(100), q) for q in (0.5, 0.99, 1.0)] == [50, 99, 99]


def test_a_closed_loop_has_one_request_in_flight_per_connection() -> None:
    async def measure() -> tuple[dict[str, Any], int]:
        server = Tiny(after_a_while)
        async with server as port:
            return await closed_loop(port, REQUEST, 4, 0.5), server.most

    found, most = asyncio.run(measure())
    assert most == 4
    assert set(found["statuses"]) == {"200"}
    assert SECONDS <= found["p50"] <= found["p95"] <= found["p99"]
    assert 0 < found["requests_per_second"] <= 4 / SECONDS
    assert sum(found["statuses"].values()) >= 1


def test_a_closed_loop_counts_connections_that_the_server_closes() -> None:
    async def close(_: int) -> None:
        return None

    async def measure() -> dict[str, Any]:
        async with Tiny(close) as port:
            return await closed_loop(port, REQUEST, 3, 0.1)

    assert asyncio.run(measure())["statuses"] == {"0": 3}


def test_poisson_times_have_the_rate_and_exponential_gaps() -> None:
    moments = open_loop.poisson(1000.0, 20.0)
    gaps = [b - a for a, b in pairwise(moments)]
    assert len(moments) == pytest.approx(20_000, rel=0.03)
    assert moments[-1] < 20.0
    assert statistics.stdev(gaps) == pytest.approx(1e-3, rel=0.05)  # as their mean
    assert sum(gap > 2e-3 for gap in gaps) / len(gaps) == pytest.approx(0.1353, abs=0.01)  # exp(-2)
    assert moments == open_loop.poisson(1000.0, 20.0)
    assert moments != open_loop.poisson(1000.0, 20.0, seed=1)


def test_even_times_have_equal_gaps() -> None:
    assert open_loop.even(50.0, 0.1) == [0.0, 0.02, 0.04, 0.06, 0.08]


@pytest.fixture
def _no_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_loop, "WARM_UP", 0.0)


def _offer(answer: Answer, connections: int, moments: list[float]) -> tuple[dict[str, Any], Tiny]:
    async def measure() -> tuple[dict[str, Any], Tiny]:
        server = Tiny(answer)
        async with server as port:
            return await open_loop.open_loop(port, REQUEST, connections, moments), server

    return asyncio.run(measure())


@pytest.mark.usefixtures("_no_warm_up")
def test_requests_that_wait_for_a_stalled_server_count_from_their_scheduled_time() -> None:
    async def stall(number: int) -> bytes:
        await asyncio.sleep(0.5 if number == 1 else 0)
        return reply()

    found, server = _offer(stall, 1, [i / 100 for i in range(20)])  # all are due within 0.2 s
    assert server.whole == 20
    assert found["statuses"] == {"200": 20}
    assert found["waited_for_a_connection"] == 19
    assert found["seconds"]["200"]["p99"] >= 0.5
    assert found["seconds"]["200"]["p50"] >= 0.3  # though the server took no time for any but the first


@pytest.mark.usefixtures("_no_warm_up")
def test_an_open_loop_sends_without_waiting_for_replies() -> None:
    release = asyncio.Event()

    async def hold(number: int) -> bytes:
        if number == 10:
            release.set()
        await release.wait()
        return reply()

    found, server = _offer(hold, 10, open_loop.even(200.0, 0.05))
    assert server.most == 10
    assert found["statuses"] == {"200": 10}


@pytest.mark.usefixtures("_no_warm_up")
def test_refusals_are_counted_separately_and_closed_connections_are_reopened() -> None:
    async def every_other(number: int) -> bytes:
        return reply() if number % 2 else reply(429, b"full", b"connection: close")

    found, server = _offer(every_other, 2, open_loop.even(200.0, 0.2))
    assert found["statuses"] == {"200": 20, "429": 20}
    assert set(found["seconds"]) == {"200", "429"}
    assert found["unanswered"] == 0
    assert server.connections > 2


@pytest.mark.usefixtures("_no_warm_up")
def test_requests_without_a_reply_are_lost_or_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def close(_: int) -> None:
        return None

    monkeypatch.setattr(open_loop, "DRAIN_TIMEOUT", 0.1)
    assert _offer(close, 2, [0.0, 0.01, 0.02])[0]["statuses"] == {"0": 3}
    found, _ = _offer(never, 2, [0.0, 0.01, 0.02])
    assert (found["statuses"], found["unanswered"]) == ({}, 3)


def test_requests_of_the_warm_up_are_sent_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_loop, "WARM_UP", 0.1)
    found, server = _offer(at_once, 2, [0.0, 0.05, 0.15, 0.2])
    assert server.whole == 4
    assert found["statuses"] == {"200": 2}


def _call(answer: Answer, requests: int, share: float, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, int], Tiny]:
    """Runs callers with a body of 100 bytes; the correct ELBO is 1."""
    monkeypatch.setattr(hang_ups, "SHARE", share)
    case = Case(Request(b"x" * 100).wire(), (1.0,))

    async def measure() -> tuple[dict[str, int], Tiny]:
        server = Tiny(answer)
        async with server as port:
            found = await hang_ups.hang_ups(port, [case], 4, requests)
            assert found.pop("seconds") > 0
            return {name: int(count) for name, count in found.items()}, server

    return asyncio.run(measure())


def test_callers_with_a_rate_wait_until_their_requests_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say(_: int) -> bytes:
        return _elbo(1.0)

    async def measure() -> dict[str, float]:
        async with Tiny(say) as port:
            return await hang_ups.hang_ups(port, [Case(Request(b"x" * 100).wire(), (1.0,))], 4, 21, 100.0)

    monkeypatch.setattr(hang_ups, "SHARE", 0.0)
    found = asyncio.run(measure())
    assert (found["right"], found["seconds"] >= 0.2) == (21, True)


def _elbo(*values: float) -> bytes:
    return reply(200, json.dumps({"elbo": values}).encode())


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (_elbo(1.0), "right"),
        (_elbo(1.5), "wrong"),
        (_elbo(1.0, 1.0), "wrong"),
        (reply(503), "status 503"),
        (None, "lost"),
    ],
)
def test_the_outcome_of_a_request_without_a_hang_up(
    said: bytes | None, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say(_: int) -> bytes | None:
        return said

    assert _call(say, 20, 0.0, monkeypatch)[0] == {outcome: 20}


def test_a_request_without_a_reply_counts_as_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hang_ups, "HUNG_AFTER", 0.1)
    assert _call(never, 5, 0.0, monkeypatch)[0] == {"hung": 5}


def test_hang_ups_happen_at_every_moment_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say(_: int) -> bytes:
        return _elbo(1.0)

    found, server = _call(say, 60, 1.0, monkeypatch)
    assert set(found) == set(hang_ups.MOMENTS)
    assert sum(found.values()) == 60
    assert server.whole == 60 - found["cut in the body"]
    assert server.connections == 60


def test_requests_of_callers_that_do_not_hang_up_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say(_: int) -> bytes:
        return _elbo(1.0)

    found, _ = _call(say, 200, 0.3, monkeypatch)
    cut = sum(found.get(moment, 0) for moment in hang_ups.MOMENTS)
    assert 20 < cut < 120
    assert found["right"] == 200 - cut
    assert len(found) == 4


def test_a_request_with_a_key_sends_it_in_both_ways() -> None:
    request = Request(b"abc", key="vae_secret")
    assert b"\r\nauthorization: Bearer vae_secret\r\n" in request.wire()
    assert request.headers()["authorization"] == "Bearer vae_secret"
    assert b"authorization" not in REQUEST
    assert REQUEST.endswith(b"content-length: 3\r\n\r\nabc")
