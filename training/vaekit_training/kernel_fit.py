"""Builds a KernelVAE from training rows: no steps are taken, the kernels are chosen by rows that are left out.

n rows, Z latent dimensions; model units, nats.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit_training.features import Standardize
from vaekit_training.kernel_vae import SCALE, KernelVAE
from vaekit_training.kernels.mixture import SHRINK
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.search import EM_ROWS, HELD_OUT, MOST_FULL, chosen
from vaekit_training.likelihoods import Gaussian

ROWS = EM_ROWS + HELD_OUT  # largest number of training rows that the search uses
MOST_CELLS = 2**20  # largest number of values of all exemplars


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
