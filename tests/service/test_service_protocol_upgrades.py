"""Requests for an upgrade, and requests that are sent before the replies to earlier ones."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import pytest
import uvloop

from tests.service.test_service_protocol import CHUNKED, GET
from tests.talk import SECONDS, App, head, logged, reply, serving
from vaekit_service.connection.protocol import MAX_PIPELINED

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: Any) -> Any:
    return ("asyncio", {"loop_factory": uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop})


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
