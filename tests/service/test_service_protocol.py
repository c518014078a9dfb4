"""What a caller sends outside a body is bounded in bytes, number and time; replies arrive; nothing is left behind."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from tests.talk import SECONDS, App, Served, head, logged, reply, serving, whole_reply
from vaekit_service.connection import refusals
from vaekit_service.connection.head import ConnectionLimits
from vaekit_service.errors import MediaType

pytestmark = pytest.mark.anyio

HEAD, TARGET, FIELDS = ConnectionLimits.head_bytes, ConnectionLimits.target_bytes, ConnectionLimits.fields
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = head(None)
MIB = 2**20


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: Any) -> Any:
    return ("asyncio", {"loop_factory": uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop})


REFUSED = {
    "many fields": (GET + (FIELDS + 1) * b"x: y\r\n" + b"\r\n", 431),
    "a million fields": (GET + MIB * b"x: y\r\n", 431),
    "fields without values": (GET + (FIELDS + 1) * b"x:\r\n" + b"\r\n", 431),
    "a long value": (GET + b"x: " + HEAD * b"y" + b"\r\n\r\n", 431),
    "a value without an end": (GET + b"x: " + 4 * MIB * b"y", 431),
    "a name without an end": (GET + 4 * MIB * b"x", 431),
    "fields that are long together": (GET + 40 * (b"x: " + 1000 * b"y" + b"\r\n") + b"\r\n", 431),
    "empty lines without an end": (MIB * b"\r\n", 431),
    "a long path": (b"GET /" + TARGET * b"a" + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    "a long query": (b"GET /?" + TARGET * b"a" + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    "a path without an end": (b"GET /" + 4 * MIB * b"a", 414),
    "many trailers": (CHUNKED + b"0\r\n" + (FIELDS + 1) * b"x: y\r\n" + b"\r\n", 431),
    "a million trailers": (CHUNKED + b"1\r\na\r\n0\r\n" + MIB * b"x: y\r\n", 431),
    "a trailer without an end": (CHUNKED + b"0\r\nx: " + 4 * MIB * b"y", 431),
    "a chunk extension without an end": (CHUNKED + b"1;" + 4 * MIB * b"x", 431),
    "chunks of one byte": (CHUNKED + 20_000 * b"1\r\na\r\n", 431),
    "a chunk size with zeros in front": (CHUNKED + MIB * b"0" + b"1\r\na\r\n", 431),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GET + b"Host: x\r\n\r\n", 400),
    "a host that is none": (head(0, host="a b"), 400),
    "a host with a path": (head(0, host="a/b"), 400),
    "gzip and chunked": (head(0).replace(b"content-length: 0", b"transfer-encoding: gzip, chunked"), 501),
    "gzip and chunked in two fields": (head(None).replace(b"host", b"transfer-encoding: gzip\r\nhost"), 501),
    "gzip alone": (head(0).replace(b"content-length: 0", b"transfer-encoding: gzip"), 400),
    "chunked twice": (head(0).replace(b"content-length: 0", b"transfer-encoding: chunked, chunked"), 400),
    "chunked before another": (head(0).replace(b"content-length: 0", b"transfer-encoding: chunked, gzip"), 400),
    "chunks in HTTP/1.0": (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "chunks and a length": (head(None, "content-length: 3"), 400),
    "two lengths": (head(1, "content-length: 2"), 400),
    "a length that is none": (head(0).replace(b": 0", b": +1"), 400),
    "a chunk that is none": (CHUNKED + b"zz\r\n", 400),
    "TLS": (bytes.fromhex("16030100f8010000f40303") + b"\r\n\r\n", 400),
    "a request of HTTP/2.0 in text": (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 400),
    "a request of HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "a field that goes on in the next line": (GET + b"a: b\r\n c\r\n\r\n", 400),
    "lines that end in LF alone": (b"GET / HTTP/1.1\nhost: x\n\n", 400),
    "a space before the colon": (head(0).replace(b"content-length:", b"content-length :"), 400),
    "a chunk size beyond 64 bits": (CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n", 400),
    "a chunk longer than its size": (CHUNKED + b"2\r\nokay\r\n0\r\n\r\n", 400),
    "a length among the trailers": (CHUNKED + b"2\r\nok\r\n0\r\ncontent-length: 7\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a tunnel": (b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 400),
    "a path that is not ASCII": ("GET /é HTTP/1.1\r\nhost: x\r\n\r\n".encode(), 400),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_exceeds_a_bound_or_is_not_http_is_refused_with_a_problem(case: str) -> None:
    request, status = REFUSED[case]
    async with serving(App()) as served:
        said = await served.said(request)
        top, _, content = said.partition(b"\r\n\r\n")
        problem = json.loads(content)
        assert (int(top[9:12]), problem["status"]) == (status, status)
        assert b"\r\nconnection: close" in top
        assert b"\r\ncontent-type: application/problem+json" in top
        assert problem["instance"].encode() in top
        await served.settled()
        assert served.refused() == {str(status): 1.0}
        [line] = [line for line in map(json.loads, served.log.getvalue().splitlines()) if line["event"] == "refused"]
        assert (line["status"], line["request_id"]) == (status, problem["instance"])


@pytest.mark.parametrize("case", ["many fields", "a long value", "a long path", "many trailers", "two hosts"])
@pytest.mark.parametrize("size", [7, 1000, 30_000])
async def test_the_verdict_on_a_request_does_not_depend_on_how_it_is_cut(case: str, size: int) -> None:
    request, status = REFUSED[case]
    async with serving(App()) as served:
        reader, writer = await served.open()
        for at in range(0, len(request), size):
            writer.write(request[at : at + size])
            await asyncio.sleep(0)
        assert (await reply(reader))[0] == status
        writer.close()


async def test_what_is_just_within_the_bounds_is_answered() -> None:
    within = [
        GET + (FIELDS - 1) * b"x: y\r\n" + b"\r\n",
        GET + b"x: " + (HEAD - 100) * b"y" + b"\r\n\r\n",
        b"GET /" + (TARGET - 1) * b"a" + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost:\r\n\r\n",
        head(0, host="[::1]:80"),
        head(0, host="a_b.example:8000"),
        head(0, host="127.0.0.1:8000"),
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
    ]
    async with serving(App()) as served:
        reader, writer = await served.open()
        for request in within:
            writer.write(request)
            assert (await reply(reader)) == (200, b"")
        assert await served.said(b"GET / HTTP/1.0\r\n\r\n") != b""
        writer.close()


async def test_trailers_are_dropped_and_chunk_extensions_ignored() -> None:
    seen: list[Any] = []

    class Watching(App):
        async def raising(self, scope: Any, receive: Any, send: Any) -> None:
            await super().raising(scope, receive, send)
            seen.append(dict(scope["headers"]))

    async with serving(Watching()) as served:
        reader, writer = await served.open()
        for _ in range(2):
            writer.write(CHUNKED + b"2;a=b\r\nok\r\n0\r\ncontent-type: text/html\r\nx: y\r\n\r\n")
            assert await reply(reader) == (200, b"ok")
        writer.close()
    assert seen == 2 * [{b"host": b"x", b"transfer-encoding": b"chunked"}]


async def test_a_body_in_small_chunks_is_read() -> None:
    async with serving(App()) as served:
        reader, writer = await served.open()
        writer.write(CHUNKED + 50_000 * b"8\r\nabcdefgh\r\n" + b"0\r\n\r\n")
        assert await reply(reader) == (200, 50_000 * b"abcdefgh")
        writer.write(CHUNKED + 2_000 * b"1\r\na\r\n" + b"0\r\n\r\n")
        assert await reply(reader) == (200, 2_000 * b"a")


async def test_empty_lines_do_not_keep_an_idle_connection_open() -> None:
    async with serving(App(), keep_alive=1) as served:
        reader, writer = await served.open()
        writer.write(head(2) + b"ok")
        assert await reply(reader) == (200, b"ok")
        while served.server.server_state.connections:
            writer.write(b"\r\n")
            await asyncio.sleep(0.05)


async def test_after_the_rest_of_an_unread_body_the_idle_connection_is_closed_in_its_time() -> None:
    async with serving(refusing(), keep_alive=1) as served:
        reader, writer = await served.open()
        writer.write(head(1000))
        assert b"connection" not in (await whole_reply(reader))[1]
        writer.write(1000 * b"a")
        await served.settled()


async def test_a_connection_that_stays_silent_is_closed() -> None:
    async with serving(App(), head_seconds=0.05) as served:
        reader, _ = await served.open()
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        assert served.refused() == {}


@pytest.mark.parametrize("drip", [b"a: b\r\n", b"x"])
@pytest.mark.parametrize("before", [b"", head(2) + b"ok"])
async def test_a_head_that_trickles_is_ended_by_its_deadline(drip: bytes, before: bytes) -> None:
    async with serving(App(), head_seconds=0.3) as served:
        reader, writer = await served.open()
        writer.write(before)
        if before:
            assert await reply(reader) == (200, b"ok")
        writer.write(GET)
        answer = asyncio.create_task(whole_reply(reader))
        while not answer.done():
            writer.write(drip)
            await asyncio.sleep(0.02)
        assert answer.result()[0] == 408
        writer.close()


async def test_empty_lines_do_not_put_off_the_deadline_of_a_first_head() -> None:
    async with serving(App(), head_seconds=0.3) as served:
        reader, writer = await served.open()
        await served.settled(1)
        while served.server.server_state.connections:
            writer.write(b"\r\n")
            await asyncio.sleep(0.02)
        with suppress(ConnectionError):
            assert await reader.read() == b""


async def test_a_pause_between_two_requests_is_no_trickling() -> None:
    async with serving(App(), head_seconds=0.1) as served:
        reader, writer = await served.open()
        for _ in range(2):
            writer.write(head(2) + b"ok")
            assert await reply(reader) == (200, b"ok")
            await asyncio.sleep(0.3)
        writer.close()


async def test_connections_beyond_the_cap_are_answered_503_and_counted() -> None:
    async with serving(App(), connections=2, spare=1) as served:
        kept = [await served.open() for _ in range(2)]
        await served.settled(2)
        said = await served.said(head(2) + b"ok", end=True)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in said
        assert b"2 connections are open" in said
        await served.settled(2)
        third, writer = await served.open()
        assert (await reply(third))[0] == 503
        fourth, _ = await served.open()  # beyond the spare one: closed at once
        assert (await reply(fourth))[0] == 503
        assert await asyncio.wait_for(fourth.read(), SECONDS) == b""
        writer.close()
        for reader, one in kept:
            one.write(head(2) + b"ok")
            assert await reply(reader) == (200, b"ok")
        kept[0][1].close()
        await served.settled(1)
        reader, writer = await served.open()
        writer.write(head(2) + b"ok")
        assert await reply(reader) == (200, b"ok")
        assert served.refused() == {"503": 3.0}
        assert '"event":"connections refused"' in served.log.getvalue()
        kept[1][1].close()
        writer.close()


async def test_all_refused_connections_of_a_burst_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "PAUSE", 0.05)
    async with serving(App(), connections=1, spare=1) as served:
        await served.open()
        await served.settled(1)
        for _ in range(7):
            await served.said(b"", end=True)
        async with asyncio.timeout(SECONDS):
            while sum(counts := refused_connections(served)) < 7:
                await asyncio.sleep(0.01)
        assert counts[0] == 1  # the first one at once
        await asyncio.sleep(0.1)
        assert refused_connections(served) == counts


def refused_connections(served: Served) -> list[int]:
    """The numbers in the log's lines on refused connections."""
    lines = map(json.loads, served.log.getvalue().splitlines())
    return [line["count"] for line in lines if line["event"] == "connections refused"]


async def test_a_connection_beyond_the_cap_is_cut_off_when_it_does_not_leave() -> None:
    async with serving(App(), connections=1, full_seconds=0.05) as served:
        _, writer = await served.open()
        await served.settled(1)
        await served.open()
        await served.settled(2)
        await served.settled(1)
        writer.close()


async def refuse(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  as ASGI has it
    raise MediaType("text/plain")


def refusing() -> Any:
    return logged(refuse, App().memory)
