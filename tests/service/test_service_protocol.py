"""What a caller sends outside a body is bounded in bytes, number and time; replies arrive; nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import weakref
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.talk import SECONDS, App, Served, head, logged, reply, say, serving, whole_reply
from vaekit_service.errors import MediaType
from vaekit_service.http import refusals
from vaekit_service.http.head import ConnectionLimits
from vaekit_service.http.protocol import MAX_PIPELINED, LimitedProtocol

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
        assert '"event": "connections refused"' in served.log.getvalue()
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


UPGRADES = {
    "h2c": ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    "websocket": ("connection: upgrade", "upgrade: websocket", "sec-websocket-key: x", "sec-websocket-version: 13"),
    "unknown": ("upgrade: foo/2", "connection: keep-alive, upgrade"),
}


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("waits", [False, True])
async def test_a_request_for_an_upgrade_is_ignored_and_its_body_read(upgrade: str, waits: bool) -> None:
    body = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\nx: y\r\n\r\n" % (len(body), body)
    async with serving(App()) as served:
        reader, writer = await served.open()
        for request, sent, want in [
            (head(len(body), *UPGRADES[upgrade]), body, body),
            (head(None, *UPGRADES[upgrade]), chunks, body),
            (head(0, *UPGRADES[upgrade]), b"", b""),
            (GET + "\r\n".join([*UPGRADES[upgrade], "", ""]).encode(), b"", b""),
            (head(2), b"ok", b"ok"),
        ]:
            writer.write(request if waits else request + sent)
            await asyncio.sleep(0.02)
            if waits:
                writer.write(sent)
            assert await reply(reader) == (200, want)
        writer.close()


async def test_leave_to_send_is_given_beside_an_upgrade() -> None:
    async with serving(App()) as served:
        reader, writer = await served.open()
        writer.write(head(2, "expect: 100-continue", *UPGRADES["h2c"]))
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok" + head(0))
        assert await reply(reader) == (200, b"ok")
        assert await reply(reader) == (200, b"")


async def test_an_upgrade_does_not_undo_connection_close() -> None:
    async with serving(App()) as served:
        said = await served.said(head(2, "connection: upgrade, close", "upgrade: h2c") + b"ok")
        assert said.endswith(b"ok")
        assert b"\r\nconnection: close\r\n" in said


class Slow(App):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def raising(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.set()
        await self.go.wait()
        await super().raising(scope, receive, send)


async def test_a_caller_that_resets_after_requests_sent_ahead_leaves_a_line_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, log = Slow(), io.StringIO()
    with caplog.at_level(logging.DEBUG, "uvicorn.error"), caplog.at_level(logging.DEBUG, "asyncio"):
        async with serving(logged(app.raising, app.memory, log)) as served:
            for _ in range(5):
                app.begun.clear()
                app.go.clear()
                _, writer = await served.open()
                writer.write(2 * (head(2) + b"ok"))
                await asyncio.wait_for(app.begun.wait(), SECONDS)
                writer.transport.abort()
                await asyncio.sleep(0.02)
                app.go.set()
                await served.settled()
                while served.server.server_state.tasks:
                    await asyncio.sleep(0.005)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {line["event"] for line in lines} == {"request"}
    assert {line["status"] for line in lines} <= {200, 499}  # 200: written before the reset was seen
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_bad_request_is_refused_after_the_replies_to_those_before_it() -> None:
    app = Slow()
    async with serving(app) as served:
        reader, writer = await served.open()
        writer.write(head(2) + b"ok" + head(1) + b"a" + b"GET / HTTP/1.1\r\n\r\n" + head(0))
        await asyncio.wait_for(app.begun.wait(), SECONDS)
        app.go.set()
        assert await reply(reader) == (200, b"ok")
        assert await reply(reader) == (200, b"a")
        assert (await reply(reader))[0] == 400
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.close()


async def test_requests_sent_ahead_are_bounded_in_number() -> None:
    app = Slow()
    async with serving(app) as served:
        reader, writer = await served.open()
        writer.write((MAX_PIPELINED + 500) * head(0))
        await asyncio.wait_for(app.begun.wait(), SECONDS)
        app.go.set()
        answers = [(await reply(reader))[0] for _ in range(MAX_PIPELINED + 2)]
        assert answers == [200] * (MAX_PIPELINED + 1) + [400]
        writer.close()


async def test_a_body_that_turns_bad_while_it_is_read_is_refused_and_its_route_ended() -> None:
    app = App()
    async with serving(app) as served:
        reader, writer = await served.open()
        writer.write(CHUNKED + b"2\r\nok\r\n")
        await asyncio.wait_for(app.begun.wait(), SECONDS)
        writer.write(b"zz\r\n")
        assert (await reply(reader))[0] == 400
        writer.close()
        await served.settled()
    assert [type(error).__name__ for error in app.errors] == ["Disconnected"]


async def refuse(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  as ASGI has it
    raise MediaType("text/plain")


def refusing() -> Any:
    return logged(refuse, App().memory)


@pytest.mark.parametrize("size", [1, 5_000, 4_800_000, 30_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_refusal_arrives_whole_however_much_of_the_body_is_unread(size: int, chunked: bool) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, size * b"a") if chunked else size * b"a"
    async with serving(refusing()) as served:
        reader, writer = await served.open()
        writer.write(head(None if chunked else size) + body)
        await writer.drain()
        status, _, content = await whole_reply(reader)
        assert (status, json.loads(content)["status"]) == (415, 415)
        writer.close()
        await served.settled()


@pytest.mark.parametrize("size", [2 * MIB, None])
async def test_the_bytes_of_an_unread_body_are_bounded(size: int | None) -> None:
    async with serving(refusing(), unread_bytes=MIB) as served:
        reader, writer = await served.open()
        writer.write(head(None if size is None else 10 * size))
        assert (await whole_reply(reader))[1][b"connection"] == b"close"
        with suppress(ConnectionError):
            for _ in range(1000):
                writer.write(100_000 * b"a")
                await writer.drain()
        await served.settled()


@pytest.mark.parametrize("size", [1000, 2 * MIB])
async def test_the_time_of_an_unread_body_is_bounded(size: int) -> None:
    async with serving(refusing(), unread_seconds=0.2) as served:
        reader, writer = await served.open()
        writer.write(head(size))
        assert (await whole_reply(reader))[0] == 415
        while served.server.server_state.connections:
            writer.write(b"a")
            await asyncio.sleep(0.02)
        writer.close()


async def test_a_refused_caller_that_waits_for_leave_to_send_may_send_its_next_request() -> None:
    async with serving(refusing()) as served:
        reader, writer = await served.open()
        writer.write(head(100, "expect: 100-continue"))
        assert (await whole_reply(reader))[1][b"connection"] == b"close"  # else it would be read as the body
        writer.close()


async def test_a_bad_chunk_after_the_reply_says_nothing_more() -> None:
    async def at_once(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  as ASGI has it
        await say(send, 200, b"ok")

    async with serving(at_once) as served:
        reader, writer = await served.open()
        writer.write(CHUNKED)
        assert await reply(reader) == (200, b"ok")
        writer.write(b"zz\r\n")
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.close()


@pytest.mark.parametrize("ends", [GET, GET + 50 * b"x: y\r\n", head(100) + b"a", CHUNKED + b"0\r\nx: y\r\n", head(0)])
async def test_a_closed_connection_leaves_nothing(ends: bytes) -> None:
    made: list[weakref.ref[Any]] = []

    class Noted(LimitedProtocol):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            made.append(weakref.ref(self))

    async with serving(App(), kind=Noted) as served:
        gc.disable()
        try:
            for _ in range(3):
                _, writer = await served.open()
                writer.write(ends)
                await served.settled(1)
                await asyncio.sleep(0.05)
                writer.transport.abort()
                await served.settled()
                while served.server.server_state.tasks:
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            assert [one() for one in made if one() is not None] == []
        finally:
            gc.enable()


REQUESTS: list[tuple[bytes, bytes]] = [
    (head(2) + b"ok", b"ok"),
    (GET + b"\r\n", b""),
    (CHUNKED + b"2\r\nok\r\n3\r\nyes\r\n0\r\nx: y\r\n\r\n", b"okyes"),
    (head(2, *UPGRADES["h2c"]) + b"ok", b"ok"),
    (head(None, *UPGRADES["websocket"]) + b"2\r\nok\r\n0\r\n\r\n", b"ok"),
    (GET + "\r\n".join([*UPGRADES["websocket"], "", ""]).encode(), b""),
    (head(70_000) + 70_000 * b"a", 70_000 * b"a"),
]


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6), st.data())
@settings(max_examples=20, deadline=None)
def test_requests_of_all_kinds_cut_anywhere_are_answered_alike(requests: list[tuple[bytes, bytes]], data: Any) -> None:
    stream = b"".join(request for request, _ in requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))

    async def talk() -> None:
        async with serving(App()) as served:
            reader, writer = await served.open()
            for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                writer.write(stream[a:b])
                await asyncio.sleep(0)
            for _, want in requests:
                assert await reply(reader) == (200, want)
            writer.close()

    uvloop.run(talk())


@given(st.binary(max_size=300), st.sampled_from([b"", GET, CHUNKED, head(2)]))
@settings(max_examples=30, deadline=None)
def test_any_bytes_are_answered_in_http_or_wait_for_more(noise: bytes, before: bytes) -> None:
    async def talk() -> None:
        async with serving(App(), head_seconds=0.05) as served:
            said = await served.said(before + noise, end=True)
            assert said == b"" or said.startswith(b"HTTP/1.1 ")
            await served.settled()

    uvloop.run(talk())
