"""Trains one recipe on statically binarised MNIST, and estimates -log p(x) of the test images."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.training.nll import minus_log_evidence
from vaekit_training.config import Config, make_config
from vaekit_training.run import Listener, run

MLP = {"hidden": [400], "latent_dim": 40, "activation": "relu"}
CONV = {"name": "conv", "channels": [32, 64, 128], "latent_dim": 40, "activation": "relu"}
FAST = {"batch_size": 100, "learning_rate": 2e-3, "precision": "bf16"}
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "mlp": {"network": MLP, "objective": {"warmup": 0.05}, "training": FAST},
    "conv": {"network": CONV, "objective": {"warmup": 0.05}, "training": {**FAST, "learning_rate": 1e-3}},
    "iwae": {
        "network": MLP,
        "objective": {"name": "iwae", "num_samples": 50},
        "training": FAST,
    },
}


def binarised(path: Path, seed: int) -> NDArray[np.uint8]:
    """Images (N, H, W, 1) with pixels drawn once: 255 with probability grey value / 255, otherwise 0."""
    with np.load(path, allow_pickle=False) as archive:
        grey = next(archive[name] for name in archive.files if archive[name].ndim == 3)  # (N, H, W)
    ones = np.random.default_rng(seed).random(grey.shape) < grey / 255.0
    return np.where(ones, 255, 0).astype(np.uint8)[..., None]


def config(recipe: str, source: Path, steps: int, validations: int, overrides: list[str]) -> Config:
    """The recipe's config, with 5,000 of the 60,000 images for validation and 55,000 - 60 for training."""
    tree = {
        "name": "mnist",
        "data": {
            "source": str(source),
            "fractions": {"train": 0.9157, "validation": 0.0833, "calibration": 0.0005, "test": 0.0005},
        },
        "likelihood": {"name": "bernoulli"},
        **RECIPES[recipe],
        "training": {
            **RECIPES[recipe]["training"],
            "steps": steps,
            "evaluate_every": max(1, steps // validations),
            "patience": validations,
            "threads": 1,
        },
    }
    return make_config(tree, overrides)


def main(arguments: list[str]) -> None:
    """Train, sample, print one line of JSON."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "train.npy"
        np.save(source, binarised(options.data / "mnist_train.npz", seed=0))
        chosen = config(options.recipe, source, options.steps, options.validations, options.set)
        start, start_cpu = perf_counter(), process_time()
        trained = run(chosen, device="cpu", listener=_listener())
        seconds, cpu = perf_counter() - start, process_time() - start_cpu
    test = binarised(options.data / "mnist_test.npz", seed=1)
    test_rows = np.random.default_rng(2).permutation(len(test))[: options.test_rows]
    start = perf_counter()
    nll = minus_log_evidence(trained.one, torch.from_numpy(test[test_rows]), options.draws)
    best = trained.history.best
    line = {
        "nll": float(nll.mean()),
        "standard_error": float(nll.std() / len(nll) ** 0.5),
        "rows": len(nll),
        "validation_minus_elbo": -best.elbo,
        "validation_kl": best.kl,
        "best_step": best.step,
        "train_seconds": seconds,
        "train_cpu_seconds": cpu,
        "sampling_seconds": perf_counter() - start,
    }
    if options.weights:
        torch.save(trained.vae.state_dict(), options.weights)
    sys.stdout.write("\n" + json.dumps(line) + "\n")


def _listener() -> Listener:
    """Prints each validation to stderr, as progress of a long run."""
    return Listener(on_validation=lambda v: print(v.step, round(-v.elbo, 2), round(v.kl, 2), file=sys.stderr))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--validations", type=int, default=50)
    parser.add_argument("--test-rows", type=int, required=True)
    parser.add_argument("--draws", type=int, required=True)
    parser.add_argument("--weights", type=Path, help="file for the trained weights")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
