"""The limits and deadlines of the other routes hold for the Open Inference Protocol, and packed bodies are read."""

from __future__ import annotations

import gzip
import json
import socket
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.service.v2.cases import TRAP, TRITON, X, case_of
from tests.service.v2.talk_v2 import BREAST, LENGTH, infer, outputs, packed, refused, rows
from vaekit_service.codecs.v2 import tensors
from vaekit_service.engine.limits import MemoryBudget
from vaekit_service.http.v2 import compression

pytestmark = pytest.mark.anyio

BODY = json.dumps({"inputs": [rows(X)]}).encode()
MIB = 2**20


@case_of(TRITON, "a body in chunks", 200)
async def test_a_body_in_chunks_is_read(service: Any) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(BODY), 7):
            yield BODY[at : at + 7]

    reply = await service.http.post(BREAST, content=chunks())
    assert "transfer-encoding" in reply.request.headers
    assert outputs(reply)["elbo"] == outputs(await infer(service.http, BREAST, rows(X)))["elbo"]


@case_of(TRITON, "a full queue", 429)
async def test_a_full_queue_refuses_before_the_body_is_read(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.components.engine._batcher, "rows", 10**9)

    async def unread() -> Any:
        raise AssertionError("the body was read")
        yield b""

    reply = await service.http.post(BREAST, content=unread(), headers={"content-length": "10000000"})
    assert "the queue is full" in refused(reply, 429)
    assert reply.headers["retry-after"] == "1"


@case_of(TRITON, "a timeout in the queue", 504)
async def test_the_timeout_of_a_request_is_of_its_time_in_the_queue(service: Any) -> None:
    engine = service.components.engine
    engine._is_running = True  # so that the job does not run in the event loop
    engine._batcher, waiting = Stuck(engine._batcher), engine._batcher
    try:
        reply = await infer(service.http, BREAST, rows(X), parameters={"timeout": 20_000})
    finally:
        engine._batcher, engine._is_running = waiting, False
    assert "waited in the queue until its deadline" in refused(reply, 504)


class Stuck:
    """A batcher that gives out no batch."""

    def __init__(self, batcher: Any) -> None:
        self._batcher = batcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batcher, name)

    def next(self, now: float) -> None:  # noqa: ARG002  as a batcher
        return None


@case_of(TRITON, "a base path before /v2", 200)
async def test_the_protocol_works_below_a_base_path(start: Any, models_dir: Path) -> None:
    async with start(models_dir) as running:
        proxied = Starlette(routes=[Mount("/a/base", running.app)])
        transport = httpx.ASGITransport(proxied)
        async with httpx.AsyncClient(transport=transport, base_url="http://service/a/base") as http:
            assert outputs(await infer(http, BREAST, rows(X)))["elbo"].shape == (1,)
            assert (await http.get("/v2")).json()["name"] == "vaekit"
            refused(await http.get("/v2/nothing"), 404)


@case_of(TRITON, "a body of exactly the largest size, and one byte more", 413)
async def test_the_largest_body_is_taken_and_one_byte_more_is_not(start: Any, models_dir: Path) -> None:
    async with start(models_dir, max_body_bytes=len(BODY)) as running:
        assert (await running.http.post(BREAST, content=BODY)).status_code == 200
        message = refused(await running.http.post(BREAST, content=BODY + b" "), 413)
        assert f"larger than {len(BODY)} bytes" in message
        packed_body = gzip.compress(BODY + b" ")
        assert len(packed_body) < len(BODY)
        refused(await running.http.post(BREAST, content=packed_body, headers={"content-encoding": "gzip"}), 413)


@case_of(TRITON, "a packed body that grows beyond the limit", 413)
async def test_a_packed_body_is_refused_as_soon_as_it_has_grown_too_large(service: Any) -> None:
    memory = service.components.memory
    bomb = zlib.compress(b" " * (64 * MIB), 9)
    assert len(bomb) < MIB
    held = []
    change = memory.change

    def note(old: int, new: int) -> None:
        held.append(new)
        change(old, new)

    memory.change = note
    try:
        message = refused(await service.http.post(BREAST, content=bomb, headers={"content-encoding": "deflate"}), 413)
    finally:
        del memory.change
    assert f"larger than {32 * MIB} bytes" in message
    assert 31 * MIB < max(held) <= 33 * MIB
    assert memory.held == 0


