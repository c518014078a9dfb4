"""The arm of PyOD: its VAE with a KL that counts, and the networks of the other arms. Runs in a venv of its own."""

from __future__ import annotations

from typing import Any

import torch
from pyod.models.vae import VAE

from benchmarks.training.arms.common import Clock, Job, binary_rows, job, report

ALIVE = 1e9  # PyOD cuts the KL at `capacity`, and its default of 0 leaves none


class Timed(VAE):  # type: ignore[misc]  # PyOD is not installed where types are checked
    """PyOD's VAE, which tells a clock of its epochs by the hooks that PyOD has for it."""

    clock: Clock

    def train(self, train_loader: Any) -> None:
        self.clock.start()
        super().train(train_loader)

    def epoch_update(self) -> None:
        super().epoch_update()
        self.clock.lap()


def fit(job: Job, clock: Clock) -> None:
    """Train, Adam at 1e-3, no dropout and no standardising: the fastest that PyOD's trainer can be told to be."""
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
