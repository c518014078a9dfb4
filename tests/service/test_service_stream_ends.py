"""Streamed replies end early if the request does, and callers of HTTP/1.0 get whole replies."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.service.conftest import Run
from tests.service.talks import HEAD, NDJSON, ROW, Talk, streaming
from tests.talk import SECONDS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("broken", [b"zz\r\n", b"0\r\nbad trailer\r\n\r\n"])
async def test_broken_framing_in_the_middle_ends_the_reply_at_once(start: Run, models_dir: Path, broken: bytes) -> None:
    async with streaming(start, models_dir) as (service, served):
        talk = await Talk.begin(served)
        await talk.say(ROW)
        assert (await talk.head())["status"] == "200"
        assert await talk.chunk()
        talk.writer.write(broken)
        assert await talk.rest() == (b"", False)
        talk.writer.close()
        await served.settled()
        assert service.lines()[-1]["error"] == "Disconnected"
        assert service.components.memory.held == 0


async def test_a_caller_of_http_1_0_gets_a_reply_without_chunks(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir) as (_, served):
        reader, writer = await served.open()
        head = HEAD.format(path="/elbo", kind=NDJSON).replace("HTTP/1.1", "HTTP/1.0")
        writer.write(head.replace("transfer-encoding: chunked", f"content-length: {2 * len(ROW)}").encode() + 2 * ROW)
        top, body = (await asyncio.wait_for(reader.read(), SECONDS)).split(b"\r\n\r\n", 1)
        assert b"transfer-encoding" not in top
        assert f"content-length: {len(body)}".encode() in top
        assert [json.loads(line)["score"] > 0 for line in body.splitlines()] == [True, True]
        writer.close()
