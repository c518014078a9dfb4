"""Runs one rank of a training run of 50 steps; the first rank prints the loss of every step."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from benchmarks.training.arms.keep import rows
from vaekit_training.config import Config, make_config
from vaekit_training.run import Listener, run

STEPS = 50
BATCH = 128
SETTINGS: dict[str, dict[str, Any]] = {
    "elbo": {},
    "iwae": {"objective": {"name": "iwae", "num_samples": 4}},
    "accumulated": {"training": {"accumulate": 2}},
}


def config(settings: str) -> Config:
    """A config with a validation after every step, so that the reported objective is that of a single step."""
    tree: dict[str, Any] = {
        "name": "rank",
        "data": {"source": "generated"},
        "network": {"hidden": [32], "latent_dim": 3},
        "training": {
            "steps": STEPS,
            "batch_size": BATCH,
            "evaluate_every": 1,
            "patience": STEPS,
            "threads": 1,
        },
    }
    for section, more in SETTINGS[settings].items():
        tree[section] = {**tree.get(section, {}), **more}
    return make_config(tree)


def main(settings: str) -> None:
    """Train and print."""
    losses: list[float] = []
    listener = Listener(on_validation=lambda validation: losses.append(validation.train_objective))
    run(config(settings), device="cpu", rows=rows(), listener=listener)
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write("\n" + json.dumps({"losses": losses, "ranks": int(os.environ.get("WORLD_SIZE", "1"))}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
