"""Large JSON over HTTP: requests beside it are answered while it is read and written."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.test_service_worker import lives, until
from vaekit_service.codecs import json_codec
from vaekit_service.messages import Answer
from vaekit_service.worker import large_json

pytestmark = pytest.mark.anyio
ROWS = np.random.default_rng(0).standard_normal((9_000, 30)).round(3)


async def test_a_large_reply_is_written_in_the_process_with_the_same_bytes(service: Any, digits: Any) -> None:
    arrays = {"elbo": np.linspace(-9, 9, 100_000), "novel": np.array([["a"], []] * 50_000, dtype=object)}
    answer = Answer("digits", 1, 100_000, arrays, {"alpha": 0.05}, digits.manifest.input)
    written = await service.components.large_json.write(answer)
    assert service.components.worker.pid is not None
    assert written == json_codec.write(answer)


@pytest.mark.parametrize("bad", [False, True])
async def test_a_large_body_is_answered_as_a_small_one(service: Any, bad: bool) -> None:
    inputs: list[list[Any]] = ROWS.tolist()
    if bad:
        inputs[-1][4] = "x"
    content = json.dumps({"inputs": inputs}).encode()
    assert len(content) > large_json.DIRECT
    large = await service.post("/elbo", content)
    assert service.components.worker.pid is not None
    assert service.components.memory.held == 0
    if bad:
        named = "row 8999, feature 'mean smoothness': not a number: 'x'"
        assert (large.status_code, large.json()["detail"]) == (422, named)
        return
    assert large.status_code == 200
    few = await service.post("/elbo", {"inputs": inputs[:50]})
    np.testing.assert_allclose(large.json()["elbo"][:50], few.json()["elbo"], rtol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process")
async def test_others_are_answered_while_the_process_reads(service: Any) -> None:
    """The process is stopped meanwhile, so this needs no clock."""
    content = json.dumps({"inputs": [[None, *row[1:]] for row in ROWS.tolist()]}).encode()
    assert (await service.post("/elbo", content)).status_code == 200
    pid = service.components.worker.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        large = asyncio.create_task(service.post("/elbo", content))
        waiting = asyncio.create_task(service.post("/elbo", content))
        await until(lambda: service.components.memory.held == 2 * len(content))
        assert (await service.post("/elbo", {"inputs": ROWS[:1].tolist()})).status_code == 200
        for probe in ("/healthz", "/readyz"):
            assert (await service.http.get(probe)).status_code == 200
        assert not large.done()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await large).status_code == (await waiting).status_code == 200
    assert service.components.memory.held == 0


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process")
async def test_others_are_answered_while_the_process_writes_a_reply(service: Any) -> None:
    array = io.BytesIO()
    np.save(array, ROWS[:3000])
    headers = {"content-type": "application/x-npy", "accept": "application/json"}

    async def ask() -> Any:
        return await service.http.post("/elbo?features=true", content=array.getvalue(), headers=headers)

    whole = await ask()
    assert len(whole.json()["feature_log_likelihood"]) == 3000
    pid = service.components.worker.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        large = asyncio.create_task(ask())
        await asyncio.sleep(0.3)
        assert (await service.post("/elbo", {"inputs": ROWS[:1].tolist()})).status_code == 200
        assert not large.done()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await large).json() == whole.json()


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process")
async def test_a_body_that_is_read_beyond_the_deadline_is_a_504_and_its_process_ends(service: Any) -> None:
    content = json.dumps({"inputs": [[None, *row[1:]] for row in ROWS.tolist()]}).encode()
    assert (await service.post("/elbo", content)).status_code == 200
    pid = service.components.worker.pid
    os.kill(pid, signal.SIGSTOP)
    headers = {"content-type": "application/json", "vae-timeout": "0.2"}
    reply = await service.http.post("/elbo", content=content, headers=headers)
    assert (reply.status_code, reply.json()["title"]) == (504, "Deadline exceeded")
    await until(lambda: not lives(pid))
    assert (await service.post("/elbo", content)).status_code == 200


async def test_a_process_that_ends_is_a_503_for_its_request_alone(service: Any) -> None:
    content = json.dumps({"inputs": [[None, *row[1:]] for row in ROWS.tolist()]}).encode()
    assert (await service.post("/elbo", content)).status_code == 200
    pid = service.components.worker.pid
    os.kill(pid, signal.SIGSTOP)
    both = [asyncio.create_task(service.post("/elbo", content)) for _ in range(2)]
    await until(lambda: service.components.memory.held == 2 * len(content))
    await asyncio.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    first, second = await asyncio.gather(*both)
    assert (first.status_code, first.json()["title"]) == (503, "Worker ended")
    assert "ended with code -9 while it had this request" in first.json()["detail"]
    assert second.status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_the_process_survives_signals_to_all_processes_and_ends_with_the_service(
    process: Any, models_dir: Path, how: str
) -> None:
    started = process("--models", str(models_dir), "--default-model", "breast-cancer", VAE_DRAIN_SECONDS="0")
    url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
    assert started.until("^(ready|failed): digits") == "ready"
    httpx.post(f"{url}/elbo", json={"inputs": ROWS.tolist()}, timeout=60).raise_for_status()
    parent = Path(f"/proc/{started.popen.pid}/task")
    [pid] = [int(one) for path in parent.glob("*/children") for one in path.read_text().split()]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    httpx.post(f"{url}/elbo", json={"inputs": ROWS.tolist()}, timeout=60).raise_for_status()
    assert lives(pid)
    started.popen.send_signal(getattr(signal, how))
    assert started.popen.wait(30) == (0 if how == "SIGTERM" else -signal.SIGKILL)
    asyncio.run(until(lambda: not lives(pid)))


async def test_a_reply_that_needs_more_memory_than_the_process_has_is_a_413(start: Any, models_dir: Path) -> None:
    async with start(models_dir, default_model="breast-cancer", worker_bytes=2**26) as service:
        content = json.dumps({f"k{i}": 1 for i in range(290_000)})
        reply = await service.post("/elbo", content)
        assert (reply.status_code, reply.json()["title"]) == (413, "Too large")
        assert "more than 67108864 bytes of memory (VAE_WORKER_BYTES)" in reply.json()["detail"]
        assert (await service.post("/elbo", {"inputs": ROWS[:1].tolist()})).status_code == 200
