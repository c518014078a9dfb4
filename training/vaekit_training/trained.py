"""The result of a training run, before it is published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vaekit_training.config import Config
from vaekit_training.data.load import Rows
from vaekit_training.data.split import Splits
from vaekit_training.folds import AnyVAE
from vaekit_training.loop.tracking import History
from vaekit_training.vae import VAE


@dataclass(frozen=True)
class Trained:
    """A finished run: its config, rows, trained VAE and history."""

    config: Config
    rows: Rows
    splits: Splits
    vae: AnyVAE  # on the CPU, in float32
    history: History
    folder: Path | None = None  # the run folder, if there is one
    inspection: tuple[str, ...] = ()  # what was seen in the data, as sentences

    @property
    def one(self) -> VAE:
        """The VAE of a run without folds, typed as a VAE."""
        assert isinstance(self.vae, VAE)
        return self.vae
