"""Chooses the kernels of a density over training rows by the log density of rows that are left out.

N rows, Z columns of numbers, L levels of other columns, K clusters, M exemplars; model units, nats. With m_k and S_k
the mean and covariance of the cluster of exemplar x_i, and F = diag(least) the smallest variances:

    p(z) = (1/M) sum_i t_nu(z; c_i, h^2 S_k + F) prod_d k_id(z_d),   c_i = m_k + sqrt(1 - h^2) (x_i - m_k)

The product is over the columns of levels, see `levels`.

Shrinking the exemplars towards their mean keeps the covariance of a cluster at S_k for every h (West 1993,
"Approximating posterior distributions by mixture"): h near 0 is a kernel density, h near 1 a Gaussian mixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.bundle.ranking import auroc
from vaekit_training.kernels.floors import MOST_REPEATS, repeats, smallest_scales
from vaekit_training.kernels.levels import Points, levels_of, log_probabilities
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
from vaekit_training.kernels.trials import Trial

CLUSTERS = (1, 3, 8, 20, 50)
LEAST_ROWS = 8  # rows per cluster
WIDTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)  # h
DEGREES = (1.0, 3.0, 10.0, math.inf)  # nu; inf: normal kernels
KEEPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # a, of columns of levels
FOLDS, MANY, HELD_OUT = 5, 1_500, 1_000  # with MANY rows or more one split with at most HELD_OUT rows replaces folds
FEWEST = 2 * FOLDS  # with fewer rows nothing is left out, and the kernels are one normal density
EM_ROWS = 6_000
ROWS = 1_024  # of log densities that are computed at once
WORSE = 2  # the search ends after this many numbers of clusters that are worse
FEWER, LOST = (250, 500, 1_000, 2_000), 0.02  # numbers of exemplars that are tried, and nats that they may lose
SWAPPED, SWAPS = 0.3, 4  # share of the cells of a row that are swapped to compare smallest scales; copies of each row
CLEARLY = 0.01  # difference in AUROC by which wider smallest scales must be better


Split = tuple[slice | Tensor, slice | Tensor]  # indices of the rows that are kept, and of those left out


@dataclass(frozen=True)
class Kernels:
    """M exemplars with the means, covariances and shares of levels of their K clusters."""

    exemplars: Points  # M rows x_i
    cluster: Tensor  # (M,), k of each exemplar
    mean: Tensor  # (K, Z), m_k
    covariance: Tensor  # (K, Z, Z), h^2 S_k + F, or its diagonal, (K, Z)
    share: Tensor  # (K, L)
    h: float
    nu: float
    keep: float  # a
    trials: tuple[Trial, ...] = ()  # those of the search; none if there are too few rows to leave some out

    @property
    def centres(self) -> Tensor:
        """c_i, (M, Z)."""
        mean = self.mean[self.cluster]
        return mean + math.sqrt(1.0 - self.h**2) * (self.exemplars.real - mean)

    @property
    def log_levels(self) -> Tensor:
        """log k_id(l), (M, L)."""
        return log_probabilities(self.exemplars.hot, self.share[self.cluster], self.keep, self.exemplars.counts)

    def log_density(self, points: Points) -> Tensor:
        """log p of N rows, (N,)."""
        parts = [_log_densities(self, rows, [self.nu])[self.nu] for rows in points.split(ROWS)]
        return torch.cat(parts)


ONE_NORMAL = Trial(1, WIDTHS[-1], math.inf, -math.inf, 0.0)  # without rows to leave out


def ignore(*_: object) -> None:
    """A listener that does nothing."""


def chosen(
    points: Points,
    there: Tensor,
    components: int,
    generator: torch.Generator,
    say: Callable[[str], None] = ignore,
    splits: Sequence[Split] | None = None,
) -> Kernels:
    """The kernels with the highest log density of rows left out, among those with K, h, nu and a of the constants.

    Args:
        points: N training rows, in random order. The first `components` of them become exemplars.
        there: which numbers are observed, (N, Z); the others are filled in.
        components: largest number of exemplars.
        generator: draws the starts of clusters.
        say: gets a line on each number of clusters that was tried.
        splits: which rows are left out, and which are kept; None: rows at random.
    """
    splits = list(_splits(len(points))) if splits is None else splits
    x = points.real
    values = [column[own] for column, own in zip(x.T, there.T, strict=True)]
    is_diagonal = not values or repeats(values) > MOST_REPEATS or len(values) > MOST_FULL
    shape: Shape = "diagonal" if is_diagonal else "full"
    candidates = smallest_scales(values, shape)
    if len(x) < MANY:  # too few rows to tell the candidates apart
        candidates = candidates[:1]
    found: list[tuple[float, Kernels]] = []
    for scales in candidates:
        if len(candidates) > 1:
            say(f"with {'narrow' if found else 'wide'} kernels for values that repeat:")
        least = scales.square()
        trials = _trials(points, least, shape, components, generator, say, splits)
        best = max(trials, key=lambda one: one.log_density, default=ONE_NORMAL)
        clusters = mixture(points[:EM_ROWS], best.clusters, least, shape, generator)
        count = (
            _exemplars(points, clusters, least, best, components, splits[0])
            if splits and len(points) >= MANY
            else components
        )
        kernels = replace(_kernels(_assigned(points[:count], clusters), least, best), trials=tuple(trials))
        if len(candidates) == 1:
            return _announced(kernels, points, say)
        found.append((_told_apart(points, least, best, shape, components, generator, splits), kernels))
    (wide, of_wide), (narrow, of_narrow) = found
    return _announced(of_wide if wide > narrow + CLEARLY else of_narrow, points, say)


def _announced(kernels: Kernels, points: Points, say: Callable[[str], None]) -> Kernels:
    """The kernels, after saying what was chosen; nothing if there was no search."""
    if kernels.trials:
        best = max(kernels.trials, key=_height)
        say(f"chosen: {best.named} around {len(kernels.exemplars):,} rows ({best.settings(points)})")
    return kernels


def _exemplars(points: Points, clusters: Clusters, least: Tensor, trial: Trial, components: int, split: Split) -> int:
    """The smallest number of exemplars that loses at most LOST nats of the mean log density of rows left out.

    With wide kernels a few exemplars of each cluster are enough, and scoring takes time in proportion to their number.
    """
    kept, left_out = split
    exemplars, rows = points[kept], points[left_out]

    def mean(count: int) -> float:
        return float(_kernels(_assigned(exemplars[:count], clusters), least, trial).log_density(rows).mean())

    whole = mean(components)
    return next((count for count in FEWER if count < components and mean(count) >= whole - LOST), components)


def _told_apart(
    points: Points,
    least: Tensor,
    trial: Trial,
    shape: Shape,
    components: int,
    generator: torch.Generator,
    splits: Sequence[Split],
) -> float:
    """How well the kernels of a trial tell rows left out from the same rows with swapped cells: the AUROC.

    A share SWAPPED of the cells, at random, gets the cell of another row. Such rows have the columns' values, but not
    their combinations. Densities with different smallest scales are not comparable by their values where values repeat,
    because a narrower density is always higher there.
    """
    real, swapped = [torch.zeros(1)], [torch.zeros(1)]
    swaps = torch.Generator().manual_seed(generator.initial_seed())  # the same for every trial
    for kept, left_out in splits:
        clusters = mixture(points[kept][:EM_ROWS], trial.clusters, least, shape, generator)
        kernels = _kernels(_assigned(points[kept][:components], clusters), least, trial)
        rows = points[left_out]
        real.append(kernels.log_density(rows))
        swapped += [kernels.log_density(_swapped(rows, swaps)) for _ in range(SWAPS)]
    return auroc(-torch.cat(real).double().numpy(), -torch.cat(swapped).double().numpy())[0]


def _swapped(points: Points, draws: torch.Generator) -> Points:
    """The points with a share SWAPPED of the cells, at random, from another row."""
    column, _ = levels_of(points.counts)
    n, dim = points.real.shape
    width = dim + len(points.counts)
    other = torch.stack([torch.randperm(n, generator=draws) for _ in range(width)], dim=1)  # (n, Z + C)
    is_swapped = torch.rand((n, width), generator=draws) < SWAPPED
    row = torch.where(is_swapped, other, torch.arange(n)[:, None])
    return Points(points.real.gather(0, row[:, :dim]), points.hot.gather(0, row[:, dim:][:, column]), points.counts)


def _trials(
    points: Points,
    least: Tensor,
    shape: Shape,
    components: int,
    generator: torch.Generator,
    say: Callable[[str], None],
    splits: Sequence[Split],
) -> list[Trial]:
    """Kernels with all h and nu, and with numbers of clusters that grow until WORSE of them are worse than the best.

    Columns of levels have a = sqrt(1 - h^2) with each h, and all a with the best h and nu of each number of clusters.
    """
    tried: list[Trial] = []
    best, since = -math.inf, 0
    parts = [(points[kept][:components], points[left_out]) for kept, left_out in splits]  # copied once
    for clusters in CLUSTERS if splits else ():
        if clusters > 1 and clusters * LEAST_ROWS > len(points):
            break
        found = [mixture(points[kept][:EM_ROWS], clusters, least, shape, generator) for kept, _ in splits]
        each = [(_assigned(kept, one), rows) for (kept, rows), one in zip(parts, found, strict=True)]
        own: list[Trial] = []
        if points.real.shape[1]:
            own += [one for h in WIDTHS for one in _of_widths(each, least, h, math.sqrt(1.0 - h * h), DEGREES)]
        if points.counts:
            h, nu = max(own, key=_height)[1:3] if own else ONE_NORMAL[1:3]
            own += [one for keep in KEEPS for one in _of_widths(each, least, h, keep, [nu])]
        top = max(own, key=_height)
        value = top.log_density
        say(top.sentence(points))
        tried += own
        best, since = (value, 0) if value > best else (best, since + 1)
        if since == WORSE:
            break
    return tried


def _of_widths(
    each: Sequence[tuple[_Assigned, Points]], least: Tensor, h: float, keep: float, degrees: Sequence[float]
) -> list[Trial]:
    """Trials with each nu, from the exemplars and the rows left out of each split."""
    clusters, total = len(each[0][0].clusters.mean), dict.fromkeys(degrees, 0.0)
    for exemplars, left_out in each:
        kernels = _kernels(exemplars, least, Trial(clusters, h, math.inf, 0.0, keep))
        for nu, log_p in _log_densities(kernels, left_out, degrees).items():
            total[nu] += float(log_p.sum())
    count = sum(len(left_out) for _, left_out in each)
    return [Trial(clusters, h, nu, value / count, keep) for nu, value in total.items()]


def _height(trial: Trial) -> float:
    return trial.log_density


def _splits(n: int) -> Iterator[Split]:
    """Indices of the rows that are kept and of those left out; the rows are in random order."""
    if n >= MANY:
        held = min(HELD_OUT, n // 6)
        yield slice(held, None), slice(held)
    elif n >= FEWEST:
        fold = torch.arange(n) % FOLDS
        for f in range(FOLDS):
            yield fold != f, fold == f


class _Assigned(NamedTuple):
    """M exemplars, each in the cluster that it fits best."""

    exemplars: Points
    cluster: Tensor  # (M,), among `used`
    used: Tensor  # indices of the clusters that have exemplars
    clusters: Clusters


def _assigned(exemplars: Points, clusters: Clusters) -> _Assigned:
    used, cluster = clusters.log_joint(exemplars).argmax(1).unique(return_inverse=True)
    return _Assigned(exemplars, cluster, used, clusters)


def _kernels(of: _Assigned, least: Tensor, trial: Trial) -> Kernels:
    """Kernels around M exemplars with the h, nu and a of a trial; clusters without exemplars are left out."""
    mean, covariance, share = (each[of.used] for each in (of.clusters.mean, of.clusters.covariance, of.clusters.share))
    floor = as_covariance(least, "full" if covariance.ndim == 3 else "diagonal")
    wide = trial.h**2 * covariance + floor
    return Kernels(of.exemplars, of.cluster, mean, wide, share, trial.h, trial.nu, trial.keep)


def _log_densities(kernels: Kernels, points: Points, degrees: Sequence[float]) -> dict[float, Tensor]:
    """log p (N,) of N rows for each nu."""
    parts: dict[float, list[Tensor]] = {nu: [] for nu in degrees}
    inverse, log_scale = whitening(kernels.covariance)
    x, centres = points.real, kernels.centres
    of_levels = points.hot @ kernels.log_levels.T if points.counts else None  # (N, M)
    for k, (a, mean) in enumerate(zip(inverse, kernels.mean, strict=True)):
        at = kernels.cluster == k
        own = whitened(centres[at] - mean, a)  # (M_k, Z)
        squares = torch.cdist(whitened(x - mean, a), own).square()  # (N, M_k)
        for nu, logs in parts.items():
            log_p = log_kernel(squares, x.shape[1], nu)
            log_p = log_p if of_levels is None else log_p + of_levels[:, at]
            logs.append(log_p.logsumexp(1) + log_scale[k])
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
