"""The kernel prior is a normalised density, its KL bounds it, and its conditionals are those of the density."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest, multivariate_normal, multivariate_t
from torch import Tensor

from vaekit_training.kernels.blocks import blocks_of
from vaekit_training.kernels.levels import numbers
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.search import DEGREES, Kernels

TINY = 1e-6  # sigma at which the KL is minus the log density, up to the entropy


def kernels(dim: int, nu: float, shape: str = "full", count: int = 40, seed: int = 0) -> Kernels:
    """Exemplars of three clusters with different covariances."""
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal((3, dim)) * 1.5
    cluster = rng.permutation(np.arange(count) % 3)
    root = rng.standard_normal((3, dim, dim)) * 0.5
    covariance = root @ root.transpose(0, 2, 1) + 0.05 * np.eye(dim)
    x = mean[cluster] + np.einsum("nij,nj->ni", root[cluster], rng.standard_normal((count, dim)))
    if shape == "diagonal":
        covariance = np.diagonal(covariance, axis1=1, axis2=2).copy()
    as_tensors = (torch.from_numpy(a) for a in (x, cluster, mean, covariance))
    x, cluster, mean, covariance = as_tensors
    return Kernels(numbers(x), cluster, mean, covariance, torch.zeros(3, 0).double(), h=0.6, nu=nu, keep=0.0)


def of_columns(of: Kernels, kept: Tensor) -> Kernels:
    """The diagonal kernels of some columns."""
    x, mean, covariance = of.exemplars.real[:, kept], of.mean[:, kept], of.covariance[:, kept]
    return replace(of, exemplars=numbers(x), mean=mean, covariance=covariance)


def prior(of: Kernels) -> KernelPrior:
    return KernelPrior(of, torch.arange(len(of.exemplars))).double()


def log_density(p: KernelPrior, z: Tensor) -> Tensor:
    return p.log_density(z)


def reference(of: Kernels, z: np.ndarray) -> np.ndarray:
    """log p by SciPy, (N,)."""
    parts = []
    for centre, k in zip(of.centres.numpy(), of.cluster.tolist(), strict=True):
        s = of.covariance[k].numpy()
        s = np.diag(s) if s.ndim == 1 else s
        kernel = multivariate_normal(centre, s) if math.isinf(of.nu) else multivariate_t(centre, s, df=of.nu)
        parts.append(np.atleast_1d(kernel.logpdf(z)))
    return np.logaddexp.reduce(parts, axis=0) - math.log(len(parts))


def grid(half: float, count: int) -> tuple[Tensor, float]:
    """Points of a line, (count,), and their distance."""
    points = torch.linspace(-half, half, count, dtype=torch.float64)
    return points, float(points[1] - points[0])


@pytest.mark.parametrize("shape", ["full", "diagonal"])
@pytest.mark.parametrize("nu", DEGREES)
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_the_density_is_the_mean_of_the_kernels(dim: int, nu: float, shape: str) -> None:
    of = kernels(dim, nu, shape)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((25, dim)) * 3)
    np.testing.assert_allclose(log_density(prior(of), z), reference(of, z.numpy()), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("nu", DEGREES)
def test_diagonal_kernels_leave_cells_out_exactly(nu: float) -> None:
    of = kernels(5, nu, "diagonal")
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((40, 5)) * 2)
    there = torch.from_numpy(np.random.default_rng(2).random((40, 5)) < 0.6)
    there[:, 0] = True
    got = prior(of).log_density(torch.where(there, z, 9.9), None, there)
    cells = prior(of).cells(torch.where(there, z, 9.9), torch.full_like(z, TINY), there)
    for n in range(40):
        kept = there[n].nonzero()[:, 0]
        part = of_columns(of, kept)
        row = z[n : n + 1, kept]
        torch.testing.assert_close(got[n], log_density(prior(part), row)[0], rtol=1e-9, atol=1e-9)
        alone = prior(part).cells(row, torch.full_like(row, TINY))
        for name in ("log_density", "mean", "deviation"):
            torch.testing.assert_close(getattr(cells, name)[n, kept], getattr(alone, name)[0], rtol=1e-6, atol=1e-6)


def test_the_density_integrates_to_one() -> None:
    points, step = grid(30.0, 1201)
    z = torch.cartesian_prod(points, points)
    p = prior(kernels(2, 10.0))
    total = sum(float(log_density(p, part).exp().sum()) for part in z.split(20_000)) * step * step
    assert total == pytest.approx(1.0, abs=2e-3)  # nu = 10: little mass is outside the grid


@pytest.mark.parametrize("nu", DEGREES)
def test_minus_the_kl_is_below_the_log_density_and_near_it_for_a_narrow_posterior(nu: float) -> None:
    p = prior(kernels(4, nu))
    mu = torch.from_numpy(np.random.default_rng(2).standard_normal((10, 4)))
    draws = torch.from_numpy(np.random.default_rng(3).standard_normal((10, 4000, 4)))
    for sigma in (TINY, 0.1, 1.0):
        s = torch.full_like(mu, sigma)
        kl = p.kl(mu, s)
        by_draws = -p.log_ratio(s, mu[:, None] + sigma * draws, draws).mean(1)  # KL(q || p) by Monte Carlo
        assert (kl > by_draws - 0.15).all()
        entropy = 4 * (math.log(sigma) + 0.5 * math.log(2 * math.pi * math.e))
        if sigma == TINY:
            torch.testing.assert_close(-kl - entropy, log_density(p, mu), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", ["full", "diagonal"])
@pytest.mark.parametrize("nu", [3.0, math.inf])
def test_a_cell_given_the_others_has_the_density_mean_and_deviation_of_the_line_through_the_row(
    nu: float, shape: str
) -> None:
    p = prior(kernels(3, nu, shape))
    row = torch.tensor([[0.4, -1.0, 0.7]], dtype=torch.float64)
    found = p.cells(row, torch.full_like(row, TINY))
    points, step = grid(400.0, 800_001)
    for d in range(3):
        line = row.repeat(len(points), 1)
        line[:, d] = points
        along = torch.cat([log_density(p, part) for part in line.split(100_000)])
        total = (along.exp().sum() * step).log()
        density = (along - total).exp()
        mean = float((density * points).sum() * step)
        spread = math.sqrt(float((density * (points - mean).square()).sum() * step))
        expected = float(log_density(p, row)[0] - total)
        assert float(found.log_density[0, d]) == pytest.approx(expected, abs=1e-5)
        assert float(found.mean[0, d]) == pytest.approx(mean, abs=1e-4)
        assert float(found.deviation[0, d]) == pytest.approx(spread, rel=1e-2)


@pytest.mark.parametrize("shape", ["full", "diagonal"])
@pytest.mark.parametrize("nu", DEGREES)
def test_the_weight_of_an_exemplar_is_its_share_of_the_density(nu: float, shape: str) -> None:
    of = kernels(3, nu, shape)
    z = np.random.default_rng(1).standard_normal((25, 3)) * 2
    alone = [replace(of, exemplars=of.exemplars[i : i + 1], cluster=of.cluster[i : i + 1]) for i in range(40)]
    each = np.stack([reference(one, z) for one in alone], axis=1)  # (25, 40)
    weight = np.exp(each - np.logaddexp.reduce(each, axis=1)[:, None])
    rows = torch.from_numpy(z)
    found = prior(of).cells(rows, torch.full_like(rows, TINY)).similar
    order = np.argsort(-weight, axis=1)[:, :5]
    np.testing.assert_array_equal(found.exemplar.numpy(), order)
    np.testing.assert_allclose(found.weight.numpy(), np.take_along_axis(weight, order, axis=1), rtol=1e-6)


def test_the_weights_of_rows_with_missing_cells_are_by_the_cells_that_are_there() -> None:
    of = kernels(4, 10.0, "diagonal")
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((10, 4)))
    there = torch.ones(10, 4, dtype=torch.bool)
    there[:, 2] = False
    tiny = torch.full_like(z, TINY)
    found = prior(of).cells(torch.where(there, z, 9.9), tiny, there).similar
    kept = torch.tensor([0, 1, 3])
    part = of_columns(of, kept)
    alone = prior(part).cells(z[:, kept], tiny[:, kept]).similar
    assert torch.equal(found.exemplar, alone.exemplar)
    torch.testing.assert_close(found.weight, alone.weight, rtol=1e-6, atol=1e-9)


def test_one_normal_kernel_gives_the_regression_of_a_cell_on_the_others() -> None:
    s = torch.tensor([[2.0, 1.2], [1.2, 1.0]], dtype=torch.float64)
    origin = torch.zeros(1, 2).double()
    one = Kernels(numbers(origin), torch.tensor([0]), origin, s[None], torch.zeros(1, 0).double(), 0.97, math.inf, 0.0)
    found = prior(one).cells(torch.tensor([[3.0, 2.0]]).double(), torch.full((1, 2), TINY).double())
    torch.testing.assert_close(found.mean[0], torch.tensor([1.2 * 2.0, 1.2 / 2.0 * 3.0]).double())
    by_hand = torch.tensor([2.0 - 1.2**2, 1.0 - 1.2**2 / 2.0]).double().sqrt()
    torch.testing.assert_close(found.deviation[0], by_hand)


@pytest.mark.parametrize("nu", [1.0, 3.0, math.inf])
def test_samples_follow_the_density(nu: float) -> None:
    of = kernels(1, nu)
    p, n = prior(of), 20_000
    rng = np.random.default_rng(5)
    z = p.sample(torch.from_numpy(rng.standard_normal((n, 1))), torch.from_numpy(rng.random(n)))[:, 0].numpy()
    points, step = grid(2000.0, 800_001)
    density = torch.cat([log_density(p, part) for part in points[:, None].split(100_000)]).exp().numpy()
    below = np.cumsum(density) * step
    assert kstest(z, lambda x: np.interp(x, points.numpy(), below)).pvalue > 1e-3


def test_samples_at_temperature_0_are_the_centres() -> None:
    of = kernels(3, 3.0)
    p, m = prior(of), len(of.exemplars)
    choice = (torch.arange(m, dtype=torch.float64) + 0.5) / m
    torch.testing.assert_close(p.sample(torch.zeros(m, 3).double(), choice), of.centres)


def test_each_exemplar_has_a_place_in_a_block_of_its_cluster() -> None:
    cluster = torch.tensor([2] * 70 + [0] * 3 + [1] * 17)[
        torch.randperm(90, generator=torch.Generator().manual_seed(0))
    ]
    blocks, places = blocks_of(cluster)
    assert torch.equal(blocks.flatten()[places], torch.arange(90))
    for block in blocks:
        assert len(cluster[block[block >= 0]].unique()) == 1


def test_extreme_rows_have_finite_terms() -> None:
    for nu in (1.0, math.inf):
        p = KernelPrior(kernels(3, nu), torch.arange(40))  # float32 after the distances
        far = torch.full((1, 3), 1e15)
        assert torch.isfinite(p.kl(far, torch.full_like(far, TINY))).all()


@pytest.mark.parametrize("nu", [3.0, math.inf])
def test_a_far_cell_is_predicted_in_float32_as_in_float64(nu: float) -> None:
    """Without the cell, the squared distances are a small part of those with it."""
    of = kernels(2, nu, "diagonal")
    of = replace(of, covariance=of.covariance * torch.tensor([1.0, 1e-3]))
    row, sigma = torch.tensor([[3.0, 100.0]]), torch.full((1, 2), TINY)
    want, got = prior(of).cells(row, sigma), KernelPrior(of, torch.arange(40)).cells(row, sigma)
    for name in want._fields[:4]:
        torch.testing.assert_close(getattr(got, name), getattr(want, name), rtol=1e-5, atol=1e-5)
