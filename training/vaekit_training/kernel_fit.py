"""Builds a KernelVAE from training rows: no steps are taken, the kernels are chosen by rows that are left out.

n rows, Z latent dimensions; model units, nats. Latent dimensions are numbers or, for binary columns and categories,
indices of levels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Kind
from vaekit_training.data.rows import PlaceInSeries
from vaekit_training.data.window_split import blocks_left_out
from vaekit_training.features import MASSES, Standardize, observed_rows
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.kernels.levels import Points, one_hot
from vaekit_training.kernels.missing import Usual, completed
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.search import EM_ROWS, FOLDS, HELD_OUT, MANY, Split, chosen

ROWS = EM_ROWS + HELD_OUT  # largest number of training rows that the search uses
MOST_CELLS = 2**20  # largest number of values of all exemplars
MOST_HOT = 2**27  # largest number of values of all one-hot vectors in the search, unless
FEW = 100  # fewer rows than this would be left


def rows_searched(components: int, levels: int) -> int:
    """The largest number of training rows that the search uses, with this many levels over all columns."""
    most = max(ROWS, components)
    return min(most, max(FEW, MOST_HOT // levels)) if levels else most


def kernel_vae(
    features: Standardize,
    x: NDArray[np.float64],
    train: NDArray[np.intp],
    components: int,
    seed: int,
    scale: float,
    kinds: Sequence[Kind],
    levels: Sequence[int],
    say: Callable[[str], None],
    place: PlaceInSeries | None = None,
) -> KernelVAE:
    """The VAE of the rows at the indices train (n,) of x (N, D), raw units.

    Args:
        features: the standardisation.
        x: rows, NaN where a cell is missing.
        train: indices of the training rows.
        components: largest number of exemplars.
        seed: decides which rows are exemplars or left out, and where clusters start.
        scale: scale of p(x|z) and of q(z|x), in standard deviations of the columns.
        kinds: kinds of the D columns.
        levels: number of levels of each category, 0 for other columns.
        say: gets lines on the progress.
        place: where the rows are in their series, if they are windows. Windows that are left out then share no time
            step with those that are kept.
    """
    generator = torch.Generator().manual_seed(seed)
    active = features.active.nonzero()[:, 0].tolist()
    is_level = torch.tensor([kinds[d] in MASSES for d in active])
    counts = tuple(levels[d] or 2 for d, one in zip(active, is_level.tolist(), strict=True) if one)
    components = max(2, min(components, MOST_CELLS // max(features.dim, sum(counts))))
    row = torch.randperm(len(train), generator=generator)[: rows_searched(components, sum(counts))]
    raw, observed = observed_rows(torch.from_numpy(x[train[row.numpy()]]))
    t, there = features(raw, observed)[:, active], observed[:, active]  # (n, Z) each, float64
    numbers, seen = t[:, ~is_level], there[:, ~is_level]
    if numbers.shape[1]:
        numbers, precision = completed(numbers, seen, generator)
    else:
        precision = numbers.new_zeros(0)
    code, known = t[:, is_level], there[:, is_level]
    points = Points(numbers.float(), one_hot(code.float(), known, counts), counts)
    splits = None if place is None else _splits(place, train[row.numpy()], seed)
    kernels = chosen(points, seen, components, generator, say, splits)
    prior = KernelPrior(kernels, row[: len(kernels.exemplars)], is_level.tolist())
    usual = Usual(precision, is_level, torch.where(known, code, torch.nan))
    return KernelVAE(features, scale, prior, usual, kinds, levels)


def _splits(place: PlaceInSeries, index: NDArray[np.intp], seed: int) -> list[Split]:
    """Which of the windows at these indices are kept and left out, as `chosen` takes them."""
    splits = 1 if len(index) >= MANY else FOLDS
    share, most = (1 / 6, HELD_OUT) if splits == 1 else (1 / FOLDS, len(index))
    found = blocks_left_out(place, index, splits, share, most, np.random.default_rng(seed))
    return [(torch.from_numpy(kept), torch.from_numpy(left_out)) for kept, left_out in found]
