"""The arguments, rows and output that all arms share. Imports no trainer."""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Job:
    """What an arm trains: a VAE D -> hidden -> Z -> hidden -> D on 0/1 rows. The first epoch is warm-up."""

    dims: int
    hidden: int
    latent: int
    rows: int = 60_000
    epochs: int = 6
    batch: int = 128
    members: int = 1

    def arguments(self) -> list[str]:
        return [part for name, value in asdict(self).items() for part in (f"--{name}", str(value))]

    @property
    def steps_per_epoch(self) -> int:
        return self.rows // self.batch


def job(arguments: list[str] | None = None) -> Job:
    """The job from the command line."""
    parser = argparse.ArgumentParser()
    for name in Job.__dataclass_fields__:
        parser.add_argument(f"--{name}", type=int, required=True)
    return Job(**vars(parser.parse_args(arguments)))


def binary_rows(job: Job, rows: int | None = None) -> NDArray[np.float32]:
    """0/1 rows (n, D) float32 with 13 % ones, as in binarised MNIST; every trainer has a loss for such data."""
    return (np.random.default_rng(0).random((rows or job.rows, job.dims)) < 0.13).astype(np.float32)


class Clock:
    """Measures each epoch from `start` on, in CPU seconds and in wall-clock seconds.

    CPU seconds do not depend on the load of other programs. An arm has one thread, so that both are equal on an idle
    machine.
    """

    def __init__(self) -> None:
        self.start()
        self.seconds: list[float] = []
        self.wall_seconds: list[float] = []

    def start(self) -> None:
        self._last = process_time(), perf_counter()

    def lap(self) -> None:
        before, before_wall = self._last
        self.start()
        now, now_wall = self._last
        self.seconds.append(now - before)
        self.wall_seconds.append(now_wall - before_wall)


def report(clock: Clock, rows_per_epoch: int, packages: tuple[str, ...]) -> None:
    """Print the result as the last line, including the warm-up."""
    line: dict[str, Any] = {
        "rows_per_epoch": rows_per_epoch,
        "seconds": clock.seconds,
        "wall_seconds": clock.wall_seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {name: metadata.version(name) for name in packages},
    }
    sys.stdout.write("\n" + json.dumps(line) + "\n")
