"""Measures the memory of training on Parquet: its peak, its growth, and how it depends on the size of the data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.plan import Plan
from benchmarks.processes import run_arm
from benchmarks.report import Figure, Measured

D = 32
ROW_BYTES = 8 * D
FILE_ROWS = 1_000_000
GROUP_ROWS = 100_000
BATCH = 1_024
TRAIN_SHARE = 0.9  # as in arms.stream
SIZES = {False: (10e9, 2e9), True: (800e6, 400e6)}  # by quick: bytes of the large set and of the small one
DISK_FACTOR = 2.0  # free disk space that is required, in sizes of the set
BOUND = 1e9  # target for the peak, in bytes above the start
MAX_GROWTH = 1.15  # target for memory in the last half of training / in the first; allocators vary by some percent


def measure(plan: Plan) -> Measured:
    """Measure one pass over a large set and one over a small set."""
    large, small = SIZES[plan.quick]
    peaks, facts = {}, {}
    for name, size in (("small", small), ("large", large)):
        folder = plan.work / name
        written = generate(folder, size)
        steps = int(size / ROW_BYTES * TRAIN_SHARE) // BATCH
        found = run_arm("training.arms.stream", ["--source", str(folder), "--steps", str(steps), "--batch", str(BATCH)])
        shutil.rmtree(folder)
        peaks[name] = Peaks(found)
        facts[name] = {
            "parquet_bytes": written,
            "steps": steps,
            "seconds": found["process_seconds"],
            "start_bytes": found["start_bytes"],
            "curve": thinned(found["samples"]),
        }
    label = f"{large / 1e9:g} GB of Parquet"
    large_peaks, small_peaks = peaks["large"], peaks["small"]
    figures = [
        Figure(f"peak memory over the start, {label}", large_peaks.over / 1e6, "MB", target=BOUND / 1e6),
        Figure(f"peak memory over the start, {small / 1e9:g} GB", small_peaks.over / 1e6, "MB"),
        Figure(f"peak memory / size of the data, {label}", large_peaks.over / large, "times"),
        Figure(
            f"memory of the last half of training / of the first, {label}",
            large_peaks.growth,
            "times",
            target=MAX_GROWTH,
        ),
        Figure(f"memory of {label} / of {small / 1e9:g} GB", large_peaks.level / small_peaks.level, "times"),
    ]
    return Measured(figures, facts)


class Peaks:
    """Memory of one run in bytes above its start: the peak, the median while training, and its growth."""

    def __init__(self, found: dict[str, Any]) -> None:
        samples = np.array(found["samples"])  # (S, 3): seconds, step, bytes
        over, step = samples[:, 2] - found["start_bytes"], samples[:, 1]
        late = step > step[-1] / 2
        self.over = float(over.max())
        self.level = float(np.median(over[step > 0]))
        self.growth = float(np.median(over[late]) / np.median(over[(step > 0) & ~late]))


def generate(folder: Path, size: float, seed: int = 0) -> int:
    """Write correlated float64 columns of this many bytes; returns their size on disk.

    Raises:
        SystemExit: not enough disk space.
    """
    folder.mkdir(parents=True)
    free = shutil.disk_usage(folder).free
    if free < DISK_FACTOR * size:
        raise SystemExit(f"{folder}: {free / 1e9:.1f} GB are free, expected at least {DISK_FACTOR * size / 1e9:g} GB")
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((8, D))
    rows = int(size / ROW_BYTES)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        n = min(FILE_ROWS, rows - first)
        x = rng.standard_normal((n, 8)) @ mixing + 0.3 * rng.standard_normal((n, D))
        table = pa.table({f"x{d}": x[:, d] for d in range(D)})
        parquet.write_table(table, folder / f"part-{number:05}.parquet", row_group_size=GROUP_ROWS)
    return sum(file.stat().st_size for file in folder.iterdir())


def thinned(samples: list[Any], most: int = 200) -> list[Any]:
    """At most `most` of the samples, evenly spaced, to plot memory over time."""
    return samples[:: max(1, -(-len(samples) // most))]
