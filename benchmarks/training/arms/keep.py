"""Starts a training with checkpoints in a folder, or resumes it, and prints a hash of its weights."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vaekit_training.config import Config, make_config
from vaekit_training.data.load import Rows
from vaekit_training.loop.folder import Keep
from vaekit_training.run import Listener, run

ROWS, D = 3_000, 12
SETTINGS: dict[str, dict[str, Any]] = {
    "elbo": {},
    "iwae, ema, accumulated": {
        "objective": {"name": "iwae", "num_samples": 3},
        "training": {"ema": 0.99, "accumulate": 2},
    },
    "members, bf16": {"network": {"members": 3}, "training": {"precision": "bf16"}},
    "aggregate prior, cyclical": {
        "prior": {"name": "aggregate", "components": 100},
        "objective": {"schedule": "cyclical"},
    },
}


def config(settings: str, steps: int) -> Config:
    """A small config with ten checkpoints."""
    tree: dict[str, Any] = {
        "name": "keep",
        "data": {"source": "generated"},
        "network": {"hidden": [32], "latent_dim": 3},
        "training": {
            "steps": steps,
            "batch_size": 64,
            "evaluate_every": steps // 20,
            "checkpoint_every": steps // 10,
            "patience": 100,
            "threads": 1,
        },
    }
    for section, more in SETTINGS[settings].items():
        tree[section] = {**tree.get(section, {}), **more}
    return make_config(tree)


def rows() -> Rows:
    """Correlated columns, (N, D)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 3)) @ rng.standard_normal((3, D)) + 0.3 * rng.standard_normal((ROWS, D))
    return Rows(x, tuple(f"x{d}" for d in range(D)), np.zeros(ROWS, dtype=bool))


def main(arguments: list[str]) -> None:
    """Train, print every step on its own line, then the sha256 of the weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", choices=SETTINGS, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(arguments)
    first: list[int] = []

    def on_step(step: int) -> None:
        first.append(step)
        sys.stdout.write(f"step {step}\n")
        sys.stdout.flush()

    keep = Keep(options.run, resume=options.resume)
    chosen = config(options.settings, options.steps)
    trained = run(chosen, device="cpu", rows=rows(), keep=keep, listener=Listener(on_step=on_step))
    sha = hashlib.sha256()
    for name, values in sorted(trained.vae.state_dict().items()):
        sha.update(name.encode() + values.numpy().tobytes())
    line = {"sha256": sha.hexdigest(), "first_step": first[0], "steps": first[-1]}
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
