"""Builds a KernelVAE from training rows: no steps are taken, the kernels are chosen by rows that are left out.

n rows, Z latent dimensions; model units, nats.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit_training.features import Standardize, observed_rows
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.kernels.missing import completed
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.search import EM_ROWS, HELD_OUT, chosen

ROWS = EM_ROWS + HELD_OUT  # largest number of training rows that the search uses
MOST_CELLS = 2**20  # largest number of values of all exemplars


def kernel_vae(
    features: Standardize, x: NDArray[np.float64], train: NDArray[np.intp], components: int, seed: int, scale: float
) -> KernelVAE:
    """The VAE of the rows at the indices train (n,) of x (N, D), raw units.

    Args:
        features: the standardisation.
        x: rows, NaN where a cell is missing.
        train: indices of the training rows.
        components: largest number of exemplars.
        seed: decides which rows are exemplars or left out, and where clusters start.
        scale: scale of p(x|z) and of q(z|x), in standard deviations of the columns.
    """
    generator = torch.Generator().manual_seed(seed)
    components = max(2, min(components, MOST_CELLS // features.dim))
    row = torch.randperm(len(train), generator=generator)[: max(ROWS, components)]
    raw, observed = observed_rows(torch.from_numpy(x[train[row.numpy()]]))
    there = observed[:, features.active]
    t, precision = completed(features(raw, observed)[:, features.active], there, generator)  # (n, Z), float64
    kernels = chosen(t.float(), there, components, generator)
    return KernelVAE(features, scale, KernelPrior(kernels, row[: len(kernels.exemplars)]), precision)
