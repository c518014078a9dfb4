"""Trains PyOD's VAE with an active KL term and the networks of the other arms. Runs in its own virtual environment."""

from __future__ import annotations

from typing import Any

import torch
from pyod.models.vae import VAE

from benchmarks.training.arms.common import Clock, Job, binary_rows, job, report

ALIVE = 1e9  # `capacity`: PyOD cuts the KL at this value, and its default of 0 removes it


class Timed(VAE):  # type: ignore[misc]  # PyOD is not installed where types are checked
    """PyOD's VAE, which reports its epochs to a clock by PyOD's hooks."""

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
        capacity=ALIVE,
        verbose=0,
        device="cpu",
    )
    detector.clock = clock
    detector.fit(binary_rows(job))


if __name__ == "__main__":
    torch.set_num_threads(1)
    asked, laps = job(), Clock()
    fit(asked, laps)
    report(laps, asked.steps_per_epoch * asked.batch, ("pyod", "torch", "numpy"))
