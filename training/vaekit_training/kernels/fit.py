"""Builds a KernelVAE from training rows: no steps are taken, the kernels are chosen by rows that are left out.

n rows, Z latent dimensions; model units, nats.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit_training.features import Standardize, observed_rows
from vaekit_training.kernels.mixture import SHRINK
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.search import EM_ROWS, HELD_OUT, MOST_FULL, chosen
from vaekit_training.kernels.vae import SCALE, KernelVAE
from vaekit_training.likelihoods import Gaussian
from vaekit_training.loop.tracking import Validation

ROWS = EM_ROWS + HELD_OUT  # largest number of training rows that the search uses
MOST_CELLS = 2**20  # largest number of values of all exemplars
PART = 64  # validation rows whose bounds are computed at once
DRAWS = 8  # per validation row


def kernel_vae(
    features: Standardize, x: NDArray[np.float64], train: NDArray[np.intp], components: int, seed: int
) -> KernelVAE:
    """The VAE of the rows at the indices train (n,) of x (N, D), raw units.

    Args:
        features: the standardisation.
        x: rows, all cells observed.
        train: indices of the training rows.
        components: largest number of exemplars.
        seed: decides which rows are exemplars or left out, and where clusters start.
    """
    generator = torch.Generator().manual_seed(seed)
    components = max(2, min(components, MOST_CELLS // features.dim))
    row = torch.randperm(len(train), generator=generator)[: max(ROWS, components)]
    t = features(torch.from_numpy(x[train[row.numpy()]]))[:, features.active]  # (n, Z), float64
    kernels = chosen(t.float(), components, generator)
    likelihood = Gaussian(SCALE, torch.full((features.dim,), SCALE), features.active)
    return KernelVAE(features, likelihood, KernelPrior(kernels, row[: len(kernels.exemplars)]), precision(t))


def precision(t: Tensor) -> Tensor:
    """The inverse covariance of rows t (n, Z), shrunk to its diagonal; for many columns its diagonal, (Z,)."""
    n, dim = t.shape
    centred = t - t.mean(0)
    variance = centred.square().mean(0) + 1e-4
    if dim > MOST_FULL:
        return variance.reciprocal()
    more = max(1.0, SHRINK * n) if n > dim else float(dim)
    covariance = centred.T @ centred / n
    return torch.linalg.inv((n * covariance + more * torch.diag(variance)) / (n + more))


@torch.no_grad()
def validation(vae: KernelVAE, x: NDArray[np.float64], seed: int) -> Validation:
    """The bound of validation rows x (n, D), raw units, with draws of each row's own."""
    draws = torch.Generator().manual_seed(seed)
    parts, mus = [], []
    for raw in torch.from_numpy(np.ascontiguousarray(x)).split(PART):
        rows, observed = observed_rows(raw)
        eps = torch.randn((len(raw), DRAWS, vae.latent_dim), generator=draws)
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
    by_latent = 0.5 * (mu.square() + SCALE**2 - 1.0) - math.log(SCALE)  # KL to N(0, 1)
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
        active_units=float((mu.var(0, correction=0) > 0.01).sum()),
    )  # fmt: skip
