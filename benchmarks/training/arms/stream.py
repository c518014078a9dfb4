"""Trains on a folder of Parquet that is read in chunks, and samples the memory of the process."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from time import perf_counter

from vaekit_training.config import Config, make_config
from vaekit_training.run import Listener, check_imports, run

EVERY = 0.05  # seconds between samples
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


class Sampler:
    """Samples of resident bytes, each with the seconds since the start and the training step."""

    def __init__(self) -> None:
        self.step = 0
        self.samples: list[tuple[float, int, int]] = []
        self._start, self._ended = perf_counter(), threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(EVERY):
            self.samples.append((perf_counter() - self._start, self.step, resident()))


def config(source: Path, steps: int, batch: int) -> Config:
    """A config that uses most rows for training, because of the other rows only a sample is held in memory."""
    rest = 0.1 / 3
    return make_config(
        {
            "name": "stream",
            "data": {
                "source": str(source),
                "read": "stream",
                "fractions": {"train": 0.9, "validation": rest, "calibration": rest, "test": rest},
            },
            "network": {"hidden": [64], "latent_dim": 8},
            "training": {
                "steps": steps,
                "batch_size": batch,
                "evaluate_every": max(1, steps // 10),
                "patience": 100,
                "threads": 1,
            },
        }
    )


def main(arguments: list[str]) -> None:
    """Train, sample, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    options = parser.parse_args(arguments)
    check_imports()
    start = resident()  # after the imports, before any row is read
    with Sampler() as sampler:
        run(
            config(options.source, options.steps, options.batch),
            device="cpu",
            listener=Listener(on_step=lambda step: setattr(sampler, "step", step)),
        )
    sys.stdout.write("\n" + json.dumps({"start_bytes": start, "samples": sampler.samples}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
