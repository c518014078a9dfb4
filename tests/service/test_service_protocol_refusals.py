"""Refused bodies are drained, and any bytes on a connection are answered in HTTP."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.test_service_protocol import CHUNKED, GET, MIB, refusing
from tests.service.test_service_protocol_upgrades import UPGRADES
from tests.talk import SECONDS, App, head, reply, say, serving, whole_reply
from vaekit_service.connection.protocol import LimitedProtocol

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: Any) -> Any:
    return ("asyncio", {"loop_factory": uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop})


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
@settings(max_examples=20)
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
@settings(max_examples=30)
def test_any_bytes_are_answered_in_http_or_wait_for_more(noise: bytes, before: bytes) -> None:
    async def talk() -> None:
        async with serving(App(), head_seconds=0.05) as served:
            said = await served.said(before + noise, end=True)
            assert said == b"" or said.startswith(b"HTTP/1.1 ")
            await served.settled()

    uvloop.run(talk())
