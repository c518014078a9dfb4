"""Serves an ASGI app by the service's protocol in this process, and talks to it in bytes."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import uvicorn

from vaekit_service.components import Lifecycle
from vaekit_service.connection.head import ConnectionLimits
from vaekit_service.connection.protocol import LimitedProtocol
from vaekit_service.connection.refusals import Refusals
from vaekit_service.engine.limits import MemoryBudget
from vaekit_service.errors import ServiceError
from vaekit_service.http.access_log import AccessLog, make_context
from vaekit_service.http.body import read_body
from vaekit_service.logs import make_log
from vaekit_service.metrics import Metrics

SECONDS = 20.0  # that a test waits for what must come at once


class App:
    """Answers a body with itself, or with the name of the error."""

    def __init__(self, max_inflight_bytes: int = 2**40) -> None:
        self.memory = MemoryBudget(max_body_bytes=2**24, max_inflight_bytes=max_inflight_bytes)
        self.errors: list[ServiceError] = []
        self.begun = asyncio.Event()

    async def raising(self, scope: Any, receive: Any, send: Any) -> None:
        """The same without a word of its own on what goes wrong."""
        self.begun.set()
        await say(send, 200, bytes(await read_body(scope, receive)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        context = make_context(scope, self.memory)
        try:
            await self.raising(scope, receive, send)
        except ServiceError as exc:
            self.errors.append(exc)
            await say(send, 429, type(exc).__name__.encode(), (b"connection", b"close"))
        finally:
            context.memory.release()


async def say(send: Any, status: int, content: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-length", b"%d" % len(content)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Served:
    """A server in this process: where it listens, what it logs and counts."""

    def __init__(self, port: int, server: uvicorn.Server, log: io.StringIO, metrics: Metrics) -> None:
        self.port, self.server, self.log, self.metrics = port, server, log, metrics
        self.opened: list[asyncio.StreamWriter] = []

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, which is closed with the server."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened.append(writer)
        return reader, writer

    async def said(self, request: bytes, *, end: bool = False) -> bytes:
        """All that is said on a connection of its own, up to where the server closes it.

        Args:
            request: sent whole, however little of it is read.
            end: whether the caller says that it will send nothing more.
        """
        reader, writer = await self.open()
        with suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
            if end:
                writer.write_eof()
        try:
            return await asyncio.wait_for(reader.read(), SECONDS)
        finally:
            writer.transport.abort()

    async def settled(self, connections: int = 0) -> None:
        """Wait until so many connections are open."""
        async with asyncio.timeout(SECONDS):
            while len(self.server.server_state.connections) != connections:
                await asyncio.sleep(0.005)

    def refused(self) -> dict[str, float]:
        """Refusals below the app, by status."""
        [family] = self.metrics.refused.collect()
        return {one.labels["status"]: one.value for one in family.samples if one.name.endswith("_total")}


@asynccontextmanager
async def serving(app: Any, kind: Any = LimitedProtocol, keep_alive: int = 60, **limits: Any) -> AsyncIterator[Served]:
    """A server of the app by a protocol, under these `ConnectionLimits`."""
    log, metrics = io.StringIO(), Metrics()
    refuse = Refusals(make_log("json", "debug", log), metrics)
    protocol: Any = partial(kind, limits=ConnectionLimits(**limits), refuse=refuse)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, http=protocol, lifespan="off", log_config=None, proxy_headers=False, timeout_keep_alive=keep_alive
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])  # and not `serve`, which takes the process's signals and ends in its own time
        await server.on_tick(0)
        served = Served(listener.getsockname()[1], server, log, metrics)
        try:
            yield served
        finally:
            for writer in served.opened:
                writer.transport.abort()
            for one in server.servers:
                one.close()
            for connection in list(server.server_state.connections):
                connection.shutdown()
            running = list(server.server_state.tasks)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            if running:  # a task that is cancelled before its first step never answers, so its connection stays open
                for connection in list(server.server_state.connections):
                    connection.transport.abort()
            await served.settled()


def logged(app: Any, memory: MemoryBudget, log: io.StringIO | None = None) -> AccessLog:
    """The app behind the service's access log."""
    to = make_log("json", "debug", log or io.StringIO())
    return AccessLog(app, log=to, metrics=Metrics(), memory=memory, lifecycle=Lifecycle(), reply_seconds=SECONDS)


def head(size: int | None, *more: str, host: str = "x") -> bytes:
    """The head of a POST with a body of so many bytes; None: in chunks."""
    length = "transfer-encoding: chunked" if size is None else f"content-length: {size}"
    return "\r\n".join(["POST / HTTP/1.1", f"host: {host}", length, *more, "", ""]).encode()


async def reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body of the next reply."""
    status, _, content = await whole_reply(reader)
    return status, content


async def whole_reply(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], bytes]:
    """The status, the headers and the body of the next reply."""
    top = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
    headers = dict(line.lower().split(b": ", 1) for line in top.split(b"\r\n")[1:-2])
    content = await asyncio.wait_for(reader.readexactly(int(headers[b"content-length"])), SECONDS)
    return int(top[9:12]), headers, content
