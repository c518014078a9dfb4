"""Simple densities to compare with: Gaussians, Gaussian mixtures and kernel densities. Settings by validation rows.

N rows, D columns, in standardised units; log p in nats. No scale of any density is below the floor of its column.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import gammaln, logsumexp

from benchmarks.density.sets import Array, DensitySplit

LogDensity = Callable[[Array], Array]  # rows (N, D) -> log p (N,)
Fit = Callable[[Array], LogDensity]  # training rows -> density

SHRINKAGES = (0.0, 1e-3, 1e-2, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0)  # of the covariance towards its diagonal
COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 32)
RIDGES = (1e-3, 1e-2, 0.1)  # added to the variances of a mixture's components
BANDWIDTHS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3)
DEGREES = (1.0, 3.0, 10.0, math.inf)  # of freedom of a kernel; inf: Gaussian
POWERS = (0.0, 0.5, 1.0)  # of the distance to a neighbour in the bandwidth of an exemplar
NEIGHBOUR = 10
MOST_EXEMPLARS, MOST_VALIDATION, ROWS = 3_000, 800, 1_024
LOG_2PI = math.log(2.0 * math.pi)


def diagonal_gaussian(split: DensitySplit, seed: int) -> LogDensity:  # noqa: ARG001  all contenders have a seed
    """Independent normal columns."""
    mean, scale = split.train.mean(axis=0), np.maximum(split.train.std(axis=0), split.floor)
    return lambda x: np.asarray((-0.5 * ((x - mean) / scale) ** 2 - np.log(scale) - 0.5 * LOG_2PI).sum(axis=1))


def full_gaussian(split: DensitySplit, seed: int) -> LogDensity:  # noqa: ARG001
    """One normal density with full covariance, shrunk towards its diagonal."""

    def fit(shrinkage: float) -> Fit:
        def density(x: Array) -> LogDensity:
            covariance = np.atleast_2d(np.cov(x.T))
            shrunk = (1.0 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))
            return _gaussian(x.mean(axis=0), shrunk + np.diag(split.floor**2))

        return density

    return best([fit(shrinkage) for shrinkage in SHRINKAGES], split)


def gaussian_mixture(split: DensitySplit, seed: int) -> LogDensity:
    """A mixture of up to 32 normal densities, with full or diagonal covariances."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    def fit(kind: str, components: int, ridge: float) -> Fit:
        def density(x: Array) -> LogDensity:
            ridged = GaussianMixture(components, covariance_type=kind, reg_covar=ridge, random_state=seed)
            with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # repeated rows; slow fits
                ridged.fit(x)
            full = [np.diag(c) if kind == "diag" else c for c in ridged.covariances_]
            least = [np.diag(np.maximum(split.floor**2 - np.diag(c), 0.0)) for c in full]
            parts = [_gaussian(m, c + more) for m, c, more in zip(ridged.means_, full, least, strict=True)]
            logs = np.log(ridged.weights_)
            return lambda rows: np.asarray(logsumexp(np.stack([p(rows) for p in parts], axis=1) + logs, axis=1))

        return density

    n, dim = split.fit.shape
    fits = [
        fit(kind, components, ridge)
        for kind, components, ridge in product(("full", "diag"), COMPONENTS, RIDGES)
        if 2 * components <= n and (kind == "diag" or components == 1 or components * dim <= n)
    ]
    return best(fits, split)


def kernel(split: DensitySplit, seed: int) -> LogDensity:
    """A kernel density with one bandwidth and multivariate Student-t or Gaussian kernels."""
    return _kernels(split, seed, POWERS[:1])


def adaptive_kernel(split: DensitySplit, seed: int) -> LogDensity:
    """A kernel density whose bandwidths grow with the distance to the tenth neighbour (Silverman 1986, 5.3)."""
    return _kernels(split, seed, POWERS)


SIMPLE = {
    "diagonal Gaussian": diagonal_gaussian,
    "full Gaussian": full_gaussian,
    "Gaussian mixture": gaussian_mixture,
    "kernel density": kernel,
    "adaptive kernel density": adaptive_kernel,
}


def best(fits: Sequence[Fit], split: DensitySplit) -> LogDensity:
    """The fit with the highest mean log p of the validation rows, fitted again with them."""
    validation = split.validation[:MOST_VALIDATION]

    def mean(fit: Fit) -> float:
        try:
            value = float(fit(split.fit)(validation).mean())
        except np.linalg.LinAlgError:
            return -math.inf
        return value if math.isfinite(value) else -math.inf

    return max(fits, key=mean)(split.train)


def _gaussian(mean: Array, covariance: Array) -> LogDensity:
    lower = np.linalg.cholesky(covariance)
    constant = -np.log(np.diag(lower)).sum() - 0.5 * len(mean) * LOG_2PI
    return lambda x: np.asarray(-0.5 * (solve_triangular(lower, (x - mean).T, lower=True) ** 2).sum(axis=0) + constant)


def _kernels(split: DensitySplit, seed: int, powers: Sequence[float]) -> LogDensity:
    """log (1/M) sum_i t(x; x_i, h_i), h_i = h (d_i / g)^a; d_i: distance to a neighbour, g: their geometric mean."""

    def fit(h: float, power: float, degrees: float) -> Fit:
        def density(x: Array) -> LogDensity:
            exemplars = x[np.random.default_rng(seed).permutation(len(x))[:MOST_EXEMPLARS]]
            widths = h * relative(exemplars) ** power  # (M,)
            scale = np.maximum(1.0, split.floor / widths.min())  # (D,)
            return _mixture(exemplars, scale, widths, degrees)

        return density

    spread: dict[int, Array] = {}

    def relative(exemplars: Array) -> Array:
        if len(exemplars) not in spread:
            spread[len(exemplars)] = _relative_distance(exemplars)
        return spread[len(exemplars)]

    return best([fit(*one) for one in product(BANDWIDTHS, powers, DEGREES)], split)


def _relative_distance(exemplars: Array) -> Array:
    """The distance to the tenth neighbour over its geometric mean, (M,), at least e^-2."""
    at = min(NEIGHBOUR, len(exemplars) - 1)
    distance = np.partition(cdist(exemplars, exemplars), at, axis=1)[:, at]
    logs = np.log(np.maximum(distance, 0.01))
    return np.asarray(np.exp(np.maximum(logs - logs.mean(), -2.0)))


def _mixture(exemplars: Array, scale: Array, widths: Array, degrees: float) -> LogDensity:
    dim = exemplars.shape[1]
    constants = -dim * np.log(widths) - np.log(scale).sum() - math.log(len(exemplars))  # (M,)

    def log_density(x: Array) -> Array:
        parts = []
        for start in range(0, len(x), ROWS):
            squares = cdist(x[start : start + ROWS] / scale, exemplars / scale, "sqeuclidean") / widths**2  # (N, M)
            parts.append(logsumexp(_log_kernel(squares, dim, degrees) + constants, axis=1))
        return np.concatenate(parts)

    return log_density


def _log_kernel(squares: Array, dim: int, degrees: float) -> Array:
    """log of a multivariate Student-t density with unit scale at squared distances; degrees = inf: Gaussian."""
    if math.isinf(degrees):
        return -0.5 * (squares + dim * LOG_2PI)
    top = 0.5 * (degrees + dim)
    constant = gammaln(top) - gammaln(0.5 * degrees) - 0.5 * dim * math.log(degrees * math.pi)
    return np.asarray(constant - top * np.log1p(squares / degrees))
