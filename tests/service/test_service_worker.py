"""The worker process: it returns what the service itself would, is replaced when it ends, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaekit.errors import InputError
from vaekit_service.errors import TooLarge, WorkerEnded
from vaekit_service.logs import make_log
from vaekit_service.worker.process import MAX_SHARED, WorkerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="sends signals")]
PID = "__import__('os').getpid()"
SECONDS = 30.0  # that a test waits for what comes within moments on a quiet machine


def make(log: io.StringIO | None = None, memory_bytes: int = 2**30, **more: Any) -> WorkerProcess:
    return WorkerProcess(memory_bytes, make_log("json", "debug", log or io.StringIO()), **more)


@pytest.fixture(scope="module")
async def worker(anyio_backend: str) -> AsyncIterator[WorkerProcess]:
    assert anyio_backend == "asyncio"
    one = make()
    yield one
    await one.close()


def lives(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if sys.platform != "linux":
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_task_has_its_result_or_its_error(worker: WorkerProcess) -> None:
    np.testing.assert_array_equal(await worker.run(np.negative, np.arange(3)), [0, -1, -2])
    with pytest.raises(ZeroDivisionError, match="modulo by zero"):
        await worker.run(divmod, 1, 0)
    assert await worker.run(divmod, 7, 2) == (3, 1)


async def test_it_is_another_process_without_onnx_runtime_and_web_framework(worker: WorkerProcess) -> None:
    assert await worker.run(eval, PID) == worker.pid != os.getpid()
    await worker.run(exec, "import vaekit_service.worker.tasks")
    loaded = await worker.run(eval, "set(__import__('sys').modules)")
    assert "vaekit_service.codecs.json_codec" in loaded
    assert not loaded & {"onnxruntime", "torch", "fastapi", "starlette", "uvicorn", "vaekit.cli", "prometheus_client"}


async def test_a_first_argument_is_sent_once(worker: WorkerProcess) -> None:
    shared = ["a manifest"]
    assert await worker.run(id, shared) == await worker.run(id, shared)
    assert await worker.run(id, shared) != await worker.run(id, ["a manifest"])


async def test_a_process_that_keeps_many_first_arguments_is_replaced() -> None:
    worker = make()
    first = await worker.run(eval, PID)
    kept = [[number] for number in range(MAX_SHARED)]
    for one in kept:
        assert await worker.run(len, one) == 1
    assert await worker.run(eval, PID) != first
    await worker.close()


@pytest.mark.parametrize("code", [3, 0, -signal.SIGKILL])
async def test_a_process_that_ends_fails_its_task_and_no_other(code: int) -> None:
    log = io.StringIO()
    worker = make(log)
    assert await worker.run(len, "abc") == 3
    assert worker.pid is not None
    tasks = [asyncio.create_task(one) for one in (worker.run(time.sleep, 60), worker.run(len, "abc"))]
    if code < 0:
        await asyncio.sleep(0.1)
        os.kill(worker.pid, -code)
    else:
        tasks[0].cancel()
        tasks[0] = asyncio.create_task(worker.run(os._exit, code))
    with pytest.raises(WorkerEnded, match=f"ended with code {code} "):
        await tasks[0]
    assert await tasks[1] == 3
    assert worker.ended == 1
    assert json.loads(log.getvalue())["code"] == code
    await worker.close()


async def test_a_process_that_ends_while_idle_is_replaced_without_an_error() -> None:
    worker = make()
    before = await worker.run(eval, PID)
    os.kill(before, signal.SIGKILL)
    await until(lambda: not lives(before))
    assert await worker.run(eval, PID) != before
    assert worker.ended == 0
    await worker.close()


@pytest.mark.parametrize("begun", [False, True])
async def test_a_cancelled_task_is_not_left_running(begun: bool) -> None:
    worker = make()
    if begun:
        await worker.run(len, "abc")
    first, second = worker.pid, asyncio.create_task(worker.run(time.sleep, 60))
    await (asyncio.sleep(0.1) if begun else until(lambda: worker.pid is not None))
    first = worker.pid
    assert first is not None
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await until(lambda: not lives(first))
    assert await worker.run(len, "abc") == 3
    assert worker.ended == 0
    await worker.close()


async def test_a_task_that_is_cancelled_before_the_process_exists_does_not_run() -> None:
    worker = make()
    task = asyncio.create_task(worker.run(time.sleep, 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(worker.run(len, "abc"), SECONDS) == 3
    await worker.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited on Linux")
async def test_a_task_beyond_its_memory_is_too_large() -> None:
    worker = make(memory_bytes=2**27)
    with pytest.raises(TooLarge, match=r"more than 134217728 bytes of memory \(VAE_WORKER_BYTES\)"):
        await worker.run(bytearray, 2**28)
    with pytest.raises(TooLarge):
        await worker.run(os.kill, worker.pid, signal.SIGABRT)  # what pydantic does without memory
    assert len(await worker.run(bytearray, 2**20)) == 2**20
    await worker.close()


async def test_an_idle_process_ends_and_a_new_one_takes_the_next_task() -> None:
    worker = make(idle_seconds=0.05)
    before = await worker.run(eval, PID)
    await until(lambda: worker.pid is None and not lives(before))
    assert await worker.run(eval, PID) != before
    await worker.close()
    assert worker.pid is None


async def test_closing_ends_a_task() -> None:
    worker = make()
    await worker.run(len, "abc")
    task = asyncio.create_task(worker.run(time.sleep, 60))
    await asyncio.sleep(0.05)
    pid = worker.pid
    assert pid is not None
    await asyncio.wait_for(worker.close(), SECONDS)
    assert not lives(pid)
    with pytest.raises(WorkerEnded):
        await task


async def test_a_python_that_cannot_be_started_is_an_error_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerEnded, match="cannot be started: No such file"):
        await worker.run(len, "abc")
    monkeypatch.undo()
    assert await worker.run(len, "abc") == 3
    await worker.close()


async def test_errors_of_ours_arrive_as_they_were_raised(worker: WorkerProcess) -> None:
    with pytest.raises(InputError, match="row 3: bad"):
        await worker.run(_raise, InputError("row 3: bad"))


def _raise(error: Exception) -> None:
    raise error
