"""Measures the time of `Detector.fit` by step: training, publishing, loading.

    python -m benchmarks.fit [--quick] --out build/benchmarks/fit.json

Rows are generated. All rounds run in this process, after a small warm-up fit that is not counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Figure, publish
from vaekit.bundle import find
from vaekit.detector_training import config_of
from vaekit.runtime import Model
from vaekit_training.data.load import of_array
from vaekit_training.publish import publish_run
from vaekit_training.run import run

N, D = 10_000, 20
SIZES = {"full": ((N, D), (10_000, 100), (500, 20)), "quick": ((500, D),)}
SMALL = (120, 3)  # close to the smallest number of rows that the default alpha allows
ROUNDS = {"full": 3, "quick": 1}
TARGET = 30.0  # seconds at (N, D)
SETTINGS: tuple[str, ...] = ()  # the defaults
PACKAGES = ["torch", "onnxruntime", "numpy"]


def rows(n: int, dim: int) -> NDArray[np.float64]:
    """Rows (n, dim): a nonlinear function of four latent variables, plus noise."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((n, 4))
    return np.asarray(np.tanh(z @ rng.standard_normal((4, dim))) + 0.1 * rng.standard_normal((n, dim)))


def step_seconds(x: NDArray[np.float64]) -> dict[str, float]:
    """Seconds of each step of Detector.fit."""
    taken = {}
    began = perf_counter()
    config = config_of(x, settings=SETTINGS)
    trained = run(config, device="cpu", rows=of_array(x, config=config.data, likelihood=config.likelihood))
    taken["training"] = perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        publish_run(trained, folder, draws_report=False)
        taken["export, parity, calibration"] = perf_counter() - began
        began = perf_counter()
        Model.load(find(Path(folder), config.name), device="cpu").close()
        taken["loading"] = perf_counter() - began
    return taken


def measure(mode: str) -> list[Figure]:
    """Figures of every size, with interleaved rounds."""
    tables = {size: rows(*size) for size in SIZES[mode]}
    step_seconds(rows(*SMALL))  # warm-up
    seconds: dict[tuple[int, int], list[dict[str, float]]] = {size: [] for size in tables}
    for _ in range(ROUNDS[mode]):
        for size, x in tables.items():
            seconds[size].append(step_seconds(x))
    figures = []
    for size, rounds in seconds.items():
        label = f"{size[0]:,} rows, {size[1]} columns"
        whole = [sum(one.values()) for one in rounds]
        figures.append(Figure.of(f"fit, {label}", whole, "s", target=TARGET if size == (N, D) else None))
        figures += [Figure.of(f"{step}, {label}", [one[step] for one in rounds], "s") for step in rounds[0]]
    return figures


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small table, one round")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/fit.json"))
    options = parser.parse_args(arguments)
    figures = measure("quick" if options.quick else "full")
    publish(options.out, "Fitting a detector", figures, PACKAGES, quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
