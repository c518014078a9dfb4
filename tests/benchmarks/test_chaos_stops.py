"""The parts of the chaos benchmark that stop and kill the service: what their load counts, and that none is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.chaos import containers, stops
from benchmarks.chaos.load import answered, failed
from benchmarks.chaos.reconnecting import POLL_SECONDS, reconnecting_loop
from benchmarks.plan import Plan

REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n%b\r\nok"


def counts(replies: list[bytes], stop: Path) -> dict[str, object]:
    """What one caller counts at a server that sends these replies, each once, and then stops the caller.

    After an empty reply, and after one with `connection: close`, the server closes the connection.
    """

    async def run() -> dict[str, object]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reply = b"none yet"
            while replies and reply and b"close" not in reply:
                await reader.readuntil(b"\r\n\r\n")
                reply = replies.pop(0)
                if not replies:
                    stop.touch()
                    await asyncio.sleep(4 * POLL_SECONDS)  # the caller finds the file, and ends after this reply
                writer.write(reply)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await reconnecting_loop(server.sockets[0].getsockname()[1], REQUEST, 1, 10.0, stop)

    return asyncio.run(run())


def test_a_closed_connection_is_replaced_and_a_request_without_a_reply_is_lost(tmp_path: Path) -> None:
    unavailable = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno"
    replies = [REPLY % b"", REPLY % b"connection: close\r\n", b"", unavailable, REPLY % b""]
    found = counts(replies, tmp_path / "stop")
    assert found["statuses"] == {"0": 1, "200": 3, "503": 1}
    assert (answered(found), failed(found)) == (3, 2)


def test_refused_connections_are_not_failed_requests(tmp_path: Path) -> None:
    found = asyncio.run(reconnecting_loop(1, REQUEST, 2, 0.05, tmp_path / "stop"))
    assert found["statuses"] == {}
    assert found["refused"] != 0


def test_without_an_engine_the_part_with_containers_says_that_it_was_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(containers, "has_engine", lambda: False)
    assert containers.measure(Plan(quick=True, work=tmp_path, peers=None)).figures == []
    assert "skipped" in capsys.readouterr().err


@pytest.mark.slow
def test_no_request_is_lost_while_the_service_ends_under_load(tmp_path: Path) -> None:
    figures = stops.measure(Plan(quick=True, work=tmp_path, peers=None)).figures
    values = {figure.name: figure.value for figure in figures}
    assert values["stops: requests failed"] == 0
    assert values["stops: requests answered"] > 100
