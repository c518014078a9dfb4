"""A table of machines with numbers, categories, missing cells and two sites, and a model of it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from tests.kinds import publish
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.run import run

NAMES = ("pressure", "flow", "starts", "valve", "site")
CONFIG = {
    "name": "machines",
    "data": {"source": "memory", "missing": "marginalise", "kinds": {"starts": "count", "flow": "positive"}},
    "likelihood": {"name": "auto"},
    "calibration": {"by": ["site"], "least_rows": 30},
}


def rows(n: int, seed: int = 0) -> np.ndarray:
    """Normal rows, (n, 5): numbers, names of levels, None if missing."""
    rng = np.random.default_rng(seed)
    load = rng.standard_normal(n)
    x = np.empty((n, len(NAMES)), dtype=object)
    x[:, 0] = np.round(100 + 10 * load + rng.standard_normal(n), 2)
    x[:, 1] = np.round(np.exp(1 + 0.4 * load + 0.1 * rng.standard_normal(n)), 3)
    x[:, 2] = rng.poisson(3, n)
    x[:, 3] = np.where(load > 0.3, "open", np.where(rng.random(n) < 0.6, "half", "shut"))
    x[:, 4] = np.where(rng.random(n) < 0.65, "north", "south")
    x[rng.random(n) < 0.1, 1] = None
    x[rng.random(n) < 0.05, 3] = None
    return x


def train(root: Path) -> None:
    """Publish the model in a models folder, by the default recipe."""
    config = make_config(CONFIG)
    publish(
        root,
        run(config, device="cpu", rows=of_array(rows(700), NAMES, config=config.data, likelihood=config.likelihood)),
    )


def text(n: int, seed: int = 1) -> str:
    """A CSV file with an id column: n normal rows, the first of which are then spoilt."""
    x = rows(n, seed)
    return _csv(_spoilt(x))


def faulty_text(n: int, faults: int, seed: int = 2) -> str:
    """A CSV file with an id column: n rows, some of which have a value that does not fit with the others."""
    x = rows(n, seed)
    rng = np.random.default_rng(seed)
    for turn, row in enumerate(rng.choice(n, faults, replace=False)):
        if turn % 3 == 0:
            x[row, 1] = round(float(rng.uniform(7, 14)), 3)  # flow
        elif turn % 3 == 1:
            x[row, 0] = round(float(rng.uniform(55, 68)), 2)  # pressure
        else:
            x[row, 2] = int(rng.integers(14, 40))  # starts
    return _csv(_spoilt(x))


def _spoilt(x: np.ndarray) -> np.ndarray:
    x[0, 1] = 40.0  # far from what the pressure lets expect
    x[1, 3] = "stuck"  # an unseen level
    x[2, 0] = "n/a?"  # not a number
    x[3, 2] = 60
    return x


def _csv(x: np.ndarray) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["machine", *NAMES])
    writer.writerows([f"m{number}", *("" if cell is None else cell for cell in row)] for number, row in enumerate(x))
    return file.getvalue()
