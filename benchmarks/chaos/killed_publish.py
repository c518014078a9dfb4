"""Publishes a bundle again and again; a copy of the process is killed before each step of the publish in turn.

    python -m benchmarks.chaos.killed_publish BUNDLE MODELS

A step is any operation on the models folder; a file is written in two steps. Prints a line of JSON after each publish:
the step it was killed at, whether it was killed, and the versions that are listed. Then waits for a line on stdin.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from vaekit.bundle import publish, versions
from vaekit.bundle.read import read_manifest

WATCHED = ("open", "os.mkdir", "os.chmod", "os.rename")  # audit events


class Steps:
    """Counts the steps of this process, and kills it at one of them."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.count, self.kill_at = 0, 0

    def step(self) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Make steps of the system calls on the models folder."""
        real_fsync, real_open = os.fsync, Path.open

        def audit(event: str, args: tuple[Any, ...]) -> None:
            if event in WATCHED and self._root in str(args[0]):
                self.step()

        def fsync(handle: int) -> None:
            self.step()
            real_fsync(handle)

        def opened(path: Path, mode: str = "r", *rest: Any, **given: Any) -> Any:
            file = real_open(path, mode, *rest, **given)
            return HalfWritten(file, self) if mode == "wb" else file

        sys.addaudithook(audit)
        os.fsync = fsync  # type: ignore[assignment]  # a stand-in
        Path.open = opened  # type: ignore[assignment,method-assign]  # a stand-in


class HalfWritten:
    """A file whose content is written in two steps."""

    def __init__(self, file: Any, steps: Steps) -> None:
        self._file, self._steps = file, steps

    def __enter__(self) -> HalfWritten:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        self._steps.step()
        self._file.write(data[len(data) // 2 :])


def main(source: Path, root: Path) -> int:
    """Publish until one publish is not killed."""
    manifest = read_manifest(source)
    files = {path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    steps = Steps(root)
    steps.watch()
    while True:
        steps.kill_at += 1
        child = os.fork()
        if not child:
            steps.count = 0
            publish(root, manifest, files)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        print(json.dumps([steps.kill_at, killed, versions(root, manifest.name)]), flush=True)
        sys.stdin.readline()
        if not killed:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
