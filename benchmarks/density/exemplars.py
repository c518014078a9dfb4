"""A kernel density whose kernels have the shape of their cluster: a candidate for the prior of the default recipe.

N rows, D columns, K clusters, M exemplars; standardised units, nats. With m_k and S_k the mean and covariance of the
cluster of exemplar x_i:

    p(x) = (1/M) sum_i t_nu(x; c_i, h^2 S_k + F),   c_i = m_k + sqrt(1 - h^2) (x_i - m_k)

F = diag(floor^2). Shrinking the exemplars towards their mean keeps the covariance of a cluster at S_k for every h (West
1993, "Approximating posterior distributions by mixture"): h near 0 is a kernel density, h near 1 a Gaussian mixture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from benchmarks.density.sets import MOST_REPEATS, Array, DensitySplit
from benchmarks.density.simple import LogDensity

CLUSTERS = (1, 3, 8, 20, 50)
LEAST_ROWS = 8  # rows per cluster
WIDTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)  # h
DEGREES = (1.0, 3.0, 10.0, math.inf)  # nu; inf: normal kernels
SHRINK = 0.01  # rows per parameter that pull the mean covariance to its diagonal
PULL = 0.5  # rows per parameter that pull the covariance of a cluster to the mean of all clusters
MOST_FULL = 64  # columns; wider tables get diagonal covariances
FOLDS, MANY, HELD_OUT = 5, 1_500, 1_000  # with MANY rows or more one split with at most HELD_OUT rows replaces folds
MOST_EXEMPLARS, ROWS = 3_000, 1_024
EM_ROWS, EM_STEPS, EM_GAIN = 6_000, 40, 1e-3
KMEANS_STEPS = 6
LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Clusters:
    """A Gaussian mixture; covariances are matrices, (K, D, D), or if they are diagonal the variances, (K, D)."""

    log_weight: Tensor  # (K,)
    mean: Tensor  # (K, D)
    covariance: Tensor

    def log_joint(self, x: Tensor) -> Tensor:
        """log pi_k N(x; m_k, S_k), (N, K)."""
        parts = []
        for mean, covariance in zip(self.mean, self.covariance, strict=True):
            whiten = Whitening.of(covariance)
            parts.append(whiten.log_scale - 0.5 * (whiten(x - mean).square().sum(1) + x.shape[1] * LOG_2PI))
        return self.log_weight + torch.stack(parts, dim=1)


@dataclass(frozen=True)
class Whitening:
    """y = L^-1 x for a covariance L L^T."""

    inverse: Tensor  # L^-1, (D, D), or its diagonal, (D,)

    @classmethod
    def of(cls, covariance: Tensor) -> Whitening:
        """covariance: (D, D), or the variances, (D,)."""
        if covariance.ndim == 1:
            return cls(covariance.rsqrt())
        return cls(torch.linalg.inv(torch.linalg.cholesky(covariance)))

    def __call__(self, x: Tensor) -> Tensor:
        """y for x, (N, D) each."""
        return x * self.inverse if self.inverse.ndim == 1 else x @ self.inverse.T

    @property
    def log_scale(self) -> Tensor:
        """log det L^-1, ()."""
        return (self.inverse if self.inverse.ndim == 1 else torch.diagonal(self.inverse)).log().sum()


def exemplar_kernels(split: DensitySplit, seed: int) -> LogDensity:
    """The density with K, h and nu by the log p of rows that are left out."""
    shape = "diagonal" if split.repeats > MOST_REPEATS or split.train.shape[1] > MOST_FULL else "full"
    return fit(split.train, split.floor, shape, seed)


def fit(rows: Array, floor: Array, shape: str, seed: int) -> LogDensity:
    """The density of rows (n, D) with kernels of a shape, "full" or "diagonal"."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.from_numpy(rows).float()[torch.randperm(len(rows), generator=generator)]
    least = torch.from_numpy(floor).float().square()  # (D,)
    clusters, h, nu = _choose(x, least, shape, generator)
    found = _kernels(x, _mixture(x, clusters, least, shape, generator), h, least)

    def log_density(test: Array) -> Array:
        y = torch.from_numpy(test).float()
        parts = [found.log_p(y[start : start + ROWS], [nu])[nu] for start in range(0, len(y), ROWS)]
        return np.asarray(torch.cat(parts).double())

    return log_density


def _choose(x: Tensor, least: Tensor, shape: str, generator: torch.Generator) -> tuple[int, float, float]:
    """The number of clusters, h and nu with the highest mean log p of rows left out."""
    best, choice, since = -math.inf, (1, WIDTHS[-1], math.inf), 0
    splits = list(_splits(len(x)))
    for clusters in CLUSTERS:
        if clusters > 1 and clusters * LEAST_ROWS > len(x):
            break
        total: dict[tuple[float, float], float] = dict.fromkeys(product(WIDTHS, DEGREES), 0.0)
        for kept, left_out in splits:
            mixture = _mixture(x[kept], clusters, least, shape, generator)
            for h in WIDTHS:
                for nu, log_p in _kernels(x[kept], mixture, h, least).log_p(x[left_out], DEGREES).items():
                    total[h, nu] += float(log_p.sum())
        (h, nu), value = max(total.items(), key=lambda one: one[1])
        if value > best:
            best, choice, since = value, (clusters, h, nu), 0
        elif (since := since + 1) == 2:
            break
    return choice


