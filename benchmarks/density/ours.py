"""The densities of vaekit, scored in torch: the ELBO of rows, and the importance-weighted bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.density.sets import Array, DensitySplit
from benchmarks.detection.methods import in_torch

if TYPE_CHECKING:
    from vaekit_training.trained import Trained

EVIDENCE_DRAWS, EVIDENCE_ROWS, BATCH = 256, 1_000, 32
VALIDATION, LEAST_SHARE, LEAST_ROWS = 0.15, 0.01, 2  # nearly all other rows are for training
OPTIONS: dict[str, tuple[str, ...]] = {
    "vaekit": (),
    "vaekit, networks": ("prior.name=aggregate",),
    "vaekit, networks, prior N(0, I)": ("prior.name=normal",),
}


@dataclass(frozen=True)
class Elbo:
    """The ELBO of rows (N, D) as a log density: a lower bound of log p, (N,), nats."""

    trained: Trained
    seed: int

    def __call__(self, x: Array) -> Array:
        return np.asarray(in_torch(self.trained, x).elbo)

    @torch.no_grad()
    def log_evidence(self, x: Array) -> Array:
        """log_evidence of the first EVIDENCE_ROWS rows, with EVIDENCE_DRAWS draws of each row's own."""
        vae = self.trained.one
        generator = torch.Generator().manual_seed(self.seed)
        found = []
        for start in range(0, min(len(x), EVIDENCE_ROWS), BATCH):
            batch = torch.from_numpy(x[start : min(start + BATCH, EVIDENCE_ROWS)])
            shape = (len(batch), EVIDENCE_DRAWS, vae.latent_dim)
            eps = torch.randn(shape, generator=generator, dtype=vae.dtype)
            found.append(vae.bound(batch, eps).log_evidence)
        return np.asarray(torch.cat(found))


def ours(settings: Sequence[str]) -> Callable[[DensitySplit, int], Elbo]:
    """vaekit's default recipe with these settings."""

    def fit(split: DensitySplit, seed: int) -> Elbo:
        from vaekit.detector_training import config_of
        from vaekit_training.data.load import of_array
        from vaekit_training.run import run

        config = config_of(split.train, settings=[*shares(len(split.train)), *settings], seed=seed)
        rows = of_array(split.train, config=config.data, likelihood=config.likelihood)
        return Elbo(run(config, device="cpu", rows=rows), seed)

    return fit


def shares(n: int) -> list[str]:
    """Settings that split n rows: as many for validation as the other contenders have, few for calibration and test."""
    few = max(LEAST_SHARE, LEAST_ROWS / n)
    shares = {"train": 1.0 - VALIDATION - 2 * few, "validation": VALIDATION, "calibration": few, "test": few}
    return [f"data.fractions.{name}={share}" for name, share in shares.items()]
