"""Large bodies are read directly from the socket, and HTTP still works as it should."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit_service.engine.limits import MemoryBudget
from vaekit_service.errors import Disconnected, Overloaded, ServiceError
from vaekit_service.http.access_log import MAX_DISCARDED_BYTES, AccessLog, make_context
from vaekit_service.http.body import LARGE, read_body
from vaekit_service.http.connection import connect
from vaekit_service.logs import make_log
from vaekit_service.metrics import Metrics

pytestmark = pytest.mark.anyio


class App:
    """An app that echoes the body, or answers with the name of the error, and counts direct reads."""

    def __init__(self, max_inflight_bytes: int = 2**40) -> None:
        self.memory = MemoryBudget(max_body_bytes=64 * LARGE, max_inflight_bytes=max_inflight_bytes)
        self.direct = 0
        self.errors: list[ServiceError] = []
        self.begun = asyncio.Event()

    async def raising(self, scope: Any, receive: Any, send: Any) -> None:
        """Echo the body; errors are raised."""
        await say(send, 200, bytes(await read_body(scope, receive)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        context = make_context(scope, self.memory)
        context.connection = Counted(self, context.connection)
        try:
            await self.raising(scope, receive, send)
        except ServiceError as exc:
            self.errors.append(exc)
            await say(send, 429, type(exc).__name__.encode(), (b"connection", b"close"))
        finally:
            context.memory.release()


class Counted:
    """A connection whose direct reads are counted."""

    def __init__(self, app: App, connection: Any) -> None:
        self._app, self._connection = app, connection
        self.abort, self.discard_body = connection.abort, connection.discard_body

    async def read_body(self, *args: Any) -> bytearray | None:
        self._app.begun.set()
        found: bytearray | None = await self._connection.read_body(*args)
        self._app.direct += found is not None
        return found


async def say(send: Any, status: int, content: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-length", b"%d" % len(content)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    """Serve the app with uvicorn; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        protocol: Any = connect  # annotated as a class, but uvicorn only calls it
        config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, proxy_headers=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))  # `serve` would install signal handlers
        yield listener.getsockname()[1]
        server.should_exit = True
        await task


def head(size: int | None, *more: str) -> bytes:
    length = "transfer-encoding: chunked" if size is None else f"content-length: {size}"
    return "\r\n".join(["POST / HTTP/1.1", "host: x", length, *more, "", ""]).encode()


async def reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body of the next reply."""
    top = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    lines = dict(line.lower().split(b": ") for line in top.split(b"\r\n")[1:-2])
    return int(top[9:12]), await asyncio.wait_for(reader.readexactly(int(lines[b"content-length"])), 20)


def body(size: int, seed: int = 0) -> bytes:
    pattern = bytes((7 * i + seed) % 251 for i in range(251))
    return (pattern * (size // 251 + 1))[:size]


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: Any) -> Any:
    """Both event loops, because their transports differ."""
    return ("asyncio", {"loop_factory": uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop})


SIZES = [0, 1, LARGE, LARGE + 1, 3 * LARGE + 17, 20 * LARGE]


async def test_bodies_of_any_size_arrive_complete_on_one_connection() -> None:
    app = App()
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for size in [*SIZES, *reversed(SIZES)]:
            writer.write(head(size) + body(size))
            assert await reply(reader) == (200, body(size))
        writer.close()
    assert app.direct >= 2  # of the largest; other bodies may have arrived with their headers
    assert app.memory.held == 0


async def test_pipelined_requests_are_answered_in_order() -> None:
    app = App()
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(head(size) + body(size, size) for size in SIZES))
        for size in SIZES:
            assert await reply(reader) == (200, body(size, size))
        writer.close()


async def test_a_body_in_small_pieces_arrives_complete() -> None:
    app, size = App(), 2 * LARGE
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = head(size) + body(size)
        for cut in (10, 70, 100, 1000, LARGE, LARGE + 1, 2 * LARGE):
            part, whole = whole[:cut], whole[cut:]
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(whole)
        assert await reply(reader) == (200, body(size))
        writer.close()
    assert app.direct == 1


async def test_a_caller_that_expects_100_continue_gets_it() -> None:
    app, size = App(), 2 * LARGE
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(size, "expect: 100-continue"))
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body(size))
        assert await reply(reader) == (200, body(size))
        writer.close()


async def test_a_chunked_body_is_read_through_uvicorn() -> None:
    app = App()
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        part = body(LARGE)
        chunk = b"%x\r\n" % len(part) + part + b"\r\n"
        writer.write(head(None) + 3 * chunk + b"0\r\n\r\n")
        assert await reply(reader) == (200, 3 * part)
        writer.close()
    assert app.direct == 0


async def half_sent(app: App, port: int) -> asyncio.StreamWriter:
    """A connection with half of a large body sent, which the app is already reading."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(4 * LARGE) + body(2 * LARGE))
    await asyncio.wait_for(app.begun.wait(), 20)
    return writer


