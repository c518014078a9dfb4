"""Measures a KernelVAE on validation rows. It has no steps, so there is one measurement.

N rows, D data dimensions, Z latent dimensions; nats.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit_training.features import observed_rows
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.loop.tracking import ACTIVE, Validation
from vaekit_training.prior import kl_by_latent

ROWS = 256  # largest number of validation rows
CELLS = 2**21  # largest number of cells that are compared with exemplars at once
DRAWS = 8  # per row


@torch.no_grad()
def validation(vae: KernelVAE, x: NDArray[np.float64], seed: int) -> Validation:
    """The bound of validation rows x (n, D), raw units, with draws of each row's own."""
    draws = torch.Generator().manual_seed(seed)
    every = torch.from_numpy(np.ascontiguousarray(x[:ROWS]))  # (N, D)
    noise = torch.randn((len(every), DRAWS, vae.latent_dim), generator=draws)
    most = max(1, CELLS // vae.prior.values)
    parts, mus = [], []
    for raw, eps in zip(every.split(most), noise.split(most), strict=True):
        rows, observed = observed_rows(raw)
        mask = None if bool(observed.all()) else observed
        mu, _, bound = vae.bounds_by_member(rows, eps, mask)
        mus.append(mu.double())
        parts.append(bound)
    elbo, log_likelihood, kl, log_evidence, by_feature = (
        torch.cat([getattr(part, name) for part in parts])
        for name in ("elbo", "log_likelihood", "kl", "log_evidence", "feature_log_likelihood")
    )
    mu = torch.cat(mus)
    error = float(elbo.std(correction=1)) / math.sqrt(len(elbo)) if len(elbo) > 1 else 0.0
    by_latent = kl_by_latent(mu, torch.full_like(mu, vae.scale))  # (N, Z)
    mean = float(elbo.mean())
    return Validation(
        0, 1.0, -mean,
        objective=-mean,
        of_weights=-mean,
        elbo=mean,
        elbo_standard_error=error,
        log_likelihood=float(log_likelihood.mean()),
        kl=float(kl.mean()),
        log_evidence=float(log_evidence.mean()),
        kl_by_latent=tuple(by_latent.mean(0).tolist()),
        log_likelihood_by_feature=tuple(by_feature.mean(0).tolist()),
        active_units=float((mu.var(0, correction=0) > ACTIVE).sum()),
    )  # fmt: skip
