"""Compares scoring on a GPU with scoring on the CPU of the same machine, and measures CUDA graphs and float16.

All contenders score rows in memory, in one process and in interleaved rounds. Their results are compared first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.plan import Plan
from benchmarks.report import Figure, Measured, interleave
from benchmarks.scoring import rows
from benchmarks.scoring.throughput import ratio_figure
from vaekit.errors import DeviceError
from vaekit.runtime import Model
from vaekit.runtime.device import CUDA, Cuda
from vaekit.scoring import LocalScorer

ROWS = (400_000, 20_000)  # full, quick
ROUNDS = (5, 2)
SINGLE = 200  # calls of one row
COMPARED = 4_096  # rows
HALF_TOLERANCE = 1.0  # nats by which float16 may differ in a row; the actual difference is reported

LIKELIHOODS = {"gaussian": "gaussian", "recipe of networks": "auto"}
CPU, CARD, GRAPHS, FLOAT16 = "CPU", "card", "card, CUDA graphs", "card, float16"
BASELINES = {CARD: CPU, GRAPHS: CARD, FLOAT16: CARD}  # what each is compared with


def measure(plan: Plan, device: str = "cuda") -> Measured:
    """Measure two models with their default draws: many rows, and calls of one row.

    Raises:
        DeviceError: the device is not available.
    """
    x, rounds = rows.rows(plan.pick(*ROWS)), plan.pick(*ROUNDS)
    figures, facts = [], {}
    for name, likelihood in LIKELIHOODS.items():
        with ExitStack() as stack:
            models = _opened(rows.model(plan.work, likelihood, half=True), device, stack)
            label = f"{name}, K = {models[CPU].manifest.draws.default}"
            facts[label] = largest_differences(models, x[:COMPARED])
            figures += _compared(label, "rows/s", _rates(models, x, rounds))
            figures += _compared(f"{label}, one row", "calls/s", _rates(models, x[:1], rounds, SINGLE))
    return Measured(figures, {"threads": _threads(), "largest difference from the CPU in nats": facts})


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _opened(bundle: Path, device: str, stack: ExitStack) -> dict[str, Model]:
    """Models by label; CUDA graphs are left out if the device cannot record them."""
    settings: dict[str, dict[str, Any]] = {
        CPU: {"device": "cpu", "threads": 1},
        CARD: {"device": device},
        GRAPHS: {"device": device, "cuda": Cuda(graphs=True)},
        FLOAT16: {"device": device, "precision": "float16"},
    }
    models = {}
    for label, how in settings.items():
        try:
            models[label] = stack.enter_context(Model.load(bundle, **how))
        except DeviceError:
            if label != GRAPHS:
                raise
    return models


def largest_differences(models: Mapping[str, Model], x: NDArray[np.float64]) -> dict[str, float]:
    """The largest difference of each ELBO from the CPU's, nats; float32 must be within the bundle's tolerance."""
    want = models[CPU].bound(x).elbo
    allowed = models[CPU].manifest.golden.tolerance[CUDA]
    found = {}
    for label, model in models.items():
        got = model.bound(x).elbo
        found[label] = float(np.abs(got - want).max())
        near = (
            found[label] <= HALF_TOLERANCE
            if label == FLOAT16
            else np.allclose(got, want, allowed.relative, allowed.absolute)
        )
        if not near:
            raise SystemExit(f"{label}: an ELBO differs by {found[label]:.3g} nats from the CPU's")
    return found


def _rates(models: Mapping[str, Model], x: NDArray[np.float64], rounds: int, calls: int = 1) -> dict[str, list[float]]:
    """Rows per second by round, for one call of all rows or for several calls."""
    seconds = interleave({label: _scoring(model, x, calls) for label, model in models.items()}, rounds)
    return {label: [calls * len(x) / one for one in each] for label, each in seconds.items()}


def _scoring(model: Model, x: NDArray[np.float64], calls: int) -> Callable[[], None]:
    """Score as `vae score` does: on a CPU one call per core at once; on a GPU one after the other, warmed."""
    scorer = LocalScorer(model, at_once=_threads() if model.device == "cpu" else 1)
    for warm in model.warm_up_calls(len(x)):
        warm()

    def run() -> None:
        for _ in range(calls):
            for at in range(0, len(x), scorer.batch_rows):
                scorer.score(x[at : at + scorer.batch_rows])

    return run


def _compared(label: str, unit: str, rates: Mapping[str, list[float]]) -> list[Figure]:
    """The ratio of each contender to its baseline, then all rates."""
    return [
        *(
            ratio_figure(f"{label}: {one} / {other}", rates[one], rates[other], None)
            for one, other in BASELINES.items()
            if one in rates
        ),
        *(Figure.of(f"{label}: {name}", each, unit, better="higher") for name, each in rates.items()),
    ]
