"""Mixtures by EM, whose covariances give kernels their shape.

N rows, Z dimensions, L levels, K clusters; model units, nats. Covariances are matrices, (K, Z, Z), or if they are
diagonal the variances, (K, Z). Columns of levels are independent within a cluster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vaekit_training.kernels.levels import Points, shares

Shape = Literal["full", "diagonal"]
MOST_FULL = 64  # columns; wider tables get diagonal covariances
SHRINK = 0.01  # rows per parameter that pull the mean covariance to its diagonal
PULL: dict[Shape, float] = {"full": 0.5, "diagonal": 3.0}  # rows per parameter that pull each cluster to their mean
EM_STEPS, EM_GAIN = 40, 1e-3
KMEANS_STEPS = 6
LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Clusters:
    """A mixture of normal densities, times the probabilities of levels."""

    log_weight: Tensor  # (K,)
    mean: Tensor  # (K, Z)
    covariance: Tensor  # (K, Z, Z) or (K, Z)
    share: Tensor  # (K, L), of each level of each column

    def log_joint(self, points: Points) -> Tensor:
        """log pi_k N(x; m_k, S_k) prod_d share_kd(x_d), (N, K)."""
        x, (inverse, log_scale) = points.real, whitening(self.covariance)
        squares = torch.stack([whitened(x - m, a).square().sum(1) for m, a in zip(self.mean, inverse, strict=True)], 1)
        of_levels = points.hot @ self.share.log().T
        return self.log_weight + log_scale - 0.5 * (squares + x.shape[1] * LOG_2PI) + of_levels


def whitening(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """A with A S A^T = I for each covariance S, (K, Z, Z) or (K, Z), and log det A, (K,); computed in float64."""
    s = covariance.double()
    if s.ndim == 2:
        inverse = s.rsqrt()
        return inverse.to(covariance.dtype), inverse.log().sum(1).to(covariance.dtype)
    factor = torch.linalg.cholesky(s)
    identity = torch.eye(s.shape[-1], dtype=s.dtype).expand_as(s)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    log_scale = torch.diagonal(inverse, dim1=1, dim2=2).log().sum(1)
    return inverse.to(covariance.dtype), log_scale.to(covariance.dtype)


def whitened(x: Tensor, inverse: Tensor) -> Tensor:
    """A x for rows x (N, Z), (N, Z), with A (Z, Z) or its diagonal (Z,)."""
    return x * inverse if inverse.ndim == 1 else x @ inverse.T


def as_covariance(variance: Tensor, shape: Shape) -> Tensor:
    """Variances (Z,) as a covariance of this shape."""
    return torch.diag(variance) if shape == "full" else variance


def mixture(points: Points, clusters: int, least: Tensor, shape: Shape, generator: torch.Generator) -> Clusters:
    """A mixture of N points by EM, with smallest variances `least` (Z,).

    S_k = (N_k S_k + a W) / (N_k + a) + diag(least),   W the mean covariance of the clusters, a = PULL (Z + 2)
    """
    x = points.real
    n, dim = x.shape
    pull, floor = PULL[shape] * (dim + 2), as_covariance(least, shape)
    share = torch.nn.functional.one_hot(_k_means(points.all, clusters, generator), clusters).to(x.dtype)  # (N, K)
    before = -math.inf
    for _ in range(EM_STEPS):
        size = share.sum(0)  # (K,)
        mean = share.T @ x / size.clamp_min(1e-6)[:, None]
        scatter = torch.stack([_scatter(x - m, share[:, k], shape) for k, m in enumerate(mean)])
        within = _shrunk(scatter.sum(0), n)
        covariance = (scatter + pull * within) / (size + pull).view(-1, *[1] * within.ndim) + floor
        log_weight = ((size + 1.0) / (n + clusters)).log()
        found = Clusters(log_weight, mean, covariance, shares(points.hot, share, points.counts))
        if clusters == 1:
            return found
        joint = found.log_joint(points)
        log_p = joint.logsumexp(1)  # (N,)
        share = (joint - log_p[:, None]).exp()
        if (value := float(log_p.mean())) - before < EM_GAIN:
            break
        before = value
    return found


def _shrunk(scatter: Tensor, n: int) -> Tensor:
    """The mean covariance W of the clusters, as if some more rows had its variances and no correlations."""
    if scatter.ndim == 1:
        return scatter / n
    more = SHRINK * (len(scatter) + 2)
    return (scatter + more * torch.diag(torch.diagonal(scatter)) / n) / (n + more)


def _scatter(centred: Tensor, share: Tensor, shape: Shape) -> Tensor:
    """sum_n share_n y_n y_n^T, (Z, Z), or its diagonal, (Z,)."""
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
