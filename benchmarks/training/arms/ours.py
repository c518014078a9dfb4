"""Trains with vaekit_training.run.run as a user calls it: a file in, a trained model out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.training.arms.common import Clock, Job, binary_rows, job, report
from vaekit_training.config import Config, make_config
from vaekit_training.run import Listener, run

TRAIN_SHARE = 0.99  # of the rows; the others are used once, at the end


def config(job: Job, source: Path) -> Config:
    """A config with one validation, at the last step, because the other arms have none."""
    rest = (1 - TRAIN_SHARE) / 3
    steps = job.epochs * job.steps_per_epoch
    return make_config(
        {
            "name": "throughput",
            "data": {
                "source": str(source),
                "kinds": {f"x{d}": "binary" for d in range(job.dims)},
                "fractions": {"train": TRAIN_SHARE, "validation": rest, "calibration": rest, "test": rest},
            },
            "network": {
                "hidden": [job.hidden],
                "latent_dim": job.latent,
                "activation": "relu",
                "members": job.members,
            },
            "likelihood": {"name": "bernoulli"},
            "training": {"steps": steps, "evaluate_every": steps, "batch_size": job.batch, "threads": 1},
        }
    )


def fit(job: Job, clock: Clock, folder: str) -> None:
    """Train. An epoch is the number of steps in which the rows fill complete batches."""
    source = Path(folder) / "rows.npy"
    np.save(source, binary_rows(job, round(job.rows / TRAIN_SHARE)))

    def on_step(step: int) -> None:
        if step == 1:
            clock.start()  # the first step belongs to the warm-up epoch
        elif step % job.steps_per_epoch == 0:
            clock.lap()

    run(config(job, source), device="cpu", listener=Listener(on_step=on_step))


if __name__ == "__main__":
    arguments, clock = job(), Clock()
    with tempfile.TemporaryDirectory() as folder:
        fit(arguments, clock, folder)
    report(clock, arguments.steps_per_epoch * arguments.batch, ("torch", "numpy"))
