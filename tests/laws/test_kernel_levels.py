"""Columns of levels in a kernel prior: a normalised distribution, exact conditionals, and its place in the VAE."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.laws.test_kernel_prior import TINY, grid, kernels
from tests.training.models import Case, case, standard_eps
from vaekit_training.export import double
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.kernels.levels import Points, levels_of, log_probabilities, one_hot, shares
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.search import KEEPS, Kernels, chosen

COUNTS = (2, 2, 9)  # in two groups of LevelGroups
IS_LEVEL = (True, False, True, False, True)  # of z: levels and numbers in turn
KINDS = ["kernel prior, mixed", "kernel prior, categories", "kernel prior, binary columns"]
K = 3


def with_levels(dim: int = 2, shape: str = "full", nu: float = 3.0, missing: bool = False) -> Kernels:
    """The kernels of test_kernel_prior with three columns of levels."""
    of, rng = kernels(dim, nu, shape), np.random.default_rng(4)
    n = len(of.exemplars)
    code = torch.from_numpy(rng.integers(0, COUNTS, (n, 3)).astype(np.float64))
    there = torch.from_numpy(rng.random((n, 3)) < (0.7 if missing else 2.0))
    share = torch.cat([torch.from_numpy(rng.dirichlet(np.ones(count), 3)) for count in COUNTS], dim=1)
    points = Points(of.exemplars.real, one_hot(code, there, COUNTS), COUNTS)
    return replace(of, exemplars=points, share=share, keep=0.4)


def prior(of: Kernels) -> KernelPrior:
    is_level = IS_LEVEL if of.mean.shape[1] else (True,) * 3
    return KernelPrior(of, torch.arange(len(of.exemplars)), is_level).double()


def rows(dim: int = 2, n: int = 12) -> Tensor:
    """z (n, Z) of random levels and numbers."""
    rng = np.random.default_rng(5)
    code, z = rng.integers(0, COUNTS, (n, 3)), rng.standard_normal((n, dim)) * 2
    columns = [code[:, 0], z[:, 0], code[:, 1], z[:, 1], code[:, 2]] if dim else list(code.T)
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float64))


def reference(of: Kernels, z: Tensor, there: Tensor | None = None) -> np.ndarray:
    """log p by a loop over exemplars, columns and their levels, (N,)."""
    numbers = torch.tensor([not one for one in IS_LEVEL]) if of.mean.shape[1] else torch.zeros(3, dtype=torch.bool)
    parts = []
    column, _ = levels_of(COUNTS)
    for i in range(len(of.exemplars)):
        k = int(of.cluster[i])
        alone = replace(of, exemplars=of.exemplars[i : i + 1], cluster=of.cluster[i : i + 1])
        of_numbers = Points(z[:, numbers], z.new_zeros(len(z), 0))
        alone = replace(alone, exemplars=Points(alone.exemplars.real, z.new_zeros(1, 0)))
        log_p = alone.log_density(of_numbers) if numbers.any() else z.new_zeros(len(z))
        for c, j in enumerate((~numbers).nonzero()[:, 0].tolist()):
            share, own = of.share[k][column == c], of.exemplars.hot[i][column == c]
            p = share if not own.any() else (1 - of.keep) * share + of.keep * own
            of_column = p.log()[z[:, j].long()]
            log_p = log_p + (of_column if there is None else torch.where(there[:, j], of_column, 0.0))
        parts.append(log_p.numpy())
    return np.logaddexp.reduce(parts, axis=0) - math.log(len(parts))


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("dim", "shape"), [(2, "full"), (2, "diagonal"), (0, "diagonal")])
def test_the_density_is_the_mean_of_the_products_of_the_kernels(dim: int, shape: str, missing: bool) -> None:
    of, z = with_levels(dim, shape, missing=missing), rows(dim)
    np.testing.assert_allclose(prior(of).log_density(z), reference(of, z), rtol=1e-9, atol=1e-9)
    noisy = z + 1e-4  # q has this scale
    if not dim:
        np.testing.assert_array_equal(prior(of).log_density(noisy), prior(of).log_density(z))


def test_the_distribution_sums_to_one() -> None:
    every = torch.tensor(list(itertools.product(*map(range, COUNTS))), dtype=torch.float64)
    assert float(prior(with_levels(0, "diagonal")).log_density(every).exp().sum()) == pytest.approx(1.0)
    of = with_levels(2, "full", math.inf)
    points, step = grid(12.0, 241)
    numbers = torch.cartesian_prod(points, points)
    total = 0.0
    for code in every:
        level = code.expand(len(numbers), -1)
        z = torch.stack([level[:, 0], numbers[:, 0], level[:, 1], numbers[:, 1], level[:, 2]], dim=1)
        total += float(prior(of).log_density(z).exp().sum()) * step * step
    assert total == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("shape", ["full", "diagonal"])
def test_levels_that_are_not_there_are_left_out_exactly(shape: str) -> None:
    of, z = with_levels(2, shape), rows()
    there = torch.ones_like(z, dtype=torch.bool)
    there[:6, 0], there[3:, 4] = False, False
    got = prior(of).log_density(torch.where(there, z, 0.0), None, there)
    np.testing.assert_allclose(got, reference(of, z, there), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dim", "shape"), [(2, "full"), (2, "diagonal"), (0, "diagonal")])
def test_a_level_given_the_other_cells_has_its_share_of_the_density(dim: int, shape: str) -> None:
    of, z = with_levels(dim, shape), rows(dim)
    p, sigma = prior(of), torch.full_like(z, TINY)
    found = p.cells(z, sigma)
    assert found.probabilities is not None
    at = 0
    for j, count in zip([0, 2, 4] if dim else [0, 1, 2], COUNTS, strict=True):
        each = []
        for level in range(count):
            other = z.clone()
            other[:, j] = level
            each.append(p.log_density(other))
        want = torch.stack(each, 1).softmax(1)  # (N, count)
        torch.testing.assert_close(found.probabilities[:, at : at + count], want, rtol=1e-6, atol=1e-7)
        own = want.gather(1, z[:, j : j + 1].long())[:, 0]
        torch.testing.assert_close(found.log_density[:, j].exp(), own, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(found.mean[:, j], want @ torch.arange(count).double(), rtol=1e-6, atol=1e-6)
        at += count


def test_a_number_given_the_other_cells_depends_on_the_levels() -> None:
    of, z = with_levels(), rows(n=2)
    p = prior(of)
    found = p.cells(z, torch.full_like(z, TINY))
    points, step = grid(300.0, 400_001)
    for n in range(2):
        line = z[n].repeat(len(points), 1)
        line[:, 1] = points
        along = torch.cat([p.log_density(part) for part in line.split(100_000)])
        total = (along.exp().sum() * step).log()
        assert float(found.log_density[n, 1]) == pytest.approx(float(p.log_density(z[n : n + 1])[0] - total), abs=1e-5)
        mean = float(((along - total).exp() * points).sum() * step)
        assert float(found.mean[n, 1]) == pytest.approx(mean, abs=1e-3)


def test_samples_have_the_frequencies_of_the_levels() -> None:
    of = with_levels(0, "diagonal")
    p, n, rng = prior(of), 40_000, np.random.default_rng(6)
    z = p.sample(torch.from_numpy(rng.standard_normal((n, 3))), torch.from_numpy(rng.random(n)))
    for code in itertools.product(*map(range, COUNTS)):
        row = torch.tensor([code], dtype=torch.float64)
        want = float(p.log_density(row).exp())
        got = float((z == row).all(1).double().mean())
        assert abs(got - want) < 5 * math.sqrt(want / n) + 1e-4


def test_shares_are_pulled_to_those_of_all_rows_and_every_level_has_one() -> None:
    code = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    hot = one_hot(code, torch.ones_like(code, dtype=torch.bool), (3,))
    weight = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    found = shares(hot, weight, (3,))
    everywhere = torch.tensor([2 + 1 / 3, 2 + 1 / 3, 1 / 3]) / 5  # one row with even levels is added
    torch.testing.assert_close(found[0], (torch.tensor([2.0, 0.0, 0.0]) + 3 * everywhere) / 5)
    torch.testing.assert_close(found.sum(1), torch.ones(2))


def test_a_missing_cell_of_an_exemplar_has_the_shares_of_its_cluster() -> None:
    hot, share = torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([[0.7, 0.3], [0.7, 0.3]])
    found = log_probabilities(hot, share, 0.5, (2,)).exp()
    torch.testing.assert_close(found, torch.tensor([[0.35, 0.65], [0.7, 0.3]]))


def test_the_search_finds_whether_levels_depend_on_each_other() -> None:
    rng = np.random.default_rng(0)
    for code, entropy in (
        (np.repeat(rng.integers(0, 4, (400, 1)), 5, axis=1), math.log(4)),
        (rng.integers(0, 4, (400, 5)), 5 * math.log(4)),
    ):
        t = torch.from_numpy(code).float()
        points = Points(t.new_zeros(400, 0), one_hot(t, torch.ones_like(t, dtype=torch.bool), (4,) * 5), (4,) * 5)
        found = chosen(points[:300], t.new_zeros(300, 0).bool(), 300, torch.Generator().manual_seed(0))
        assert -float(found.log_density(points[300:]).mean()) == pytest.approx(entropy, abs=0.4)
        assert {one.keep for one in found.trials} == set(KEEPS)
        assert found.keep == max(found.trials, key=lambda one: one.log_density).keep


def model(kind: str) -> tuple[Case, KernelVAE]:
    one = case(kind)
    vae = double(one.vae)
    assert isinstance(vae, KernelVAE)
    return one, vae


@pytest.mark.parametrize("kind", KINDS)
def test_the_elbo_is_just_below_the_log_density(kind: str) -> None:
    one, vae = model(kind)
    found = vae.bound(one.x, standard_eps(K, one.latent_dim, len(one.x)).double())
    t = vae.features(one.x)
    log_p = vae.prior.log_density(t[:, vae.features.active]) + vae.features.log_jacobian(t).expand(t.shape).sum(1)
    gap = log_p - found.elbo
    assert float(gap.min()) > -1e-5
    assert float(gap.max()) < 1e-3
    torch.testing.assert_close(found.log_evidence, found.elbo, rtol=0.0, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoded_latent_vector_of_a_row_is_the_row(kind: str) -> None:
    one, vae = model(kind)
    mu, _ = vae.encode(one.x)
    decoded = vae.decode(mu)
    levels = vae.is_level
    torch.testing.assert_close(decoded["mean"][:, levels], one.x[:, levels], rtol=0.0, atol=1e-12)
    torch.testing.assert_close(decoded["mean"], one.x)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((len(one.x), vae.features.dim, 2)))
    assert torch.equal(vae.observe(mu, noise)[:, levels], one.x[:, levels])
