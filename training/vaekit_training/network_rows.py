"""Converts raw rows to model units, all at once or on demand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit_training.data.batch import NetworkRows, RowTable
from vaekit_training.features import observed_rows
from vaekit_training.prior import Aggregate
from vaekit_training.vae import VAE


def network_rows(vae: VAE, x: NDArray[Any], *, stored: bool = False) -> NetworkRows:
    """Rows in model units from n raw rows x, (n, D) with NaN for missing cells, or (n, H, W, C).

    With `stored` the result is `Features.stored`, from which `Features.draw` makes the t of each step.
    """
    features, raw = vae.features, torch.from_numpy(np.ascontiguousarray(x))
    observed = None
    if features.may_be_missing:
        raw, observed = observed_rows(raw)
    t = features.stored(raw, observed) if stored else features(raw, observed)
    return NetworkRows(t.to(vae.dtype), observed)


class LazyNetworkRows:
    """A RowTable over an array, which may be memory-mapped; rows are converted when they are selected."""

    def __init__(self, vae: VAE, x: Any, rows: NDArray[np.intp], *, stored: bool = False) -> None:
        """vae: converts the rows, on the CPU. x: array of all rows. rows: indices in x of the rows to use."""
        self._vae, self._x, self._rows, self._stored = vae, x, rows, stored

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, index: Tensor) -> NetworkRows:
        """The rows at these indices of `rows`, (m,); they are read in file order, which is fastest on a disk."""
        order = index.argsort()  # (m,)
        in_file = self._rows[index[order].numpy()]  # (m,)
        return network_rows(self._vae, self._x[in_file], stored=self._stored).take(order.argsort())


@torch.no_grad()
def refresh_prior(vae: VAE, train: RowTable) -> None:
    """Update the aggregate prior with the current posteriors of its component rows.

    Args:
        vae: a VAE with an aggregate prior.
        train: the training rows.
    """
    assert isinstance(vae.prior, Aggregate)
    rows = train.take(vae.prior.row.cpu()).to(vae.prior.row.device)
    vae.prior.refresh(*vae.posterior(rows.t, rows.observed))
