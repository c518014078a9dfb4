"""One way to a verdict: its files, its four commands, and a run of them in a new environment."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import tomllib
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.processes import free_port
from benchmarks.serving.servers import stop

WAYS = Path(__file__).parent / "ways"
STEPS = ("install", "train", "serve", "ask")
LONGEST_START = 120.0  # seconds until a server must be ready


@dataclass(frozen=True)
class Run:
    """Seconds of each step, and the verdict on each row."""

    seconds: Mapping[str, float]
    verdicts: list[bool]
    reply: list[dict[str, str]]


@dataclass(frozen=True)
class Way:
    """The files of a folder, in which `steps.toml` has the commands."""

    name: str

    @property
    def folder(self) -> Path:
        return WAYS / self.name

    @property
    def steps(self) -> dict[str, str]:
        return tomllib.loads((self.folder / "steps.toml").read_text(encoding="utf-8"))

    @property
    def files(self) -> list[Path]:
        """The files that the user writes."""
        return sorted(each for each in self.folder.iterdir() if each.name != "steps.toml" and each.is_file())

    @property
    def lines(self) -> int:
        """Lines that the user writes: the four commands, and the lines of the files without empty ones and comments."""
        text = (each.read_text(encoding="utf-8").splitlines() for each in self.files)
        return len(STEPS) + sum(1 for lines in text for line in lines if line.strip() and not line.startswith("#"))

    def run(self, work: Path, data: Mapping[str, str], environment: Mapping[str, str]) -> Run:
        """Run the four steps in a new folder and a new virtual environment.

        Args:
            work: the folder to make; replaced if it exists.
            data: text of the files that are there already: train.csv and new.csv.
            environment: further variables for the commands, such as those of pip.
        """
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.folder, work)
        for name, text in data.items():
            (work / name).write_text(text, encoding="utf-8")
        port = free_port()
        paths = f"{(work / 'venv/bin').absolute()}{os.pathsep}{os.environ['PATH']}"
        variables = {**os.environ, **environment, "PATH": paths, "PORT": str(port), "PYTHONPATH": ""}
        seconds: dict[str, float] = {}
        with _timed(seconds, "install"):
            venv.create(work / "venv", with_pip=True)
            _call(self.steps["install"], work, variables)
        with _timed(seconds, "train"):
            _call(self.steps["train"], work, variables)
        with _serving(self.steps["serve"], work, variables) as server:
            with _timed(seconds, "serve"):
                _wait(f"http://127.0.0.1:{port}{self.steps['ready']}", server)
            with _timed(seconds, "ask"):
                text = _call(self.steps["ask"], work, variables)
        reply = list(csv.DictReader(io.StringIO(text)))
        return Run(seconds, [row["is_anomaly"].lower() in ("true", "1") for row in reply], reply)


def _call(command: str, work: Path, variables: Mapping[str, str]) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=work, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{work.name}: {command}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    return done.stdout


@contextmanager
def _serving(command: str, work: Path, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process group of its own, which is ended with it."""
    with (work / "server.log").open("wb") as log:
        server = subprocess.Popen(
            ["bash", "-c", command],
            cwd=work,
            env=dict(variables),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield server
        finally:
            stop(server)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers with status 200."""
    end = perf_counter() + LONGEST_START
    while perf_counter() < end and server.poll() is None:
        try:
            with urlopen(url, timeout=2):
                return
        except (URLError, OSError):
            sleep(0.05)
    raise SystemExit(f"{url} does not answer; see server.log")


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begin = perf_counter()
    yield
    seconds[name] = perf_counter() - begin
