"""Trains small models for the tests: mixed kinds of columns, missing cells, ensembles, folds, float16 graphs.

Their bundles have no report: drawing it would take as long as training, and no test of these models reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array, of_columns
from vaekit_training.publish import publish_run
from vaekit_training.run import run
from vaekit_training.trained import Trained

TINY = ["training.steps=40", "network.latent_dim=2", "draws.default=4", "draws.maximum=16"]
NAMES = ("load", "size", "stops", "on", "colour")
KINDS = {"size": "positive", "stops": "count"}
MIXED = {
    "name": "mixed",
    "data": {"source": "memory", "kinds": KINDS, "missing": "marginalise"},
    "likelihood": {"name": "mixed"},
}
SEVERAL = {"name": "several", "data": {"source": "memory"}, "network": {"members": 2}}
FOLDED = {
    "name": "folded",
    "data": {"source": "memory", "missing": "marginalise", "folds": 3},
    "network": {"members": 2},
    "prior": {"name": "aggregate", "start": 1.0},
}
GROUPED = {
    "name": "grouped",
    "data": {"source": "memory", "missing": "marginalise", "kinds": {"stops": "count"}},
    "likelihood": {"name": "mixed"},
    "calibration": {"by": ["site", "observed_cells"], "least_rows": 30},
}
GROUPED_NAMES = ("load", "heat", "stops", "on", "site")
SHOWN = {
    "name": "shown",
    "data": {"source": "memory", "missing": "marginalise"},
    "likelihood": {"name": "auto"},
    "privacy": {"show_exemplars": True},
}
WINDOWED = {
    "name": "windowed",
    "data": {
        "source": "memory",
        "window": 4,
        "time": "ts",
        "series_column": "machine",
        "missing": "marginalise",
    },
    "likelihood": {"name": "mixed"},
    "prior": {"name": "kernel"},
}
WINDOWED_COLUMNS = ("load", "temp", "mode")
HALF = {"name": "half", "data": {"source": "memory"}, "export": {"half": True}}


@dataclass(frozen=True)
class Published:
    """A training run and the models folder in which it published its only model."""

    root: Path
    trained: Trained

    @property
    def name(self) -> str:
        return self.trained.config.name

    @property
    def folder(self) -> Path:
        return self.root / self.name


def mixed_rows(n: int, seed: int = 0) -> NDArray[Any]:
    """Rows with the columns NAMES, (n, 5), as a caller would pass them: numbers, names of levels, None if missing."""
    rng = np.random.default_rng(seed)
    load = rng.standard_normal(n)
    x = np.empty((n, len(NAMES)), dtype=object)
    x[:, 0], x[:, 1] = load, np.exp(load + 0.3 * rng.standard_normal(n))
    x[:, 2], x[:, 3] = rng.poisson(3, n), rng.integers(0, 2, n)
    x[:, 4] = np.where(load > 0.5, "red", np.where(rng.random(n) < 0.5, "blue", "green, dark"))
    missing = (rng.random(x.shape) < 0.15) & [False, True, False, True, True]
    missing[missing.sum(axis=1) == 3] = False  # so that a row with three missing cells has no p-value
    x[missing] = None
    return x


def train_mixed(root: Path) -> Published:
    """Columns of five kinds, three of which may be missing."""
    config = make_config(MIXED, [*TINY, "network.hidden=[8]"])
    rows = of_array(mixed_rows(200), NAMES, config=config.data, likelihood=config.likelihood)
    return publish(root, run(config, device="cpu", rows=rows))


def curve_rows() -> NDArray[np.float64]:
    """Rows (300, 3) near a curve, in different units; in every tenth row the second cell is missing."""
    rng = np.random.default_rng(0)
    angle = rng.random((300, 1)) * 6.0
    x = np.hstack([np.cos(angle), np.sin(angle), np.cos(3.0 * angle)]) + 0.02 * rng.standard_normal((300, 3))
    x[::10, 1] = np.nan
    return x * [1e-3, 1.0, 1e4]


def train_shown(root: Path) -> Published:
    """A kernel prior on three real columns, the second of which may be missing; the bundle holds its training rows."""
    config = make_config(SHOWN)
    return publish(root, run(config, device="cpu", rows=of_array(curve_rows(), list("abc"), config=config.data)))


def train_several(root: Path) -> Published:
    """Two members on three real columns."""
    x = np.random.default_rng(1).standard_normal((120, 3)) * [1.0, 1e-3, 1e5]
    config = make_config(SEVERAL, [*TINY, "network.hidden=[4]"])
    return publish(root, run(config, device="cpu", rows=of_array(x, list("abc"))))


def train_folded(root: Path) -> Published:
    """Three fold models of two members each, on three real columns, the first of which may be missing."""
    config = make_config(FOLDED, [*TINY, "network.hidden=[4]"])
    rows = of_array(folded_rows(120), list("abc"), config=config.data)
    return publish(root, run(config, device="cpu", rows=rows))


def folded_rows(n: int, seed: int = 3) -> NDArray[np.float64]:
    """Rows for the model of train_folded, (n, 3); some cells of the first column are missing."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)) * [1.0, 1e-3, 1e5]
    x[rng.random(n) < 0.2, 0] = np.nan
    return x