async def test_a_disconnect_during_the_body_ends_the_request() -> None:
    app = App()
    async with serving(app) as port:
        writer = await half_sent(app, port)
        writer.transport.abort()
        while not app.errors:
            await asyncio.sleep(0.005)
    assert isinstance(app.errors[0], Disconnected)
    assert app.memory.held == 0


def all_said(port: int, request: bytes) -> bytes:
    """All bytes until the connection closes. If the server did not read everything, the close is a reset."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), 20) as caller, contextlib.suppress(ConnectionError):
        with contextlib.suppress(ConnectionError):
            caller.sendall(request)
        while piece := caller.recv(2**16):
            said += piece
    return said


async def test_a_body_that_exceeds_the_memory_budget_is_refused_while_it_arrives() -> None:
    app = App(max_inflight_bytes=3 * LARGE)
    async with serving(app) as port:
        with app.memory.reserve() as other:
            other.hold(1)
            said = await asyncio.wait_for(asyncio.to_thread(all_said, port, head(8 * LARGE) + body(4 * LARGE)), 20)
            assert said.startswith(b"HTTP/1.1 429")
            assert said.endswith(b"Overloaded")
            assert app.memory.held == 1


async def test_a_cancelled_task_releases_the_memory_of_its_body() -> None:
    app = App()
    async with serving(app) as port:
        writer = await half_sent(app, port)
        for task in asyncio.all_tasks():
            if "run_asgi" in repr(task):
                task.cancel()
        while app.memory.held:
            await asyncio.sleep(0.005)
        writer.close()


@given(st.lists(st.integers(0, 3 * LARGE), min_size=1, max_size=5), st.data())
@settings(max_examples=15, deadline=None)
def test_requests_split_at_any_byte_get_their_own_replies(sizes: list[int], data: Any) -> None:
    stream = b"".join(head(size) + body(size, i) for i, size in enumerate(sizes))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))

    async def talk() -> None:
        async with serving(App()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)

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


async def refuse(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  part of ASGI
    raise Overloaded("no room")


def logged(app: Any, memory: MemoryBudget) -> AccessLog:
    return AccessLog(app, log=make_log(stream=io.StringIO()), metrics=Metrics(), memory=memory, reply_seconds=20.0)


def refusing() -> AccessLog:
    return logged(refuse, App().memory)


async def headers(reader: asyncio.StreamReader) -> dict[bytes, bytes]:
    """The headers of the next reply, a 429; its body is read too."""
    top = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert top.startswith(b"HTTP/1.1 429 ")
    found = dict(line.lower().split(b": ") for line in top.split(b"\r\n")[1:-2])
    await asyncio.wait_for(reader.readexactly(int(found[b"content-length"])), 20)
    return found


@pytest.mark.parametrize("waits", [False, True])
async def test_a_refused_body_is_discarded_and_the_connection_stays_open(waits: bool) -> None:
    sizes = [1, 100, 64 * 1024, LARGE + 1, MAX_DISCARDED_BYTES, 0, 2]
    async with serving(refusing()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for size in sizes:
            writer.write(head(size) + body(size // 2))
            if waits:
                assert b"connection" not in await headers(reader)
            writer.write(body(size - size // 2))
        for _ in [] if waits else sizes:
            assert b"connection" not in await headers(reader)
        writer.close()


@pytest.mark.parametrize("size", [MAX_DISCARDED_BYTES + 1, None])
async def test_a_refused_body_that_may_be_large_closes_the_connection(size: int | None) -> None:
    async with serving(refusing()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(size))
        assert (await headers(reader))[b"connection"] == b"close"
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_a_body_that_is_refused_while_it_arrives_is_discarded() -> None:
    app = App(max_inflight_bytes=3 * LARGE)
    async with serving(logged(app.raising, app.memory)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with app.memory.reserve() as other:
            other.hold(LARGE)
            writer.write(head(4 * LARGE) + body(4 * LARGE))
            assert b"connection" not in await headers(reader)
        writer.write(head(4 * LARGE) + body(4 * LARGE, 1))
        assert await reply(reader) == (200, body(4 * LARGE, 1))
        writer.close()
    assert app.memory.held == 0
