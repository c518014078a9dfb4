"""Runs the compose stack of deploy/ in a copy of its files, with keys of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from benchmarks.processes import ROOT, TAIL

FILES = ("docker-compose.yml", "deploy/compose.yml", "tests/deploy/compose.yml")
FOLDERS = ("deploy", "models", "tests/deploy/images")
IMAGE = "vaekit-service"
LOCALHOST = "127.0.0.1"
T = TypeVar("T")


def docker(*arguments: str, check: bool = True) -> str:
    """The output of a docker command.

    Raises:
        SystemExit: the command failed and `check` is set; the message has the end of its output.
    """
    return _run(["docker", *arguments], check=check)


def has_engine() -> bool:
    """Whether a Docker engine answers and docker-compose, or the plugin `docker compose`, is installed."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0 and _compose() is not None


def build(target: str, tag: str, folder: Path = ROOT) -> None:
    """Build an image, with the old builder where the new one is not installed."""
    has_new = subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode == 0
    environment = os.environ if has_new else {**os.environ, "DOCKER_BUILDKIT": "0"}
    _run(["docker", "build", "--network", "host", "--target", target, "--tag", tag, str(folder)], environment)


def build_all() -> None:
    """Build the images of the stack. Unchanged layers come from the engine's cache."""
    build("service", IMAGE)
    for target in ("nginx", "prometheus", "alertmanager"):
        build(target, f"vaekit-test-{target}", ROOT / "tests" / "deploy" / "images")


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    folder: Path  # the copy of the repository's files that it runs in
    project: str
    port: int  # of nginx, on 127.0.0.1
    key: str  # of a caller, with the scopes infer and read

    def compose(self, *arguments: str) -> str:
        """The output of a docker-compose command."""
        files = [part for file in FILES for part in ("--file", file)]
        command = [*(_compose() or ()), "--env-file", "deploy/stack.env", "--project-name", self.project, *files]
        return _run([*command, *arguments], self._environment(), self.folder)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's running containers, in the order of their numbers."""
        labels = {"project": self.project, "service": service}
        filters = [
            part for name, value in labels.items() for part in ("--filter", f"label=com.docker.compose.{name}={value}")
        ]
        shown = '{{.Label "com.docker.compose.container-number"}} {{.ID}}'
        lines = docker("ps", *filters, "--format", shown).splitlines()
        return [line.split()[1] for line in sorted(lines, key=lambda line: int(line.split()[0]))]

    def address(self, container: str, port: int) -> str | None:
        """The URL at which a container's port is published; None while the container does not run."""
        published = docker("port", container, f"{port}/tcp", check=False).split()
        return f"http://{published[0]}" if published else None

    def url(self, service: str, port: int) -> str:
        """The URL at which the port of a service with one container is published."""
        [container] = self.containers(service)
        found = self.address(container, port)
        assert found is not None
        return found

    def wait_until_ready(self, container: str, seconds: float = 90.0) -> None:
        """Wait until a replica answers 200 at /readyz."""

        def ready() -> bool:
            address = self.address(container, 8000)  # a restart changes the port
            return address is not None and _status(f"{address}/readyz") == 200

        wait(f"{container} is ready", ready, seconds)

    def _environment(self) -> dict[str, str]:
        given = {"PUBLISH_NGINX": f"{LOCALHOST}:{self.port}", "PUBLISH_PROMETHEUS": "0", "PUBLISH_ALERTMANAGER": "0"}
        return {**os.environ, **given}


@contextmanager
def running(folder: Path, replicas: int, services: Sequence[str], port: int) -> Iterator[Stack]:
    """Run services of the stack in a new folder, with `replicas` of the service; remove all of it at the end.

    The images must have been built.
    """
    copy_files(folder)
    stack = Stack(folder, f"vaekit-{os.getpid()}", port, make_keys(folder))
    try:
        stack.compose("up", "--detach", "--no-build", "--scale", f"service={replicas}", "service", *services)
        for container in stack.containers("service"):
            stack.wait_until_ready(container)
        if "nginx" in services:
            wait("nginx answers", lambda: _status(f"http://{LOCALHOST}:{port}/readyz") == 200)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "5")


def copy_files(folder: Path) -> None:
    """Copy what the stack mounts and reads into a new folder."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("secrets"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)


def make_keys(folder: Path) -> str:
    """Make the secrets of a first run as docs/how-to/deploy.md does; returns the key of a caller."""
    secrets = folder / "deploy" / "secrets"
    (secrets / "keys").mkdir(parents=True)
    (secrets / "grafana-password").write_text("unused")
    (secrets / "prometheus-key").write_text(_new_key(secrets, "prometheus", "--scope", "read"))
    key = _new_key(secrets, "caller")
    for file in (secrets / "prometheus-key", secrets / "keys" / "keys.toml"):
        file.chmod(0o644)  # the processes in the containers are other users
    return key


def wait(what: str, holds: Callable[[], T], seconds: float = 60.0, pause: float = 0.1) -> T:
    """Wait until a function returns something true, and return that.

    Raises:
        SystemExit: it does not in time.
    """
    end = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds:g} s in vain until {what}")
        time.sleep(pause)
    return found


def _new_key(secrets: Path, *arguments: str) -> str:
    user, mount = f"{os.getuid()}:{os.getgid()}", f"{secrets / 'keys'}:/keys"
    made = ("keys", "new", *arguments, "--file", "/keys/keys.toml")
    return docker("run", "--rm", "--user", user, "--volume", mount, IMAGE, *made).strip()


def _status(url: str) -> int:
    """The status of a GET; 0 without a reply."""
    try:
        return httpx.get(url, timeout=2).status_code
    except httpx.HTTPError:
        return 0


def _compose() -> list[str] | None:
    """The command of Compose; None if it is not installed."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    has_plugin = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    return ["docker", "compose"] if has_plugin else None


def _run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, folder: Path = ROOT, *, check: bool = True
) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-TAIL:]}")
    return done.stdout
