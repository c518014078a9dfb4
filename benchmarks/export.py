"""Measures the export of a VAE of 20 columns to ONNX, in a new process each time.

    python -m benchmarks.export [--quick] --out build/benchmarks/export.json

Each round starts a process with two threads, builds a model and exports all its graphs. The model is untrained, because
weights do not change the time. The time includes the import of onnx. The import of torch is reported separately.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.processes import run_arm
from benchmarks.report import Figure, publish, run_rounds

N, D = 3_000, 20
THREADS = 2
TARGETS = {"gaussian": 0.5, "recipe": 1.0}  # seconds
LABELS = {"gaussian": "a Gaussian VAE", "recipe": "the default recipe"}
ROUNDS = {"full": 5, "quick": 1}


def arm(kind: str) -> dict[str, float]:
    """Seconds of each step in this process, which should be new."""
    began = perf_counter()
    import torch

    torch_taken = perf_counter() - began
    began = perf_counter()
    import onnx  # noqa: F401  imported here to be timed

    imported = perf_counter() - began
    vae, x = model(kind)
    from vaekit_training.export import export_graphs

    began = perf_counter()
    export_graphs(vae, torch.from_numpy(x))
    return {"torch": torch_taken, "import": imported, "export": imported + perf_counter() - began}


def model(kind: str):  # type: ignore[no-untyped-def]  # (VAE, rows); imports are inside so that the import of torch is timed first
    """The model and rows, (N, D)."""
    import numpy as np

    from benchmarks.fit import rows
    from vaekit.detector_training import config_of
    from vaekit_training.build import build
    from vaekit_training.data.load import of_array
    from vaekit_training.network_rows import network_rows, refresh_prior
    from vaekit_training.prior import Aggregate

    x = rows(N, D)
    config = config_of(x, likelihood="auto" if kind == "recipe" else kind)
    table = of_array(x, config=config.data, likelihood=config.likelihood)
    vae = build(config, table, np.arange(N))
    if isinstance(vae.prior, Aggregate):
        refresh_prior(vae, network_rows(vae, table.x))
    return vae.eval(), table.x


def measure(mode: str) -> list[Figure]:
    """Figures of both models from interleaved rounds."""
    arms: dict[str, Callable[[], dict[str, float]]] = {
        kind: partial(run_arm, "export", ["--arm", kind], threads=THREADS) for kind in TARGETS
    }
    figures = []
    for kind, rounds in run_rounds(arms, ROUNDS[mode]).items():
        label = LABELS[kind]
        figures.append(Figure.of(f"export of {label}", [one["export"] for one in rounds], "s", target=TARGETS[kind]))
        figures += [Figure.of(f"import of onnx, part of the export of {label}", [one["import"] for one in rounds], "s")]
        figures += [Figure.of(f"import of torch, not in the export of {label}", [one["torch"] for one in rounds], "s")]
    return figures


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--arm", choices=TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/export.json"))
    options = parser.parse_args(arguments)
    if options.arm:
        print(json.dumps(arm(options.arm)))
        return
    figures = measure("quick" if options.quick else "full")
    publish(options.out, "Export to ONNX, 20 columns", figures, ["torch", "onnx", "onnxruntime"], quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
