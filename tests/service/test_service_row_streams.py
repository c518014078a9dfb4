"""Bodies of CSV and NDJSON are answered while they arrive, in bounded memory, and a reply that fails says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import Run, Running
from tests.service.talks import CSV, HEAD, NDJSON, ROW, Talk, streaming
from tests.talk import SECONDS
from vaekit_service.engine import room
from vaekit_service.errors import Overloaded
from vaekit_service.http import output_buffer
from vaekit_service.http.inference import OperationHandler

pytestmark = pytest.mark.anyio


async def test_a_row_is_answered_before_the_next_one_is_sent(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir) as (service, served):
        talk = await Talk.begin(served)
        for i in range(3):
            await talk.say(ROW)
            if not i:
                head = await talk.head()
                assert (head["status"], head["content-type"], head["vae-alpha"]) == ("200", NDJSON, "0.05")
                assert head["transfer-encoding"] == "chunked"
                assert "connection" not in head
            part = await talk.chunk()
            assert part is not None
            assert json.loads(part)["score"] > 0
        talk.end()
        assert await talk.chunk() == b""
        # the connection stays open for the next request
        talk.writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await talk.head())["status"] == "200"
        line = next(line for line in service.lines() if line.get("route") == "/elbo")
        assert (line["rows"], line["status"], line["model"]) == (3, 200, "breast-cancer@1")
        assert service.components.memory.held == 0
        assert (
            'vae_rows_total{model="breast-cancer",operation="elbo",version="1"} 3.0'
            in service.components.metrics.text().decode()
        )


async def test_a_failure_in_the_middle_is_the_last_line_of_an_incomplete_reply(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir) as (service, served):
        for kind, row, bad in [(NDJSON, ROW, b'["x"]\n'), (f"{CSV};header=absent", ROW[1:-2] + b"\n", b"x\n")]:
            reader, writer = await served.open()
            head = HEAD.format(path="/elbo", kind=kind).replace(f"accept: {kind}", f"accept: {kind.partition(';')[0]}")
            writer.write(head.encode())
            talk = Talk(reader, writer)
            await talk.say(row)
            assert (await talk.head())["status"] == "200"
            await talk.chunk()
            await talk.say(bad + row)
            said, is_complete = await talk.rest()
            assert not is_complete
            if kind == NDJSON:
                problem = json.loads(said)["problem"]
                assert (problem["status"], problem["title"]) == (422, "Invalid input")
                assert problem["detail"] == "row 1: 1 values, expected 30"
            else:
                assert said == b"#problem,422,\"row 1: 1 values, expected 30: 'x'\"\n"
            writer.close()
        await served.settled()
        lines = [line for line in service.lines() if line.get("route") == "/elbo"]
        assert [(line["rows"], line["status"], line["error"]) for line in lines] == [(1, 200, "InputError")] * 2
        text = service.components.metrics.text().decode()
        assert 'vae_invalid_rows_total{model="breast-cancer",version="1"} 2.0' in text
        assert 'vae_rejections_total{reason="InputError"} 2.0' in text
        assert service.components.memory.held == 0


async def test_an_error_before_the_first_answer_has_a_status_of_its_own(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir) as (_, served):
        for body, status in [(b"[1]\n", "422"), (b"", "422"), (b"x" * (2**20 + 1), "422")]:
            talk = await Talk.begin(served)
            if body:
                await talk.say(body)
            talk.end()
            assert (await talk.head())["status"] == status
        talk = await Talk.begin(served, "/models/nobody/elbo")
        assert (await talk.head())["status"] == "404"


async def test_a_caller_that_does_not_read_is_not_read_either(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir) as (service, served):
        talk = await Talk.begin(served)
        sent = 0
        with suppress(TimeoutError):
            while sent < 2**29:
                await asyncio.wait_for(talk.say(ROW * 500), 1.0)
                sent += 500
        assert 0 < sent * len(ROW) < 2**28  # the service stopped reading
        assert service.components.memory.held < 2 * output_buffer.LARGEST
        assert (await talk.head())["status"] == "200"

        async def finish() -> None:
            await talk.writer.drain()
            talk.end()

        (said, is_complete), _ = await asyncio.gather(talk.rest(), finish())
        assert is_complete
        assert sent <= said.count(b"\n") <= sent + 500
        assert service.components.memory.held == 0


async def test_a_caller_that_never_reads_is_cut_off(
    start: Run, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_buffer, "LARGEST", 2**16)
    async with streaming(start, models_dir, reply_seconds=0.3) as (service, served):
        talk = await Talk.begin(served)
        with suppress(ConnectionError, TimeoutError):
            while True:
                await asyncio.wait_for(talk.say(ROW * 500), SECONDS)
        await served.settled()
        line = next(line for line in service.lines() if line.get("route") == "/elbo")
        assert line["error"] == "the caller did not read its reply within 0.3 s"
        assert service.components.memory.held == 0


async def test_a_caller_that_sends_all_before_it_reads_gets_a_reply_of_some_megabytes(
    start: Run, models_dir: Path
) -> None:
    async with streaming(start, models_dir) as (_, served):
        talk = await Talk.begin(served)
        for _ in range(20):
            await talk.say(ROW * 500)
        talk.end()
        await talk.writer.drain()
        await talk.head()
        said, is_complete = await talk.rest()
        assert (said.count(b"\n"), is_complete) == (10_000, True)


async def test_a_stream_that_falls_silent_is_ended(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir, stream_seconds=0.2) as (_, served):
        talk = await Talk.begin(served)
        await talk.say(ROW)
        await talk.head()
        await talk.chunk()
        said, is_complete = await talk.rest()
        assert (json.loads(said)["problem"]["status"], is_complete) == (408, False)


async def test_a_caller_that_hangs_up_frees_its_memory(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir) as (service, served):
        talk = await Talk.begin(served)
        await talk.say(ROW + b"[1,")
        await talk.head()
        talk.writer.transport.abort()
        await served.settled()
        assert service.lines()[-1]["error"] == "Disconnected"
        assert service.components.memory.held == 0


async def test_a_full_queue_refuses_the_first_batch_and_delays_a_later_one(
    start: Run, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FULL_PAUSE", 0.001)
    async with streaming(start, models_dir) as (service, served):
        engine, full = service.components.engine, 0
        submit: Callable[..., Any] = engine.submit

        async def sometimes(*given: Any) -> Any:
            nonlocal full
            if full:
                full -= 1
                raise Overloaded("full")
            return await submit(*given)

        monkeypatch.setattr(engine, "submit", sometimes)
        full = 1
        talk = await Talk.begin(served)
        await talk.say(ROW)
        assert (await talk.head())["status"] == "429"
        talk = await Talk.begin(served)
        await talk.say(ROW)
        await talk.head()
        await talk.chunk()
        full = 5
        await talk.say(ROW)
        talk.end()
        said, is_complete = await talk.rest()
        assert (said.count(b"\n"), is_complete) == (1, True)


async def test_a_bug_is_said_without_its_reason(start: Run, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with streaming(start, models_dir) as (service, served):
        talk = await Talk.begin(served)
        await talk.say(ROW)
        await talk.head()
        await talk.chunk()
        monkeypatch.setattr(service.components.health, "record", lambda *_: 1 / 0)
        await talk.say(ROW)
        said, is_complete = await talk.rest()
        problem = json.loads(said)["problem"]
        assert (problem["status"], is_complete) == (500, False)
        assert "division" not in problem["detail"]
        assert any(line["event"] == "crash" for line in service.lines())


async def test_a_body_larger_than_a_request_may_be_is_answered(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir, max_body_bytes=2**16, max_rows=100) as (_, served):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}") as http:
            headers = {"content-type": NDJSON, "accept": CSV}
            reply = await http.post("/elbo?log_evidence=false", content=ROW * 2000, headers=headers)
        assert reply.text.count("\n") == 2001
        assert len(set(reply.text.splitlines()[1:])) == 1


@pytest.mark.parametrize("root", ["", "/behind"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_put_streams_as_post_does_by_both_ways_to_the_handler(service: Running, method: str, root: str) -> None:
    transport = httpx.ASGITransport(service.app, root_path=root)  # with a root path, FastAPI's router finds the route
    headers = {"content-type": NDJSON, "accept": NDJSON}
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        for path in ("/elbo", "/models/breast-cancer/encode", "/models/breast-cancer/versions/1/elbo"):
            reply = await http.request(method, root + path, content=ROW * 3, headers=headers)
            assert (reply.status_code, reply.text.count("\n")) == (200, 3), reply.text
            assert len(set(reply.text.splitlines())) == 1


async def test_many_rows_at_once_are_handled_in_a_thread(
    start: Run, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    in_pool = OperationHandler.in_pool

    async def noted(handler: OperationHandler, work: Any, *given: Any) -> Any:
        done.append(work.__name__)
        return await in_pool(handler, work, *given)

    monkeypatch.setattr(OperationHandler, "in_pool", noted)
    async with start(models_dir, default_model="breast-cancer") as service:
        headers = {"content-type": NDJSON, "accept": NDJSON}
        for rows, expected in [(1, []), (1000, ["feed", "parse", "write"])]:
            done.clear()
            reply = await service.http.post("/elbo?errors=report", content=b"1\n" * rows, headers=headers)
            assert (reply.status_code, reply.text.count('"error"')) == (200, rows)
            assert done == expected


async def test_a_stream_that_waits_for_room_counts_each_row_once(
    start: Run, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FULL_PAUSE", 0.001)
    async with streaming(start, models_dir) as (service, served):
        engine, path = service.components.engine, "/elbo?ignore=%7B%22mean+radius%22:%7B%22above%22:0.1%7D%7D&alpha=0.9"
        submit, calls = engine.submit, 0

        async def full_for_rules(*given: Any) -> Any:  # the second job of each batch compares its alarms with the rules
            nonlocal calls
            calls += 1
            if calls == 4:
                raise Overloaded("full")
            return await submit(*given)

        recorded: list[int] = []  # rows, by the model health
        monkeypatch.setattr(engine, "submit", full_for_rules)
        monkeypatch.setattr(service.components.health, "record", lambda job, *_: recorded.append(job.n))
        talk = await Talk.begin(served, path)
        await talk.say(ROW)
        await talk.head()
        await talk.chunk()
        await talk.say(ROW)
        talk.end()
        said, is_complete = await talk.rest()
        assert (said.count(b"\n"), is_complete, calls, recorded) == (1, True, 5, [1, 1])


async def test_an_idle_stream_ends_when_the_service_shuts_down(start: Run, models_dir: Path) -> None:
    async with streaming(start, models_dir) as (service, served):
        talk = await Talk.begin(served)
        await talk.say(ROW)
        await talk.head()
        await talk.chunk()
        service.components.lifecycle.drain()
        said, is_complete = await talk.rest()
        problem = json.loads(said)["problem"]
        assert (problem["status"], is_complete) == (503, False)
        assert problem["detail"] == "the service is shutting down; send the rows that have no answer again"
        assert not service.components.lifecycle.idle
