"""Trains pythae's VAE with pythae's trainer and the networks of the other arms. Runs in its own virtual environment."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from benchmarks.training.arms.common import Clock, Job, binary_rows, job, report


class Encoder(BaseEncoder):  # type: ignore[misc]  # pythae is not installed where types are checked
    """x -> mu, log variance."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(job.dims, job.hidden), nn.ReLU())
        self.mu = nn.Linear(job.hidden, job.latent)
        self.log_variance = nn.Linear(job.hidden, job.latent)

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.body(x)
        return ModelOutput(embedding=self.mu(h), log_covariance=self.log_variance(h))


class Decoder(BaseDecoder):  # type: ignore[misc]  # pythae is not installed where types are checked
    """z -> probabilities, as pythae's cross-entropy needs them."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(job.latent, job.hidden), nn.ReLU(), nn.Linear(job.hidden, job.dims), nn.Sigmoid()
        )

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.body(z))


class Laps(TrainingCallback):  # type: ignore[misc]  # pythae is not installed where types are checked
    """Measures the time of each epoch."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_epoch_begin(self, training_config: BaseTrainerConfig, **kwargs: Any) -> None:  # noqa: ARG002  pythae's call
        self._clock.start()

    def on_epoch_end(self, training_config: BaseTrainerConfig, **kwargs: Any) -> None:  # noqa: ARG002  pythae's call
        self._clock.lap()


def fit(job: Job, clock: Clock, folder: str) -> None:
    """Train with pythae's pipeline, Adam at 1e-3; the weight of the KL is 1."""
    model = VAE(
        VAEConfig(input_dim=(job.dims,), latent_dim=job.latent, reconstruction_loss="bce"), Encoder(job), Decoder(job)
    )
    settings = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=job.epochs,
        learning_rate=1e-3,
        per_device_train_batch_size=job.batch,
        optimizer_cls="Adam",
        no_cuda=True,
    )
    pipeline = TrainingPipeline(model=model, training_config=settings)
    pipeline(train_data=binary_rows(job), callbacks=[Laps(clock)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments, clock = job(), Clock()
    with tempfile.TemporaryDirectory() as folder:
        fit(arguments, clock, folder)
    report(clock, arguments.rows, ("pythae", "torch", "numpy"))
