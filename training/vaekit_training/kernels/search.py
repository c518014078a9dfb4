"""Chooses the kernels of a density over training rows by the log density of rows that are left out.

N rows, Z dimensions, K clusters, M exemplars; model units, nats. With m_k and S_k the mean and covariance of the
cluster of exemplar x_i, and F = diag(least) the smallest variances:

    p(z) = (1/M) sum_i t_nu(z; c_i, h^2 S_k + F),   c_i = m_k + sqrt(1 - h^2) (x_i - m_k)

Shrinking the exemplars towards their mean keeps the covariance of a cluster at S_k for every h (West 1993,
"Approximating posterior distributions by mixture"): h near 0 is a kernel density, h near 1 a Gaussian mixture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.bundle.ranking import auroc
from vaekit_training.kernels.floors import MOST_REPEATS, repeats, smallest_scales
from vaekit_training.kernels.mixture import (
    LOG_2PI,
    MOST_FULL,
    Clusters,
    Shape,
    as_covariance,
    mixture,
    whitened,
    whitening,
)

CLUSTERS = (1, 3, 8, 20, 50)
LEAST_ROWS = 8  # rows per cluster
WIDTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)  # h
DEGREES = (1.0, 3.0, 10.0, math.inf)  # nu; inf: normal kernels
FOLDS, MANY, HELD_OUT = 5, 1_500, 1_000  # with MANY rows or more one split with at most HELD_OUT rows replaces folds
FEWEST = 2 * FOLDS  # with fewer rows nothing is left out, and the kernels are one normal density
EM_ROWS = 6_000
ROWS = 1_024  # of log densities that are computed at once
WORSE = 2  # the search ends after this many numbers of clusters that are worse
FEWER, LOST = (250, 500, 1_000, 2_000), 0.02  # numbers of exemplars that are tried, and nats that they may lose
SWAPPED, SWAPS = 0.3, 4  # share of the cells of a row that are swapped to compare smallest scales; copies of each row


class Trial(NamedTuple):
    """Kernels that the search tried."""

    clusters: int  # K
    h: float
    nu: float
    log_density: float  # mean over the rows left out, nats, model units


@dataclass(frozen=True)
class Kernels:
    """M exemplars with the means and covariances of their K clusters."""

    exemplars: Tensor  # (M, Z), the rows x_i
    cluster: Tensor  # (M,), k of each exemplar
    mean: Tensor  # (K, Z), m_k
    covariance: Tensor  # (K, Z, Z), h^2 S_k + F, or its diagonal, (K, Z)
    h: float
    nu: float
    trials: tuple[Trial, ...] = ()  # those of the search; none if there are too few rows to leave some out

    @property
    def centres(self) -> Tensor:
        """c_i, (M, Z)."""
        mean = self.mean[self.cluster]
        return mean + math.sqrt(1.0 - self.h**2) * (self.exemplars - mean)

    def log_density(self, x: Tensor) -> Tensor:
        """log p of rows x (N, Z), (N,)."""
        parts = [_log_densities(self, rows, [self.nu])[self.nu] for rows in x.split(ROWS)]
        return torch.cat(parts)


ONE_NORMAL = Trial(1, WIDTHS[-1], math.inf, -math.inf)  # without rows to leave out


def chosen(x: Tensor, there: Tensor, components: int, generator: torch.Generator) -> Kernels:
    """The kernels with the highest log density of rows left out, among those with K, h and nu of the constants above.

    Args:
        x: training rows (N, Z), in random order. The first `components` of them become exemplars.
        there: which cells of x are observed, (N, Z); the others are filled in.
        components: largest number of exemplars.
        generator: draws the starts of clusters.
    """
    values = [column[own] for column, own in zip(x.T, there.T, strict=True)]
    shape: Shape = "diagonal" if repeats(values) > MOST_REPEATS or x.shape[1] > MOST_FULL else "full"
    candidates = smallest_scales(values, shape)
    if len(x) < MANY:  # too few rows to tell the candidates apart
        candidates = candidates[:1]
    found: list[tuple[float, Kernels]] = []
    for scales in candidates:
        least = scales.square()
        trials = _trials(x, least, shape, components, generator)
        best = max(trials, key=lambda one: one.log_density, default=ONE_NORMAL)
        clusters = mixture(x[:EM_ROWS], best.clusters, least, shape, generator)
        count = _exemplars(x, clusters, least, best, components) if len(x) >= MANY else components
        kernels = replace(_kernels(x[:count], clusters, least, best.h, best.nu), trials=tuple(trials))
        if len(candidates) == 1:
            return kernels
        found.append((_told_apart(x, least, best, shape, components, generator), kernels))
    return max(found, key=lambda one: one[0])[1]


def _exemplars(x: Tensor, clusters: Clusters, least: Tensor, trial: Trial, components: int) -> int:
    """The smallest number of exemplars that loses at most LOST nats of the mean log density of rows left out.

    With wide kernels a few exemplars of each cluster are enough, and scoring takes time in proportion to their number.
    """
    ((kept, left_out),) = _splits(len(x))
    exemplars, rows = x[kept], x[left_out]

    def mean(count: int) -> float:
        found = _kernels(exemplars[:count], clusters, least, trial.h, trial.nu)
        return float(found.log_density(rows).mean())

    whole = mean(components)
    return next((count for count in FEWER if count < components and mean(count) >= whole - LOST), components)


def _told_apart(
    x: Tensor, least: Tensor, trial: Trial, shape: Shape, components: int, generator: torch.Generator
) -> float:
    """How well the kernels of a trial tell rows left out from the same rows with swapped cells: the AUROC.

    A share SWAPPED of the cells, at random, gets the cell of another row. Such rows have the columns' values, but not
    their combinations. Densities with different smallest scales are not comparable by their values where values repeat,
    because a narrower density is always higher there.
    """
    real, swapped = [torch.zeros(1)], [torch.zeros(1)]
    swaps = torch.Generator().manual_seed(generator.initial_seed())  # the same for every trial
    for kept, left_out in _splits(len(x)):
        clusters = mixture(x[kept][:EM_ROWS], trial.clusters, least, shape, generator)
        kernels = _kernels(x[kept][:components], clusters, least, trial.h, trial.nu)
        rows = x[left_out]
        real.append(kernels.log_density(rows))
        for _ in range(SWAPS):
            others = torch.stack([column[torch.randperm(len(rows), generator=swaps)] for column in rows.T], dim=1)
            is_swapped = torch.rand(rows.shape, generator=swaps) < SWAPPED
            swapped.append(kernels.log_density(torch.where(is_swapped, others, rows)))
    return auroc(-torch.cat(real).double().numpy(), -torch.cat(swapped).double().numpy())[0]


def _trials(x: Tensor, least: Tensor, shape: Shape, components: int, generator: torch.Generator) -> list[Trial]:
    """Kernels with all h and nu, and with numbers of clusters that grow until WORSE of them are worse than the best."""
    tried: list[Trial] = []
    best, since, splits = -math.inf, 0, list(_splits(len(x)))
    for clusters in CLUSTERS if splits else ():
        if clusters > 1 and clusters * LEAST_ROWS > len(x):
            break
        total: dict[tuple[float, float], float] = dict.fromkeys(product(WIDTHS, DEGREES), 0.0)
        for kept, left_out in splits:
            found = mixture(x[kept][:EM_ROWS], clusters, least, shape, generator)
            exemplars, rows = x[kept][:components], x[left_out]
            for h in WIDTHS:
                for nu, log_p in _log_densities(_kernels(exemplars, found, least, h, math.inf), rows, DEGREES).items():
                    total[h, nu] += float(log_p.sum())
        count = sum(len(x[left_out]) for _, left_out in splits)
        tried += [Trial(clusters, h, nu, value / count) for (h, nu), value in total.items()]
        value = max(total.values())
        best, since = (value, 0) if value > best else (best, since + 1)
        if since == WORSE:
            break
    return tried


def _splits(n: int) -> Iterator[tuple[slice | Tensor, slice | Tensor]]:
    """Indices of the rows that are kept and of those left out; the rows are in random order."""
    if n >= MANY:
        held = min(HELD_OUT, n // 6)
        yield slice(held, None), slice(held)
    elif n >= FEWEST:
        fold = torch.arange(n) % FOLDS
        for f in range(FOLDS):
            yield fold != f, fold == f


def _kernels(x: Tensor, clusters: Clusters, least: Tensor, h: float, nu: float) -> Kernels:
    """Kernels around the exemplars x (M, Z); clusters without exemplars are left out."""
    own = clusters.log_joint(x).argmax(1)  # (M,)
    used, cluster = own.unique(return_inverse=True)
    covariance = clusters.covariance[used]
    floor = as_covariance(least, "full" if covariance.ndim == 3 else "diagonal")
    return Kernels(x, cluster, clusters.mean[used], h * h * covariance + floor, h, nu)


def _log_densities(kernels: Kernels, x: Tensor, degrees: Sequence[float]) -> dict[float, Tensor]:
    """log p (N,) of rows x (N, Z) for each nu."""
    parts: dict[float, list[Tensor]] = {nu: [] for nu in degrees}
    inverse, log_scale = whitening(kernels.covariance)
    centres = kernels.centres
    for k, (a, mean) in enumerate(zip(inverse, kernels.mean, strict=True)):
        own = whitened(centres[kernels.cluster == k] - mean, a)  # (M_k, Z)
        squares = torch.cdist(whitened(x - mean, a), own).square()  # (N, M_k)
        for nu, logs in parts.items():
            logs.append(log_kernel(squares, x.shape[1], nu).logsumexp(1) + log_scale[k])
    return {nu: torch.stack(logs, 1).logsumexp(1) - math.log(len(centres)) for nu, logs in parts.items()}


def log_kernel(squares: Tensor, dim: int, nu: float) -> Tensor:
    """log of a Student-t density with unit scale in `dim` dimensions at squared distances; nu = inf: normal."""
    if math.isinf(nu):
        return -0.5 * (squares + dim * LOG_2PI)
    top = 0.5 * (nu + dim)
    return log_constant(dim, nu) - top * torch.log(1.0 + squares / nu)


def log_constant(dim: int, nu: float) -> float:
    """log of the Student-t density with unit scale at its centre; nu = inf: normal."""
    if math.isinf(nu):
        return -0.5 * dim * LOG_2PI
    return math.lgamma(0.5 * (nu + dim)) - math.lgamma(0.5 * nu) - 0.5 * dim * math.log(nu * math.pi)
