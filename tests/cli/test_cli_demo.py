"""`vae demo`: it trains, shows alerts with reasons, serves, opens the page and ends cleanly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from urllib.request import urlopen

import pytest

from vaekit.cli import demo
from vaekit.errors import MissingExtra

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """A browser that writes its address to a file and stays open."""
    seen = tmp_path / "seen"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" >"{seen}"\nexec sleep 20\n')
    script.chmod(0o755)
    return script


def start(folder: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAE_")}
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        kept.pop(name, None)
    command = [sys.executable, "-m", "vaekit", "demo", *options]
    environment = {**kept, "COLUMNS": "120", "PYTHONUNBUFFERED": "1", **variables}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def output_until(process: subprocess.Popen[str], end: str) -> str:
    """The output up to a line that has a text."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or end not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], f"the demo ended early: {''.join(lines)}{process.communicate()[1]}"
    return "".join(lines)


def stop(process: subprocess.Popen[str]) -> str:
    """End the demo as Ctrl-C does; returns the rest of its output."""
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    return rest


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_trains_shows_alerts_serves_on_a_free_port_and_ends_with_ctrl_c(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(folder, "--no-open", "--port", str(port))
        shown = output_until(process, "Ctrl-C")
        assert f"port {port} is taken; using " in shown
        for number in range(1, 5):
            assert f"\n{number}/4 " in shown
        alerts, rows = map(int, re.search(r"(\d+) alerts in (\d+) rows", shown).groups())  # type: ignore[union-attr]
        assert "rows, the highest score first" in shown
        scores = [float(score) for score in re.findall(r"^│ \d\d-\d\d \S+ +│ +([\d.]+) │", shown, re.MULTILINE)]
        assert len(scores) == alerts
        assert scores == sorted(scores, reverse=True)
        assert (rows, 9 <= alerts <= 18) == (200, True)
        assert re.search(r"temperature_c [\d.]+, expected [\d.]+ +│ overheating", shown)
        assert re.search(r"\d+ of 11 faults found; \d false alarms in 189 normal rows", shown)
        (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+/", shown))
        for path, text in (("models", b'"sensors"'), ("models", b'"digits"')):
            with urlopen(f"{url}{path}", timeout=10) as reply:
                assert text in reply.read()
        assert "stopped" in stop(process)
    assert {"README.md", "config.toml", "digits.toml", "scored.csv"} <= {
        path.name for path in (folder / "vaekit-demo").iterdir()
    }


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_second_demo_uses_the_models_of_the_first_and_opens_the_browser(folder: Path, browser: Path) -> None:
    if not (folder / "vaekit-demo" / "models" / "digits").exists():
        stop_after_training = start(folder, "--no-open", "--port", "0")
        output_until(stop_after_training, "Ctrl-C")
        stop(stop_after_training)
    process = start(folder, "--port", "0", BROWSER=str(browser))
    shown = output_until(process, "ready: sensors")
    assert shown.count("is there from an earlier demo") == 3
    url = re.search(r"http://127\.0\.0\.1:\d+/", shown)
    assert url is not None
    seen, deadline = browser.parent / "seen", time.monotonic() + 20
    while not seen.exists() or not seen.read_text():
        assert time.monotonic() < deadline, "no browser was opened"
        time.sleep(0.05)
    assert seen.read_text() == url[0]
    with urlopen(f"{url[0]}readyz", timeout=10) as reply:  # it serves while the browser is open
        assert reply.status == 200
    stop(process)


def test_a_folder_that_is_no_demo_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "config.toml").write_text("mine")
    process = start(tmp_path, "--out", ".")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "error: .: holds another project; name another folder with --out\n")
    assert (tmp_path / "config.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ({"torch", "onnxruntime"}, "torch, onnxruntime are not installed: pip install 'vaekit[cpu,service,"),
        ({"fastapi"}, "fastapi is not installed: pip install 'vaekit[service,training,scoring]'"),
    ],
)
def test_missing_packages_are_one_sentence_with_the_command_to_install_them(
    missing: set[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name in missing else object())
    with pytest.raises(MissingExtra, match=re.escape(sentence)):
        demo.check_extras()


def test_a_browser_needs_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not demo.has_browser()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert demo.has_browser()


def test_the_digits_of_the_demo_have_the_settings_of_the_example() -> None:
    example = tomllib.loads((ROOT / "examples" / "digits.toml").read_text())
    own = tomllib.loads(demo.DIGITS)
    assert own.pop("training") == {"steps": 1500}
    assert own == example