@pytest.mark.parametrize(
    "broken",
    [b"no gzip", gzip.compress(BODY)[:-9], gzip.compress(BODY) + b"more"],
    ids=["no gzip", "cut off", "more behind it"],  # gzip writes the time into its bytes
)
async def test_a_packed_body_that_is_broken_is_refused(service: Any, broken: bytes) -> None:
    refused(await service.http.post(BREAST, content=broken, headers={"content-encoding": "gzip"}), 400)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@case_of(TRITON, "chunks without end: memory stays bounded", 413)
def test_chunks_without_end_take_bounded_memory(process: Callable[..., Any], models_dir: Path) -> None:
    started = process("--models", str(models_dir), VAE_MAX_BODY_BYTES=str(8 * MIB))
    url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
    assert started.until("^(ready|failed): digits") == "ready"

    def resident() -> int:
        [line] = [one for one in Path(f"/proc/{started.popen.pid}/status").read_text().splitlines() if "VmRSS" in one]
        return int(line.split()[1]) * 1024

    before = resident()
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(30)
        connection.sendall(f"POST {BREAST} HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
        with suppress(ConnectionError):  # the rest is discarded, and at some time the connection is closed
            for _ in range(128 * MIB // 2**16):
                connection.sendall(chunk)
        assert connection.recv(12) == b"HTTP/1.1 413"
        assert resident() - before < 48 * MIB


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True])
@case_of(TRAP, "a packed reply says so, and its lengths are those before packing (triton#5185, #6887)", 200)
async def test_a_packed_reply_names_its_coding(service: Any, coding: str, binary: bool) -> None:
    content = json.dumps({"inputs": [rows(X)], "parameters": {"binary_data_output": binary}})
    for given, packs in ((coding, True), (f"{coding}, identity", False), ("identity", False), ("br", False)):
        async with service.http.stream("POST", BREAST, content=content, headers={"accept-encoding": given}) as reply:
            on_the_wire = b"".join([part async for part in reply.aiter_raw()])
        assert reply.headers.get("content-encoding") == (coding if packs else None)
        assert int(reply.headers["content-length"]) == len(on_the_wire)
        if packs:
            on_the_wire = gzip.decompress(on_the_wire) if coding == "gzip" else zlib.decompress(on_the_wire)
        length = reply.headers.get(LENGTH)
        assert (length is not None) == binary
        assert json.loads(on_the_wire[: None if length is None else int(length)])["model_name"] == "breast-cancer"
    refused(await service.http.get("/v2/nothing", headers={"accept-encoding": coding}), 404)


async def test_a_small_body_that_becomes_a_large_one_is_unpacked_in_a_thread() -> None:
    jobs = 0

    class Counting(ThreadPoolExecutor):
        def submit(self, *given: Any, **more: Any) -> Any:
            nonlocal jobs
            jobs += 1
            return super().submit(*given, **more)

    with Counting(1) as pool:
        for size, in_thread in [(1000, False), (4 * MIB, True)]:
            memory = MemoryBudget(max_body_bytes=8 * MIB, max_inflight_bytes=8 * MIB).reserve()
            body = gzip.compress(bytes(size))
            assert len(body) < 2**15
            assert len(await compression.unpacked(body, "gzip", memory, pool)) == size
            assert (jobs > 0) is in_thread


async def test_many_elements_of_bytes_are_read_in_a_thread_and_too_many_are_refused(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    elements_of = tensors._elements

    def watched(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return elements_of(*given)

    monkeypatch.setattr(tensors, "_elements", watched)
    for n, status, in_thread in [(10, 400, False), (10_000, 400, True), (400_000, 413, None)]:
        threads.clear()
        body, headers = packed({"mean radius": ("BYTES", [n], bytes(4 * n))})
        refused(await service.http.post(BREAST, content=body, headers=headers), status)
        assert [one is not threading.main_thread() for one in threads] == ([] if in_thread is None else [in_thread])
