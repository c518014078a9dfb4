"""Trains PyOD's VAE with its KL term and the networks of the other arms. Runs in its own virtual environment."""

from __future__ import annotations

from typing import Any

import torch
from pyod.models.vae import VAE

from benchmarks.training.arms.common import Clock, Job, binary_rows, job, report

CAPACITY = 1e9  # PyOD's loss clips the KL at this value; the default of 0 removes the KL


class Timed(VAE):  # type: ignore[misc]  # PyOD is not installed where types are checked
    """PyOD's VAE, with hooks that report the end of each epoch to a clock."""

    clock: Clock

    def train(self, train_loader: Any) -> None:
        self.clock.start()
        super().train(train_loader)

    def epoch_update(self) -> None:
        super().epoch_update()
        self.clock.lap()


def fit(job: Job, clock: Clock) -> None:
    """Train with Adam at 1e-3, without dropout and standardisation: PyOD's fastest settings."""
    detector = Timed(
        encoder_neuron_list=[job.hidden],
        decoder_neuron_list=[job.hidden],
        latent_dim=job.latent,
        epoch_num=job.epochs,
        batch_size=job.batch,
        lr=1e-3,
        dropout_rate=0.0,
        preprocessing=False,
        optimizer_params={},
        output_activation_name="sigmoid",
        beta=1.0,
        capacity=CAPACITY,
        verbose=0,
        device="cpu",
    )
    detector.clock = clock
    detector.fit(binary_rows(job))


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments, clock = job(), Clock()
    fit(arguments, clock)
    report(clock, arguments.steps_per_epoch * arguments.batch, ("pyod", "torch", "numpy"))
