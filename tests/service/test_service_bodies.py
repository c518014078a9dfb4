"""Bodies of any size, cut anywhere, come whole to their own request; refused ones do not disturb what follows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.talk import App, Served, head, logged, reply, serving, whole_reply
from vaekit_service.errors import Disconnected, Overloaded
from vaekit_service.http.access_log import MAX_DISCARDED_BYTES, AccessLog

pytestmark = pytest.mark.anyio
LARGE = 256 * 1024


def body(size: int, seed: int = 0) -> bytes:
    pattern = bytes((7 * i + seed) % 251 for i in range(251))
    return (pattern * (size // 251 + 1))[:size]


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: Any) -> Any:
    """Both event loops: their transports change protocols each in its own way."""
    return ("asyncio", {"loop_factory": uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop})


SIZES = [0, 1, LARGE, LARGE + 1, 3 * LARGE + 17, 20 * LARGE]


async def test_bodies_of_any_size_come_whole_on_one_connection() -> None:
    app = App()
    async with serving(app) as served:
        reader, writer = await served.open()
        for size in [*SIZES, *reversed(SIZES)]:
            writer.write(head(size) + body(size))
            assert await reply(reader) == (200, body(size))
        writer.close()
    assert app.memory.held == 0


async def test_what_is_sent_ahead_is_answered_in_its_turn() -> None:
    app = App()
    async with serving(app) as served:
        reader, writer = await served.open()
        writer.write(b"".join(head(size) + body(size, size) for size in SIZES))
        for size in SIZES:
            assert await reply(reader) == (200, body(size, size))
        writer.close()


async def test_a_body_that_comes_in_dribs_comes_whole() -> None:
    app, size = App(), 2 * LARGE
    async with serving(app) as served:
        reader, writer = await served.open()
        whole = head(size) + body(size)
        for cut in (10, 70, 100, 1000, LARGE, LARGE + 1, 2 * LARGE):
            part, whole = whole[:cut], whole[cut:]
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(whole)
        assert await reply(reader) == (200, body(size))
        writer.close()


async def test_a_caller_who_waits_for_leave_to_send_gets_it() -> None:
    app, size = App(), 2 * LARGE
    async with serving(app) as served:
        reader, writer = await served.open()
        writer.write(head(size, "expect: 100-continue"))
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body(size))
        assert await reply(reader) == (200, body(size))
        writer.close()


async def test_a_body_of_unsaid_length_takes_the_common_way() -> None:
    app = App()
    async with serving(app) as served:
        reader, writer = await served.open()
        part = body(LARGE)
        chunk = b"%x\r\n" % len(part) + part + b"\r\n"
        writer.write(head(None) + 3 * chunk + b"0\r\n\r\n")
        assert await reply(reader) == (200, 3 * part)
        writer.close()


async def half_sent(app: App, served: Served) -> asyncio.StreamWriter:
    """A connection on which half of a large body was sent, and its reading has begun."""
    _, writer = await served.open()
    writer.write(head(4 * LARGE) + body(2 * LARGE))
    await asyncio.wait_for(app.begun.wait(), 20)
    return writer


async def test_a_caller_who_hangs_up_in_the_middle_is_gone_at_once() -> None:
    app = App()
    async with serving(app) as served:
        writer = await half_sent(app, served)
        writer.transport.abort()
        while not app.errors:
            await asyncio.sleep(0.005)
    assert isinstance(app.errors[0], Disconnected)
    assert app.memory.held == 0


async def test_a_body_that_outgrows_its_room_is_refused_in_the_middle() -> None:
    app = App(max_inflight_bytes=3 * LARGE)
    async with serving(app) as served:
        with app.memory.reserve() as other:
            other.hold(1)
            said = await served.said(head(8 * LARGE) + body(4 * LARGE), end=True)
            assert said.startswith(b"HTTP/1.1 429")
            assert said.endswith(b"Overloaded")
            assert app.memory.held == 1


async def test_a_task_that_is_ended_in_the_middle_lets_go_of_the_body() -> None:
    app = App()
    async with serving(app) as served:
        writer = await half_sent(app, served)
        for task in asyncio.all_tasks():
            if "run_asgi" in repr(task):
                task.cancel()
        while app.memory.held:
            await asyncio.sleep(0.005)
        writer.close()


@given(st.lists(st.integers(0, 3 * LARGE), min_size=1, max_size=5), st.data())
@settings(max_examples=15)
def test_requests_cut_anywhere_are_answered_each_by_its_own_body(sizes: list[int], data: Any) -> None:
    stream = b"".join(head(size) + body(size, i) for i, size in enumerate(sizes))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))

    async def talk() -> None:
        async with serving(App()) as served:
            reader, writer = await served.open()

            async def send() -> None:
                for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                    writer.write(stream[a:b])
                    await writer.drain()
                    await asyncio.sleep(0)

            sending = asyncio.create_task(send())
            for i, size in enumerate(sizes):
                assert await reply(reader) == (200, body(size, i))
            await sending
            writer.close()

    uvloop.run(talk())


async def refuse(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  as ASGI has it
    raise Overloaded("no room")


def refusing() -> AccessLog:
    return logged(refuse, App().memory)


async def headers(reader: asyncio.StreamReader) -> dict[bytes, bytes]:
    """Those of the next reply, a refusal, whose body is read."""
    status, found, _ = await whole_reply(reader)
    assert status == 429
    return found


@pytest.mark.parametrize("waits", [False, True])
async def test_a_refused_body_is_thrown_away_and_the_connection_stays(waits: bool) -> None:
    sizes = [1, 100, 64 * 1024, LARGE + 1, MAX_DISCARDED_BYTES, 0, 2]
    async with serving(refusing()) as served:
        reader, writer = await served.open()
        for size in sizes:
            writer.write(head(size) + body(size // 2))
            if waits:
                assert b"connection" not in await headers(reader)
            writer.write(body(size - size // 2))
        for _ in [] if waits else sizes:
            assert b"connection" not in await headers(reader)
        writer.close()


@pytest.mark.parametrize("size", [MAX_DISCARDED_BYTES + 1, None])
async def test_a_refused_body_that_may_be_large_ends_the_connection(size: int | None) -> None:
    async with serving(refusing()) as served:
        reader, writer = await served.open()
        writer.write(head(size))
        assert (await headers(reader))[b"connection"] == b"close"
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_a_body_that_is_refused_while_it_comes_is_thrown_away_as_well() -> None:
    app = App(max_inflight_bytes=3 * LARGE)
    async with serving(logged(app.raising, app.memory)) as served:
        reader, writer = await served.open()
        with app.memory.reserve() as other:
            other.hold(LARGE)
            writer.write(head(4 * LARGE) + body(4 * LARGE))
            assert b"connection" not in await headers(reader)
        writer.write(head(4 * LARGE) + body(4 * LARGE, 1))
        assert await reply(reader) == (200, body(4 * LARGE, 1))
        writer.close()
    assert app.memory.held == 0
