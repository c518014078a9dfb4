"""Measures what a second core adds to a model's throughput, as a second thread and as a second process.

    python -m benchmarks.threads [--quick] --out build/benchmarks/threads.json

There is no server. Each process calls Model.elbo with the default draws in a loop, on batches of one size.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.processes import ROOT, environment
from benchmarks.report import Figure, publish, run_rounds
from benchmarks.serving.models import LARGE, make
from vaekit.runtime import Model
from vaekit_training.config import make_config
from vaekit_training.publish import publish_run
from vaekit_training.run import run

ROWS = (1, 8, 64, 512)
SIDE, STEPS = 28, 20
PACKAGES = ["onnxruntime", "numpy"]
Timing = dict[str, float]  # rows: rows per second; p50: milliseconds of a call


def make_conv(folder: Path) -> Path:
    """Publish a small convolutional model of 28 x 28 images, and return the path of the bundle."""
    source = folder / "images.npy"
    np.save(source, np.random.default_rng(0).integers(0, 256, (1000, SIDE, SIDE, 1)).astype(np.uint8))
    settings = {
        "name": "conv",
        "data": {"source": str(source)},
        "network": {"name": "conv", "channels": [32, 64], "latent_dim": 16},
        "training": {"steps": STEPS, "evaluate_every": STEPS, "threads": 1},
    }
    manifest = publish_run(run(make_config(settings), device="cpu"), folder / "models")
    return folder / "models" / manifest.name / str(manifest.version)


def rows_of(model: Model, n: int) -> Any:
    """Rows or images of noise, (n, ...); the content does not change the time."""
    rng, shape = np.random.default_rng(1), (n, *model.spec.row_shape)
    return rng.standard_normal(shape) if model.spec.kind == "vector" else rng.integers(0, 256, shape).astype(np.uint8)


def run_worker(threads: int) -> None:
    """The main loop of a worker process: reads lines `bundle n seconds` and prints one line of figures for each."""
    loaded: dict[str, Model] = {}
    for line in sys.stdin:
        bundle, n, seconds = line.rsplit(maxsplit=2)
        model = loaded.setdefault(bundle, Model.load(bundle, device="cpu", threads=threads))
        print(json.dumps(timed(model, int(n), float(seconds))), flush=True)


def timed(model: Model, n: int, seconds: float) -> Timing:
    """Rows per second and the median milliseconds of a call; the first tenth of the time is warm-up."""
    x = rows_of(model, n)
    taken: list[float] = []
    begin = perf_counter()
    while (start := perf_counter()) < begin + 1.1 * seconds:
        model.elbo(x)
        if start >= begin + 0.1 * seconds or not taken:
            taken.append(perf_counter() - start)
    return {"rows": n / statistics.mean(taken), "p50": 1e3 * statistics.median(taken)}


class Worker:
    """A process with this many threads per call, idle until begin is called."""

    def __init__(self, threads: int) -> None:
        command = [sys.executable, "-m", "benchmarks.threads", "--worker", str(threads)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.communicate()

    def begin(self, bundle: Path, n: int, seconds: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{bundle} {n} {seconds}\n")
        self._process.stdin.flush()

    def end(self) -> Timing:
        assert self._process.stdout is not None
        timing: Timing = json.loads(self._process.stdout.readline())
        return timing


def run_together(workers: Sequence[Worker], bundle: Path, n: int, seconds: float) -> Timing:
    """Run all workers at the same time: their total rows per second, and the mean of their median call times."""
    for worker in workers:
        worker.begin(bundle, n, seconds)
    found = [worker.end() for worker in workers]
    return {"rows": sum(one["rows"] for one in found), "p50": statistics.mean(one["p50"] for one in found)}


def measure(bundles: dict[str, Path], rounds: int, seconds: float) -> list[Figure]:
    """Rows per second and p50 of each arm, for each model and number of rows."""
    figures = []
    with ExitStack() as stack:
        one, other, two = (stack.enter_context(Worker(threads)) for threads in (1, 1, 2))
        arms = {"1 thread": [one], "2 threads": [two], "2 processes of 1 thread": [one, other]}
        for name, bundle in bundles.items():
            for workers in arms.values():
                run_together(workers, bundle, 1, 0.01)  # loads the model
            for n in ROWS:
                calls: dict[str, Callable[[], Timing]] = {
                    arm: partial(run_together, workers, bundle, n, seconds) for arm, workers in arms.items()
                }
                for arm, runs in run_rounds(calls, rounds).items():
                    label = f"{name}, batches of {n}: {arm}"
                    figures.append(Figure.of(label, [found["rows"] for found in runs], "rows/s", better="higher"))
                    figures.append(Figure.of(f"{label}, p50", [found["p50"] for found in runs], "ms"))
    return figures


def main(arguments: list[str]) -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.3 s instead of 5 of 2 s")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/threads.json"))
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        return run_worker(options.worker)
    rounds, seconds = (2, 0.3) if options.quick else (5, 2.0)
    with tempfile.TemporaryDirectory() as folder:
        bundles = {"dense, D = 784": make(LARGE, Path(folder)), "conv, 28 x 28": make_conv(Path(folder))}
        figures = measure(bundles, rounds, seconds)
    title = f"Model.elbo with the default draws, {rounds} rounds of {seconds:g} s"
    return publish(options.out, title, figures, PACKAGES, rounds=rounds, seconds=seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
