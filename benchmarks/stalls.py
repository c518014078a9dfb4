"""Measures how long a thread that reads or writes large JSON makes all other threads wait, and what a process takes.

python -m benchmarks.stalls [--quick] --out build/benchmarks/stalls.json

The wait is that of another thread for Python's interpreter lock. Memory is that of the worker process.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Figure, publish
from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.bundle.read import read_manifest
from vaekit.errors import VaeError
from vaekit_service.codecs import json_codec
from vaekit_service.logs import make_log
from vaekit_service.messages import Answer, Target
from vaekit_service.worker import large_json, tasks
from vaekit_service.worker.process import WorkerProcess

TICK = 0.0005  # seconds between two looks of the other thread
MEMORY = 8 * 2**30  # bytes; no limit in practice
NUMBERS = VectorSpec(columns=tuple(Column(name=f"c{d}") for d in range(30)))
WIDE = VectorSpec(columns=tuple(Column(name=f"c{d}") for d in range(400)))
IMAGES = ImageSpec(height=8, width=8, channels=1)
LARGE_IMAGES = ImageSpec(height=20, width=20, channels=1)
Case = tuple[Any, bytes]  # the inputs of the model, and the body


def bodies() -> dict[str, Case]:
    """Bodies that are read in a thread, or were before there was a worker process."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((10_000, 30)).round(6).tolist()
    pixels = rng.integers(0, 256, (10_000, 8, 8, 1)).tolist()
    missing = [[None, *row[1:]] for row in x]
    objects = [dict(zip(NUMBERS.names, row, strict=True)) for row in x]
    keys: dict[str, Any] = {f"key{i}": 1 for i in range(290_000)}
    return {
        "numbers, 64 KiB": (NUMBERS, _cut(x, large_json.TREE)),
        "numbers, 256 KiB": (NUMBERS, _cut(x, large_json.INLINE)),
        "numbers, 1 MiB": (NUMBERS, _cut(x, large_json.DIRECT)),
        "numbers, 10,000 x 30": (NUMBERS, _body(x)),
        "pixels, 1 MiB": (IMAGES, _cut(pixels, large_json.DIRECT)),
        "pixels, 10,000 x 8 x 8": (IMAGES, _body(pixels)),
        "pixels, 10,000 x 8 x 8, the last one refused": (IMAGES, _body([*pixels[:-1], [*pixels[-1][:-1], [[0]]]])),
        "a missing cell in each row, 64 KiB": (NUMBERS, _cut(missing, large_json.TREE)),
        "a missing cell in each row, 10,000 x 30": (NUMBERS, _body(missing)),
        "rows by column name, 10,000 x 30": (NUMBERS, _body(objects)),
        "290,000 unknown fields": (NUMBERS, _body(x[:1], **keys)),
    }


def largest() -> dict[str, Case]:
    """Bodies with as many values as the default limits admit, which take the most memory."""
    row, image = [1.5] * 400, [[[7]] * 20] * 20
    keys: dict[str, Any] = {f"k{i}": 1 for i in range(2**20 - 2)}
    return {
        "10,000 x 20 x 20 pixels": (LARGE_IMAGES, _body([image] * 10_000)),
        "the same, the last one refused": (LARGE_IMAGES, _body([image] * 9_999 + [[[[7]] * 20] * 19])),
        "10,000 x 400 numbers, one missing": (WIDE, _body([[None, *row[1:]]] + [row] * 9_999)),
        "a million unknown fields": (WIDE, _body([row], **keys)),
    }


def _body(inputs: Sequence[Any], **more: Any) -> bytes:
    return json.dumps({"inputs": inputs, **more}, separators=(",", ":")).encode()


def _cut(inputs: Sequence[Any], size: int) -> bytes:
    """As many rows as a body of this size has."""
    per_row = len(_body(inputs)) / len(inputs)
    return _body(inputs[: int(size / per_row)])


def target(spec: Any) -> Target:
    manifest = read_manifest(Path(__file__).parents[1] / "models" / "digits" / "1")
    return Target("elbo", manifest.model_copy(update={"input": spec}), 10_000)


def stall(work: Callable[[], object]) -> tuple[float, float]:
    """(longest wait of another thread, duration), both in ms."""
    longest, ends = 0.0, threading.Event()

    def look() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not ends.wait(TICK):
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()

    other = threading.Thread(target=look)
    other.start()
    time.sleep(0.02)
    longest, start = 0.0, time.perf_counter()
    with suppress(VaeError):
        work()
    took = time.perf_counter() - start
    ends.set()
    other.join()
    return 1e3 * longest, 1e3 * took


def waits(rounds: int) -> list[Figure]:
    """The wait for each body, and for two replies."""
    works: dict[str, Callable[[], object]] = {}
    for name, (spec, body) in bodies().items():
        works[f"read {name}, {len(body) / 2**20:.2f} MiB"] = partial(json_codec.read, body, {}, target(spec))
    for n in (1_000, 10_000):
        answer = Answer("m", 1, n, {"a": np.random.default_rng(0).standard_normal((n, 64))}, {}, IMAGES)
        works[f"write {n:,} x 64 numbers"] = partial(json_codec.write, answer)
    figures = []
    for name, work in works.items():
        found = [stall(work) for _ in range(rounds)]
        figures.append(Figure.of(f"{name}: others wait", [wait for wait, _ in found], "ms"))
        figures.append(Figure.of(f"{name}: duration", [took for _, took in found], "ms"))
    return figures


async def memory() -> list[Figure]:
    """The peak of the memory of a process that reads one of the largest bodies."""
    figures = []
    for name, (spec, body) in {"no body": (NUMBERS, _body([[1.0] * 30])), **largest()}.items():
        worker = WorkerProcess(MEMORY, make_log("json", "error", io.StringIO()))
        start = time.perf_counter()
        with suppress(VaeError):
            await worker.run(tasks.read, target(spec), body, {})
        took = time.perf_counter() - start
        lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        [peak] = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
        await worker.close()
        figures += [
            Figure(f"process, {name}: peak of memory", peak, "MiB"),
            Figure(f"process, {name}: duration with the start", 1e3 * took, "ms"),
        ]
    return figures


def main(arguments: list[str]) -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stalls", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 round instead of 5")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/stalls.json"))
    options = parser.parse_args(arguments)
    figures = waits(1 if options.quick else 5) + asyncio.run(memory())
    publish(options.out, "Large JSON", figures, ["numpy", "orjson", "pydantic", "pysimdjson"], quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
