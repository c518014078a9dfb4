"""The log never blocks: a pipe that is not read, a reader that is gone, and the lines that wait at the end."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import httpx
import pytest

from vaekit_service.log_writer import LogWriter
from vaekit_service.logs import make_log

LINES = [f"{number:04d} {'x' * 1000}\n" for number in range(500)]  # more than any pipe holds, with a queue of 5


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """The two ends of a pipe. The test closes the first one."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream


def read_all(descriptor: int, stream: TextIO) -> list[str]:
    """The lines in the pipe, after its other end was closed."""
    stream.close()
    with os.fdopen(descriptor) as reader:
        return reader.readlines()


def test_a_pipe_that_is_not_read_blocks_nobody_and_drops_lines_with_a_count(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    writer = LogWriter(stream, max_lines=5, close_seconds=30)
    for line in LINES:
        writer.write(line)  # a write that blocks would hang here
    dropped = writer.dropped
    assert dropped > 0
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(writer.close)
        found = b""
        while len(found) < len(LINES[0]) * (len(LINES) - dropped):
            found += os.read(reading, 10**6)
        end.result(30)
    lines = found.decode().splitlines(keepends=True) + read_all(reading, stream)
    assert lines == sorted(set(lines) & set(LINES))  # whole and in order
    assert len(lines) == len(LINES) - dropped
    assert writer.dropped == dropped


@pytest.mark.parametrize("blocking", [True, False])
def test_closing_writes_the_lines_that_wait(pipe: tuple[int, TextIO], blocking: bool) -> None:
    reading, stream = pipe
    os.set_blocking(stream.fileno(), blocking)
    with LogWriter(stream) as writer:
        for line in LINES[:50]:
            writer.write(line)
    assert read_all(reading, stream) == LINES[:50]
    assert writer.dropped == 0


def test_a_descriptor_that_does_not_block_loses_nothing_while_the_reader_is_slow(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    os.set_blocking(stream.fileno(), False)
    writer = LogWriter(stream, close_seconds=30)
    for line in LINES:
        writer.write(line)
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(writer.close)
        found = b""
        while len(found) < sum(map(len, LINES)):
            found += os.read(reading, 1000)
        end.result(30)
    assert found.decode() == "".join(LINES)
    assert read_all(reading, stream) == []


def test_closing_does_not_wait_for_a_reader_that_never_reads(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    writer = LogWriter(stream, close_seconds=0.01)
    for line in LINES:
        writer.write(line)
    writer.close()  # returns while the thread is still blocked
    assert writer._thread.is_alive()
    os.close(reading)
    writer._thread.join(30)
    assert not writer._thread.is_alive()


def test_lines_are_counted_once_the_reader_is_gone(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    os.close(reading)
    with LogWriter(stream) as writer:
        for line in LINES[:7]:
            writer.write(line)
    assert writer.dropped == 7


def test_a_stream_without_a_descriptor_gets_the_lines_too() -> None:
    stream = io.StringIO()
    with LogWriter(stream) as writer:
        make_log("json", "info", writer).info("begun", where="here")
    assert '"event":' in stream.getvalue()
    assert stream.getvalue().endswith("\n")


@pytest.mark.anyio
async def test_the_dropped_lines_are_a_metric(start: Any, tmp_path: Path) -> None:
    async with start(tmp_path) as service:
        assert "\nvae_log_lines_dropped_total 0.0\n" in (await service.http.get("/metrics")).text
        service.components.metrics.log_lines_dropped = lambda: 3
        assert "\nvae_log_lines_dropped_total 3.0\n" in (await service.http.get("/metrics")).text


@pytest.mark.skipif(sys.platform != "linux", reason="sets the size of a pipe")
def test_the_service_answers_while_nobody_reads_its_log(process: Any, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "models").mkdir()
    started = process("--models", str(tmp_path / "models"))
    fcntl.fcntl(started.popen.stderr, fcntl.F_SETPIPE_SZ, 4096)
    url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
    with httpx.Client(base_url=url, timeout=30) as client:
        for _ in range(200):  # each has a line of more than 100 bytes
            assert client.get("/models").status_code == 200
    started.popen.send_signal(signal.SIGINT)
    assert started.popen.wait(30) == 0  # before anything is read
    lines = started.popen.stderr.read().splitlines()
    assert 0 < sum("route=/models" in line for line in lines) < 200
