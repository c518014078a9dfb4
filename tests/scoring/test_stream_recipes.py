"""The commands of docs/how-to/score-a-stream.md run, with the servers that this machine has."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import free_port
from tests.conftest import ROOT
from tests.live import serving

PAGE = (ROOT / "docs" / "how-to" / "score-a-stream.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
SECONDS = 60.0
ROW = [1.0] * 30


def commands(section: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", SECTIONS[section], re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [one for one in programs if shutil.which(one) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}, which .ci/tools.sh installs")


def until(what: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """The first true result; fails after some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("nothing came in time")


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which `vae` and `python` are those of this test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in {"vae": '-c "from vaekit.cli import main; main()"', "python": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}


@contextmanager
def running(command: str | list[str], env: dict[str, str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a session of its own, which ends with the block."""
    words = ["sh", "-c", command] if isinstance(command, str) else command
    one = subprocess.Popen(words, cwd=ROOT, env=env, start_new_session=True, **more)
    try:
        yield one
    finally:
        os.killpg(one.pid, signal.SIGTERM)
        try:
            one.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()


def say(command: list[str], *lines: str) -> str:
    """What a command prints, given these lines."""
    text = "".join(f"{line}\n" for line in lines)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=SECONDS).stdout


ROWS = [json.dumps({"id": f"it's {i} \\", "values": [i]}) for i in range(2)] + [json.dumps(ROW)]


def check(lines: list[str]) -> None:
    """Two rows without the model's columns, and one that is scored."""
    first, second, third = (json.loads(line) for line in lines[:3])
    assert (first["id"], second["id"]) == ("it's 0 \\", "it's 1 \\")
    assert first["error"]["reason"] == second["error"]["reason"] == "missing"
    assert third["score"] > 0


@pytest.mark.slow
def test_the_commands_of_a_pipe_run(shell: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "rows.ndjson").write_text("\n".join(ROWS), encoding="utf-8")
    for command in commands("A pipe"):
        subprocess.run(["sh", "-c", command], cwd=tmp_path, env=shell, check=True, timeout=SECONDS)
    check((tmp_path / "scores.ndjson").read_text(encoding="utf-8").splitlines())
    assert len((tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()) == 13


@pytest.mark.slow
@needs("curl")
def test_the_command_over_http_runs(shell: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rows.ndjson").write_text("\n".join(ROWS), encoding="utf-8")
    [command] = commands("Over HTTP")
    with serving(ROOT / "models") as url:
        command = command.replace("http://127.0.0.1:8000", url)
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=shell, capture_output=True, check=True, text=True
        )
    first, _, third = map(json.loads, done.stdout.splitlines())
    assert (first["error"]["row"], first["error"]["reason"]) == (0, "missing")
    assert third["score"] > 0


@pytest.mark.slow
@pytest.mark.timeout(200)
@needs("redis-server", "redis-cli")
def test_the_recipe_with_redis_runs(shell: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    [command] = commands("Redis")
    server = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    ask = ["redis-cli", "-p", str(port)]
    with running(server, shell, stdout=subprocess.DEVNULL) as _:
        until(lambda: answers(port))
        with running(command.replace("localhost:6379", f"127.0.0.1:{port}"), shell, stdout=subprocess.DEVNULL):
            for row in ROWS:
                subprocess.run([*ask, "RPUSH", "rows", row], check=True, capture_output=True)
            until(lambda: say([*ask, "LLEN", "scores"]).strip() == "3")
        check(say([*ask, "--raw", "LRANGE", "scores", "0", "-1"]).splitlines())


@pytest.mark.slow
@pytest.mark.timeout(200)
@needs("mosquitto", "mosquitto_sub", "mosquitto_pub")
def test_the_recipe_with_mosquitto_runs(shell: dict[str, str], tmp_path: Path) -> None:
    port, heard = free_port(), tmp_path / "heard"
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
    [command] = commands("MQTT, with Mosquitto")
    at = ["-h", "127.0.0.1", "-p", str(port)]
    with ExitStack() as stack:
        server = ["mosquitto", "-c", str(tmp_path / "mosquitto.conf")]
        stack.enter_context(running(server, shell, stderr=subprocess.DEVNULL))
        until(lambda: answers(port))
        file = stack.enter_context(heard.open("wb"))
        stack.enter_context(running(["mosquitto_sub", *at, "-t", "scores"], shell, stdout=file))
        stack.enter_context(running(command.replace("-h localhost -p 1883", " ".join(at)), shell))
        until(lambda: _heard_again(heard, lambda: say(["mosquitto_pub", *at, "-t", "rows", "-l"], json.dumps(ROW))))
        before = len(heard.read_text(encoding="utf-8").splitlines())
        say(["mosquitto_pub", *at, "-t", "rows", "-l"], *ROWS)
        until(lambda: len(heard.read_text(encoding="utf-8").splitlines()) >= before + 3)
        lines = heard.read_text(encoding="utf-8").splitlines()
        check(lines[-3:])


def _heard_again(heard: Path, publish: Callable[[], object]) -> bool:
    """Publish a row, which is lost until all have subscribed; whether its score was heard."""
    publish()
    time.sleep(1.0)
    return bool(heard.read_bytes())


@pytest.mark.slow
@pytest.mark.timeout(200)
@needs("nats-server")
def test_the_recipe_with_nats_runs(shell: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("nats")
    port, heard = free_port(), tmp_path / "heard"
    env = {**shell, "NATS_URL": f"nats://127.0.0.1:{port}"}
    [command] = commands("NATS")
    lines = [sys.executable, str(ROOT / "examples" / "nats_lines.py")]
    with ExitStack() as stack:
        server = ["nats-server", "-a", "127.0.0.1", "-p", str(port)]
        stack.enter_context(running(server, shell, stderr=subprocess.DEVNULL))
        until(lambda: answers(port))
        file = stack.enter_context(heard.open("wb"))
        listening = (tmp_path / "said").open("wb")
        stack.callback(listening.close)
        stack.enter_context(running([*lines, "sub", "scores"], env, stdout=file, stderr=listening))
        stack.enter_context(running(command, env, stderr=listening))
        until(lambda: (tmp_path / "said").read_bytes().count(b"listening to") == 2)
        subprocess.run([*lines, "pub", "rows"], input="\n".join(ROWS), env=env, text=True, check=True, timeout=SECONDS)
        until(lambda: len(heard.read_bytes().splitlines()) >= 3)
        check(heard.read_text(encoding="utf-8").splitlines())


@pytest.mark.slow
@pytest.mark.timeout(200)
@needs("kcat")
def test_the_recipe_with_kcat_runs_on_a_mock_broker(shell: dict[str, str], tmp_path: Path) -> None:
    """The broker is librdkafka's own mock, inside another kcat: it speaks Kafka's protocol, but is not Kafka."""
    [command] = commands("Kafka, with kcat")
    mock = ["kcat", "-b", "mock", "-X", "test.mock.num.brokers=1", "-C", "-t", "idle", "-d", "mock"]
    said = tmp_path / "mock"
    with ExitStack() as stack:
        file = stack.enter_context(said.open("wb"))
        stack.enter_context(running(mock, shell, stdout=subprocess.DEVNULL, stderr=file))
        found = until(lambda: re.search(rb"bootstrap.servers=(127\.0\.0\.1:\d+)", said.read_bytes()))
        broker = found[1].decode()
        produce = ["kcat", "-b", broker, "-P", "-t", "rows"]
        say(produce, json.dumps(ROW))  # makes the topic
        command = command.replace("localhost:9092", broker).replace("-o end", "-o beginning")
        stack.enter_context(running(command, shell))
        say(produce, *ROWS)
        consume = ["kcat", "-b", broker, "-C", "-t", "scores", "-o", "beginning", "-e", "-u", "-q"]

        def scored() -> list[str]:
            say(produce, *[json.dumps(ROW)] * 5)  # kcat passes scores on once it has read a KiB more of them
            found = subprocess.run(consume, capture_output=True, text=True, check=False, timeout=SECONDS)
            return sorted(found.stdout.splitlines())

        until(lambda: len([line for line in scored() if '"id"' in line]) == 2)
        lines = scored()
        check([*(line for line in lines if '"id"' in line), next(line for line in lines if '"id"' not in line)])


def test_every_section_with_a_command_is_tested() -> None:
    tested = {"A pipe", "Kafka, with kcat", "Redis", "NATS", "MQTT, with Mosquitto", "Over HTTP"}
    assert {name for name in SECTIONS if commands(name)} == tested