def _splits(n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices of the rows that are kept and of those left out; the rows are in random order."""
    index = torch.arange(n)
    if n >= MANY:
        held = min(HELD_OUT, n // 6)
        yield index[held:], index[:held]
        return
    for fold in range(FOLDS):
        is_out = index % FOLDS == fold
        yield index[~is_out], index[is_out]


def _mixture(x: Tensor, clusters: int, least: Tensor, shape: str, generator: torch.Generator) -> Clusters:
    """A Gaussian mixture by EM, with S_k = (N_k S_k + a W) / (N_k + a), W the mean covariance of the clusters."""
    x = x[:EM_ROWS]
    n, dim = x.shape
    pull = PULL * (dim + 2)
    share = torch.nn.functional.one_hot(_k_means(x, clusters, generator), clusters).to(x.dtype)  # (N, K)
    before = -math.inf
    for _ in range(EM_STEPS):
        size = share.sum(0)  # (K,)
        mean = share.T @ x / size.clamp_min(1e-6)[:, None]
        scatter = torch.stack([_scatter(x - m, share[:, k], shape) for k, m in enumerate(mean)])
        within = _shrunk(scatter.sum(0), n)
        covariance = (scatter + pull * within) / (size + pull).view(-1, *[1] * within.ndim) + _floor(least, shape)
        found = Clusters(((size + 1.0) / (n + clusters)).log(), mean, covariance)
        joint = found.log_joint(x)
        log_p = joint.logsumexp(1)  # (N,)
        share = (joint - log_p[:, None]).exp()
        if (value := float(log_p.mean())) - before < EM_GAIN:
            break
        before = value
    return found


def _floor(least: Tensor, shape: str) -> Tensor:
    """F, as a covariance of this shape."""
    return torch.diag(least) if shape == "full" else least


def _shrunk(scatter: Tensor, n: int) -> Tensor:
    """The mean covariance W of the clusters, as if some more rows had its variances and no correlations."""
    if scatter.ndim == 1:
        return scatter / n
    more = SHRINK * (len(scatter) + 2)
    return (scatter + more * torch.diag(torch.diagonal(scatter)) / n) / (n + more)


def _scatter(centred: Tensor, share: Tensor, shape: str) -> Tensor:
    """sum_n share_n y_n y_n^T, (D, D), or its diagonal, (D,)."""
    weighted = centred * share[:, None]
    return weighted.T @ centred if shape == "full" else (weighted * centred).sum(0)


def _k_means(x: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """The cluster of each row, (N,), by a few steps of k-means from k-means++."""
    centres = x[torch.randint(len(x), (1,), generator=generator)]
    nearest = (x - centres).square().sum(1)
    for _ in range(clusters - 1):
        chosen = x[torch.multinomial(nearest.clamp_min(1e-12), 1, generator=generator)]
        centres, nearest = torch.cat([centres, chosen]), torch.minimum(nearest, (x - chosen).square().sum(1))
    for _ in range(KMEANS_STEPS):
        share = torch.nn.functional.one_hot(torch.cdist(x, centres).argmin(1), clusters).to(x.dtype)
        size = share.sum(0)[:, None]
        centres = torch.where(size > 0, share.T @ x / size.clamp_min(1.0), centres)
    return torch.cdist(x, centres).argmin(1)


@dataclass(frozen=True)
class Kernels:
    """Kernels by cluster: the whitening of h^2 S_k + F, and the exemplars in its coordinates."""

    whitenings: list[Whitening]
    exemplars: list[Tensor]  # (M_k, D) each
    count: int  # M

    def log_p(self, x: Tensor, degrees: Sequence[float]) -> dict[float, Tensor]:
        """log p (N,) for each nu."""
        parts: dict[float, list[Tensor]] = {nu: [] for nu in degrees}
        for whiten, exemplars in zip(self.whitenings, self.exemplars, strict=True):
            squares = torch.cdist(whiten(x), exemplars).square()  # (N, M_k)
            for nu, logs in parts.items():
                logs.append(_log_t(squares, x.shape[1], nu).logsumexp(1) + whiten.log_scale)
        return {nu: torch.stack(logs, 1).logsumexp(1) - math.log(self.count) for nu, logs in parts.items()}


def _kernels(x: Tensor, clusters: Clusters, h: float, least: Tensor) -> Kernels:
    x = x[:MOST_EXEMPLARS]
    own = clusters.log_joint(x).argmax(1)  # (M,)
    floor = _floor(least, "full" if clusters.covariance.ndim == 3 else "diagonal")
    used = sorted(set(own.tolist()))
    whitenings = [Whitening.of(h * h * clusters.covariance[k] + floor) for k in used]
    shrunk = [clusters.mean[k] + math.sqrt(1.0 - h * h) * (x[own == k] - clusters.mean[k]) for k in used]
    return Kernels(whitenings, [whiten(rows) for rows, whiten in zip(shrunk, whitenings, strict=True)], len(x))


def _log_t(squares: Tensor, dim: int, nu: float) -> Tensor:
    """log of a multivariate Student-t density with unit scale at squared distances; nu = inf: normal."""
    if math.isinf(nu):
        return -0.5 * (squares + dim * LOG_2PI)
    top = 0.5 * (nu + dim)
    constant = math.lgamma(top) - math.lgamma(0.5 * nu) - 0.5 * dim * math.log(nu * math.pi)
    return constant - top * torch.log1p(squares / nu)
