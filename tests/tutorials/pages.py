"""Runs a tutorial as its reader does: saves its files and enters its commands, in order, in an empty folder.

python -m tests.tutorials.pages PAGE ... does so and renews the pictures of these pages, such as
docs/images/sensors-row-41.png, which docs/tutorials/sensors.md makes as row-41.png.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchmarks.processes import free_port
from tests.conftest import ROOT

URL = "127.0.0.1:8000"
BLOCK = re.compile(
    r"(?:Save this as\s+`(?P<file>[\w./-]+)`:\n\n)?"
    r"^```(?P<language>sh|python|text|yaml|toml|json|sql)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
PICTURE = re.compile(r"^!\[.+?\]\((\.\./images/(?P<page>[a-z]+)-(?P<file>[\w-]+\.png))\)$", re.MULTILINE | re.DOTALL)
RULE = re.compile(r"[┏━┳┓┡╇┩└─┴┘│┃╭╮╰╯]+")


def steps(page: str) -> Iterator[tuple[str, str, str]]:
    """(language, code, file to save it as) of each fenced block of a page, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield found["language"], found["code"], found["file"] or ""


def pictures(page: str) -> dict[str, Path]:
    """The pictures of a page that its own commands make: the file they make, and where the page has it."""
    path = ROOT / "docs" / page
    found = PICTURE.finditer(path.read_text(encoding="utf-8"))
    return {one["file"]: (path.parent / one[1]).resolve() for one in found if one["page"] == path.stem}


class Reader:
    """Follows a page in a folder, with the `vae` and `python` of the tests first in PATH.

    Args:
        folder: an empty folder, in which everything happens.
        replace: texts of commands to change, such as sizes that are too large for a test.
    """

    def __init__(self, folder: Path, replace: dict[str, str] | None = None) -> None:
        programs = folder.parent / f"{folder.name}-programs"
        programs.mkdir()
        for name, words in {"vae": "-m vaekit", "python": ""}.items():
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n', encoding="utf-8")
            (programs / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VAE_")}
        more = {"COLUMNS": "110", "NO_COLOR": "1", "PYTHONWARNINGS": "error"}
        paths = os.pathsep.join(str(ROOT / part) for part in ("", "service", "training"))
        self.environment = {**kept, **more, "PATH": f"{programs}{os.pathsep}{kept['PATH']}", "PYTHONPATH": paths}
        self.folder = folder
        self.replace = replace or {}
        self.services: list[subprocess.Popen[str]] = []

    def follow(self, page: str) -> None:
        """Do everything that a page says; compare what it shows."""
        printed = ""
        for language, code, file in steps(page):
            for old, new in self.replace.items():
                code = code.replace(old, new)
            if file:
                (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / file).write_text(code, encoding="utf-8")
            elif language == "sh":
                printed = self.enter(code)
            elif language == "python":
                printed = self.run([sys.executable, "-c", code])
            elif language == "text" and printed:
                assert_shows(code, printed)

    def enter(self, code: str) -> str:
        """Run shell commands; `vae serve` starts on a free port and runs until the end."""
        if code.startswith("vae serve"):
            return self.serve(code)
        return self.run(["sh", "-e", "-c", code])

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=400
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def serve(self, code: str) -> str:
        port = free_port()
        words = ["sh", "-c", f"exec {code.strip()} --port {port}"]
        process = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.services.append(process)
        self.replace = {**self.replace, URL: f"127.0.0.1:{port}"}
        assert process.stdout is not None
        return "".join(_until_ready(process.stdout))

    def stop(self) -> None:
        """End the services, which must end well."""
        for process in self.services:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            assert process.returncode == 0


def _until_ready(output: IO[str]) -> Iterator[str]:
    for line in output:
        yield line
        if line.startswith("try:"):
            return
    raise AssertionError("vae serve ended")


@contextmanager
def reader(folder: Path, replace: dict[str, str] | None = None) -> Iterator[Reader]:
    """A reader whose services end with the block."""
    folder.mkdir(exist_ok=True)
    one = Reader(folder, replace)
    try:
        yield one
    finally:
        one.stop()


def assert_shows(shown: str, printed: str) -> None:
    """The shown lines are among the printed ones, in order. `...` stands for lines; numbers may differ a little."""
    lines = [line for line in map(_plain, printed.splitlines()) if line]
    for want in filter(None, map(_plain, shown.splitlines())):
        if want == "...":
            continue
        while lines and not _same(lines[0], want):
            lines.pop(0)
        assert lines, f"not printed: {want}\nprinted:\n{printed}"
        lines.pop(0)


def _plain(line: str) -> str:
    return " ".join(RULE.sub(" ", line).split())


def _same(got: str, want: str) -> bool:
    if NUMBER.sub("#", got) != NUMBER.sub("#", want):
        return False
    pairs = zip(NUMBER.findall(got), NUMBER.findall(want), strict=True)
    return all(_near(float(a), float(b)) for a, b in pairs)


def _near(got: float, want: float) -> bool:
    """Other processors and library versions move figures a little."""
    return abs(got - want) <= 0.03 * abs(want) + 0.02


def main() -> None:
    """Follow the named pages, and renew their pictures."""
    for page in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder, reader(Path(folder) / "work") as one:
            one.follow(page)
            for made, kept in pictures(page).items():
                kept.parent.mkdir(exist_ok=True)
                shutil.copyfile(one.folder / made, kept)
                print(f"renewed {kept.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
