"""Every likelihood in float64, with raw outputs from mild to extreme."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaekit_training.likelihoods import (
    Bernoulli,
    BinnedGaussian,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    Grid,
    Laplace,
    Likelihood,
    LocationScale,
    Mixed,
    StudentT,
)

FLOOR = torch.tensor([0.1, 1e-3, 0.5])
ALL = torch.ones(3, dtype=torch.bool)
LEVELS = (2, 5, 3)
FAMILIES: dict[str, type[LocationScale]] = {"gaussian": Gaussian, "student_t": StudentT, "laplace": Laplace}


def pixels() -> Grid:
    """256 values, standardised in three ways."""
    gap = torch.tensor([1 / 255, 2 / 255, 0.013])
    lowest = torch.tensor([0.0, -1.0, -0.42])
    return Grid(gap, lowest, lowest + 255 * gap)


def counts() -> Grid:
    """Counts without an upper end."""
    return Grid(torch.tensor([0.5, 0.02, 3.0]), torch.tensor([-1.0, -0.7, -4.0]), torch.full((3,), torch.inf))


MIXED = [
    ((5, 0, 2), lambda: Gaussian("network", FLOOR, ALL)),
    ((3,), lambda: Bernoulli(1)),
    ((1, 4, 8), lambda: Categorical(LEVELS)),
    ((9, 10, 6), lambda: DiscretizedLogistic(counts(), ALL, components=2)),
    ((7,), lambda: ContinuousBernoulli(1)),
]


def mixed() -> Mixed:
    return Mixed([(columns, make()) for columns, make in MIXED])


@dataclass(frozen=True)
class Case:
    """How to make a likelihood, and the type of its values: 'real', 'unit', 'grid', 'levels' or 'mixed'."""

    make: Callable[[], Likelihood]
    values: str


CASES: dict[str, Case] = {
    **{
        f"{name}, {kind}": Case(lambda family=family, scale=scale: family(scale, FLOOR, ALL), "real")
        for name, family in FAMILIES.items()
        for kind, scale in {"scale of the network": "network", "scale by feature": "feature"}.items()
    },
    "gaussian, one scale": Case(lambda: Gaussian("shared", FLOOR, ALL), "real"),
    "gaussian, fixed scale": Case(lambda: Gaussian(0.3, FLOOR, ALL), "real"),
    "student_t, a constant column": Case(lambda: StudentT("network", FLOOR, torch.tensor([True, False, True])), "real"),
    "laplace, a mean within (-1, 1)": Case(lambda: Laplace("network", FLOOR, ALL, output="tanh"), "real"),
    "bernoulli": Case(lambda: Bernoulli(3), "levels"),
    "continuous_bernoulli": Case(lambda: ContinuousBernoulli(3), "unit"),
    "categorical": Case(lambda: Categorical(LEVELS), "levels"),
    "categorical, one column with many levels": Case(lambda: Categorical((2, 30, 3, 4, 2)), "levels"),
    "categorical, as many levels each": Case(lambda: Categorical((4, 4, 4)), "levels"),
    "gaussian on pixels": Case(lambda: BinnedGaussian("network", pixels(), ALL), "grid"),
    "gaussian on counts, scale by feature": Case(lambda: BinnedGaussian("feature", counts(), ALL), "grid"),
    "discretized_logistic on pixels": Case(lambda: DiscretizedLogistic(pixels(), ALL, components=3), "grid"),
    "discretized_logistic on counts": Case(lambda: DiscretizedLogistic(counts(), ALL, components=2), "grid"),
    "mixed": Case(mixed, "mixed"),
}


def build(name: str, dtype: torch.dtype = torch.float64) -> Likelihood:
    """One of the cases, with random changes of its learned parameters."""
    likelihood = CASES[name].make()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in likelihood.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return likelihood.to(dtype).eval()


def outputs(likelihood: Likelihood, rows: int = 4, spread: float = 1.0) -> Tensor:
    """Raw outputs h (rows, width), float64; the larger the spread, the more extreme."""
    generator = torch.Generator().manual_seed(5)
    return spread * torch.randn(rows, likelihood.width, generator=generator, dtype=torch.float64)


def grid_of(likelihood: Likelihood) -> Grid:
    grid = likelihood.grid
    assert isinstance(grid, Grid)
    return grid


def values(name: str, likelihood: Likelihood, rows: int, extreme: bool = False) -> Tensor:
    """Rows t for the likelihood, (rows, D), float64; extreme ones have the largest values of any finite row."""
    generator = torch.Generator().manual_seed(7)
    u = torch.rand(rows, likelihood.dim, generator=generator, dtype=torch.float64)
    kind = CASES[name].values
    if kind == "mixed":
        return _mixed_values(rows, extreme)
    if kind == "unit":
        return u.round() if extreme else u
    if kind == "levels":
        levels = torch.tensor(getattr(likelihood, "levels", (2,) * likelihood.dim))
        return (u * levels).floor()
    if kind == "grid":
        grid = grid_of(likelihood)
        top = torch.minimum((grid.highest - grid.lowest) / grid.gap, torch.tensor(1e15 if extreme else 60.0)).round()
        return grid.lowest + grid.gap * (u * (top + 1)).floor()
    return 2e15 * (u - 0.5) if extreme else 6.0 * (u - 0.5)


def _mixed_values(rows: int, extreme: bool) -> Tensor:
    names = ("gaussian, scale of the network", "bernoulli", "categorical", "discretized_logistic on counts")
    names = (*names, "continuous_bernoulli")
    x = torch.zeros(rows, 11, dtype=torch.float64)
    for (columns, make), name in zip(MIXED, names, strict=True):
        x[:, list(columns)] = values(name, make().double(), rows, extreme)
    return x


def noise_for(likelihood: Likelihood, shape: tuple[int, ...]) -> Tensor:
    """Standard normals (*shape, D, 2), float64."""
    generator = torch.Generator().manual_seed(11)
    return torch.randn(*shape, likelihood.dim, 2, generator=generator, dtype=torch.float64)


def legendre(intervals: int, span: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a composite Gauss-Legendre rule on (0, span), with eight nodes per interval."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    width = span / intervals
    points = (np.arange(intervals)[:, None] + 0.5 * (nodes + 1)) * width
    return torch.from_numpy(points.ravel()), torch.from_numpy(np.tile(weights * width / 2, intervals))


def support(name: str, likelihood: Likelihood, h: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights (Q, R, D) to integrate or sum over all values of t, for each row of h (R, width)."""
    kind, shape = CASES[name].values, (len(h), likelihood.dim)
    if kind == "real":
        v, weight = legendre(400, math.asinh(1e9))
        r, weight = torch.cat([-v.sinh(), v.sinh()]), torch.cat([weight * v.cosh()] * 2)
        s = likelihood.scale(h)
        assert s is not None
        return likelihood.mean(h) + s * r[:, None, None], s * weight[:, None, None]
    if kind == "unit":
        v, weight = legendre(400, 72.0)
        t = torch.sigmoid(v - 36.0)
        weight = weight * t * torch.sigmoid(36.0 - v)
        return t[:, None, None].expand(-1, *shape), weight[:, None, None].expand(-1, *shape)
    if kind == "levels":
        most = getattr(likelihood, "most", 2)
        t = torch.arange(most, dtype=torch.float64)[:, None, None].expand(-1, *shape)
        real = t < torch.tensor(getattr(likelihood, "levels", (2,) * likelihood.dim))
        return torch.where(real, t, 0.0), real.double()
    grid = grid_of(likelihood)
    steps = torch.arange(200_000.0 if grid.highest.isinf().any() else 256.0, dtype=torch.float64)
    t = grid.lowest + grid.gap * steps[:, None, None]
    return t.expand(-1, *shape), torch.ones(1, 1, 1, dtype=torch.float64)