def train_grouped(root: Path) -> Published:
    """Columns of four kinds, calibrated by site and by the number of observed cells; two sites are noisier."""
    config = make_config(GROUPED, [*TINY, "network.hidden=[8]"])
    rows = of_array(grouped_rows(1200), GROUPED_NAMES, config=config.data, likelihood=config.likelihood)
    return publish(root, run(config, device="cpu", rows=rows))


def grouped_rows(n: int, seed: int = 4) -> NDArray[Any]:
    """Rows for the model of train_grouped, (n, 5): half of them of site a, 45 % of b, and 5 % of c, a small group."""
    rng = np.random.default_rng(seed)
    x = np.empty((n, len(GROUPED_NAMES)), dtype=object)
    x[:, 4] = rng.choice(["a", "b", "c"], n, p=[0.5, 0.45, 0.05])
    x[:, :2] = rng.standard_normal((n, 2)) * np.where(x[:, 4] == "a", 1.0, 3.0)[:, None]
    x[:, 2], x[:, 3] = rng.poisson(3, n), rng.integers(0, 2, n)
    x[rng.random(n) < 0.4, 1] = None
    return x


def train_windowed(root: Path) -> Published:
    """Windows of 4 steps of two machines: two numbers, one of which may be missing, and a category; a kernel prior."""
    config = make_config(WINDOWED)
    columns = {name: np.asarray(cells) for name, cells in series_columns(500).items()}
    rows = of_columns(columns, np.zeros(1000, dtype=bool), config=config.data, likelihood=config.likelihood)
    return publish(root, run(config, device="cpu", rows=rows))


def series_columns(n: int, seed: int = 6, gap: int | None = 300) -> dict[str, NDArray[Any]]:
    """n time steps of each of two machines, in turn, by column name; `gap`: the step before which ten are lost."""
    rng, minutes = np.random.default_rng(seed), np.arange(n)
    if gap is not None:
        minutes = np.where(minutes < gap, minutes, minutes + 10)
    found: dict[str, list[Any]] = {name: [] for name in ("ts", "machine", *WINDOWED_COLUMNS)}
    for minute in minutes:
        for machine in "pq":
            phase = 2 * np.pi * minute / 12
            found["ts"].append(str(np.datetime64("2024-03-01T00:00:00") + np.timedelta64(int(minute), "m")))
            found["machine"].append(machine)
            found["load"].append(np.sin(phase) + 0.1 * rng.standard_normal())
            found["temp"].append(np.nan if rng.random() < 0.05 else 20 + np.cos(phase) + 0.1 * rng.standard_normal())
            found["mode"].append("day" if np.sin(phase) > 0 else "night")
    as_objects = {"ts", "machine", "mode"}
    return {name: np.array(cells, dtype=object if name in as_objects else float) for name, cells in found.items()}


def train_half(root: Path) -> Published:
    """Three real columns; the bundle also has float16 graphs."""
    x = np.random.default_rng(2).standard_normal((300, 3)) * [1.0, 1e-3, 1e5]
    config = make_config(HALF, [*TINY, "network.hidden=[8]"])
    return publish(root, run(config, device="cpu", rows=of_array(x, list("abc"))))


def publish(root: Path, trained: Trained) -> Published:
    """Publish a training run without its report."""
    with patch("vaekit_training.publish.report.render", lambda *_: lambda _: {}):
        publish_run(trained, root)
    return Published(root, trained)


def as_json(x: NDArray[Any], spec: VectorSpec | ImageSpec) -> list[Any]:
    """Rows of an array as in a JSON request: levels by name, None for a missing cell."""
    rows: list[Any] = x.tolist()
    if isinstance(spec, ImageSpec):
        return rows
    return [
        [
            None if cell != cell else column.levels[int(cell)] if column.levels else cell
            for cell, column in zip(row, spec.columns, strict=True)
        ]
        for row in rows
    ]
