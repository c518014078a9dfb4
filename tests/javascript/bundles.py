"""Trains the bundles of the tests in other languages that no other test has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.kinds import TINY, Published, publish
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.run import run

KERNEL = {
    "name": "kernel",
    "data": {"source": "memory", "missing": "marginalise", "kinds": {"size": "positive"}, "missing_values": [-999]},
    "likelihood": {"name": "mixed"},
    "prior": {"name": "kernel"},
    "ignore": {"load": {"above": "any", "below": "any"}, "size": {"above": 2.5, "below": 0.5}},
}
KERNEL_NAMES = ("load", "size", "heat", "on", "code")
COLOUR = {"name": "colour", "data": {"source": "memory"}}


def train_kernel(root: Path) -> Published:
    """A kernel prior on columns of four kinds, two of which may be missing, with tolerance rules."""
    config = make_config(KERNEL)
    rng = np.random.default_rng(5)
    x = np.empty((400, len(KERNEL_NAMES)), dtype=object)
    load = rng.standard_normal(len(x))
    x[:, 0], x[:, 1] = load, np.exp(0.5 * load + 0.1 * rng.standard_normal(len(x)))
    x[:, 2], x[:, 3] = 1e3 + 20.0 * load + rng.standard_normal(len(x)), rng.integers(0, 2, len(x))
    x[:, 4] = np.where(load > 0.5, "1", np.where(rng.random(len(x)) < 0.5, "02", "x y"))  # two levels are numbers
    x[rng.random(len(x)) < 0.1, 2] = -999
    x[rng.random(len(x)) < 0.1, 4] = None
    rows = of_array(x, KERNEL_NAMES, config=config.data, likelihood=config.likelihood)
    return publish(root, run(config, device="cpu", rows=rows))


def train_colour(root: Path) -> Published:
    """Images of 4 x 3 pixels and three channels."""
    rng = np.random.default_rng(6)
    x = (rng.random((120, 1, 1, 3)) * 200 + rng.random((120, 4, 3, 3)) * 55).astype(np.uint8)
    config = make_config(COLOUR, [*TINY, "network.hidden=[8]"])
    return publish(root, run(config, device="cpu", rows=of_array(x)))
