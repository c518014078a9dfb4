"""Converts raw rows to rows as the networks see them, all at once or on demand."""

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
    """Rows (n, D) as the networks see them, from raw rows with NaN for missing cells; `stored` ones before any draw."""
    features, raw = vae.features, torch.from_numpy(np.ascontiguousarray(x))
    observed = None
    if features.may_be_missing:
        raw, observed = observed_rows(raw)
    t = features.seen(raw, observed) if stored else features(raw, observed)
    return NetworkRows(t.to(vae.dtype), observed)


class LazyNetworkRows:
    """Rows of an array, which may be in a file, converted when they are taken: a RowTable."""

    def __init__(self, vae: VAE, x: Any, rows: NDArray[np.intp], *, stored: bool = False) -> None:
        """x: an array of all rows; rows: numbers of the rows to use; vae: on the CPU, for its features."""
        self._vae, self._x, self._rows, self._stored = vae, x, rows, stored

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, index: Tensor) -> NetworkRows:
        """The rows with these numbers; read in file order, which is fastest on a disk."""
        order = index.argsort()
        numbers = self._rows[index[order].numpy()]
        return network_rows(self._vae, self._x[numbers], stored=self._stored).take(order.argsort())


@torch.no_grad()
def refresh_prior(vae: VAE, train: RowTable) -> None:
    """Update the aggregate prior with the current posteriors of its component rows.

    Args:
        vae: with an aggregate prior.
        train: the training rows, by their numbers.
    """
    assert isinstance(vae.prior, Aggregate)
    rows = train.take(vae.prior.row.cpu()).to(vae.prior.row.device)
    vae.prior.refresh(*vae.posterior(rows.t, rows.observed))
