"""Every likelihood integrates or sums to 1, and its moments are those of its density."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, distributions

from tests.laws.likelihoods import (
    ALL,
    CASES,
    FAMILIES,
    FLOOR,
    LEVELS,
    MIXED,
    build,
    counts,
    legendre,
    mixed,
    noise_for,
    outputs,
    pixels,
    support,
    values,
)
from vaekit_training.likelihoods import (
    Bernoulli,
    BinnedGaussian,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    LocationScale,
    Mixed,
    StudentT,
)

SPREADS = (0.0, 1.0, 8.0, 60.0)
SINGLE = [name for name, case in CASES.items() if case.values != "mixed"]


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("name", SINGLE)
def test_every_likelihood_integrates_or_sums_to_one(name: str, spread: float) -> None:
    likelihood = build(name)
    h = outputs(likelihood, rows=2, spread=spread)
    with torch.no_grad():
        t, weight = support(name, likelihood, h)
        total = (likelihood.log_prob(t, h).exp() * weight).sum(0)
    np.testing.assert_allclose(total.numpy(), 1.0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 8.0])
@pytest.mark.parametrize("name", [name for name in SINGLE if CASES[name].values in ("real", "unit")])
def test_mean_and_deviation_are_the_moments_of_the_density(name: str, spread: float) -> None:
    likelihood = build(name)
    h = outputs(likelihood, rows=3, spread=spread)
    with torch.no_grad():
        t, weight = support(name, likelihood, h)
        p = likelihood.log_prob(t, h).exp() * weight
        mean, sd = likelihood.mean(h), likelihood.deviation(h)
        np.testing.assert_allclose(((t - mean) * p).sum(0).numpy() / sd.numpy(), 0.0, atol=1e-6)
        np.testing.assert_allclose(((t - mean) ** 2 * p).sum(0).sqrt().numpy(), sd.numpy(), rtol=1e-6)


def test_the_deviation_of_binary_values_and_categories_is_that_of_the_most_probable_value() -> None:
    bernoulli, categorical = Bernoulli(3), Categorical(LEVELS)
    h = outputs(bernoulli)
    torch.testing.assert_close(bernoulli.deviation(h), distributions.Bernoulli(logits=h).stddev)
    h = outputs(categorical)
    p = torch.stack([torch.softmax(own_h, -1).amax(-1) for own_h in h.split(LEVELS, -1)], -1)
    torch.testing.assert_close(categorical.deviation(h), (p * (1 - p)).sqrt())


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_moments_of_the_logistic_mixture_are_those_of_the_clamped_mixture(spread: float) -> None:
    for make in (pixels, counts):
        likelihood = DiscretizedLogistic(make(), ALL, components=3).double()
        h = outputs(likelihood, rows=3, spread=spread)
        mean, sd = likelihood.mean(h), likelihood.deviation(h)
        exact_mean, exact_sd = _cut_by_quadrature(likelihood, h)
        np.testing.assert_allclose(mean, exact_mean, atol=1e-6)
        np.testing.assert_allclose(sd, exact_sd, atol=1e-6)
        t, _ = support("discretized_logistic on counts", likelihood, h)
        with torch.no_grad():
            rounded = (t * likelihood.log_prob(t, h).exp()).sum(0)
        assert ((rounded - mean).abs() <= 0.5 * likelihood.grid.gap + 1e-9).all()


def _cut_by_quadrature(likelihood: DiscretizedLogistic, h: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the mixture clamped to the grid: int 1 - F and int 2 (x - lowest) (1 - F)."""
    log_w, m, s = likelihood._components(h)
    grid = likelihood.grid
    top = torch.minimum(grid.highest, torch.maximum(m.amax((0, 1)), grid.lowest) + 45 * s.amax((0, 1)))
    v, weight = legendre(20_000, 1.0)
    u, weight = v[:, None, None] * (top - grid.lowest), weight[:, None, None] * (top - grid.lowest)  # (Q, 1, D)
    first, second = torch.zeros(len(h), likelihood.dim).double(), torch.zeros(len(h), likelihood.dim).double()
    for c in range(likelihood.components):
        above = log_w[:, c].exp() * torch.sigmoid((m[:, c] - grid.lowest - u) / s[:, c])  # w (1 - F), (Q, R, D)
        first += (above * weight).sum(0)
        second += (2 * u * above * weight).sum(0)
    return grid.lowest + first, (second - first**2).sqrt()


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_log_prob_is_that_of_torch_distributions(spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    t = 3 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    for name, family in FAMILIES.items():
        likelihood = family("network", FLOOR, ALL).double()
        h = outputs(likelihood, spread=spread)
        m, s = likelihood.mean(h), likelihood.scale(h)
        want = {
            "gaussian": lambda m=m, s=s: distributions.Normal(m, s),
            "student_t": lambda m=m, s=s, h=h, k=likelihood: distributions.StudentT(k.extras(h)["df"], m, s),
            "laplace": lambda m=m, s=s: distributions.Laplace(m, s),
        }[name]()
        torch.testing.assert_close(likelihood.log_prob(t, h), want.log_prob(t), rtol=1e-12, atol=1e-12)
    h = outputs(Bernoulli(3), spread=spread)
    bits = (t > 0).double()
    torch.testing.assert_close(Bernoulli(3).log_prob(bits, h), distributions.Bernoulli(logits=h).log_prob(bits))
    fractions = torch.sigmoid(t)
    want = distributions.ContinuousBernoulli(logits=h, lims=(0.4999, 0.5001)).log_prob(fractions)
    torch.testing.assert_close(ContinuousBernoulli(3).log_prob(fractions, h), want, rtol=1e-6, atol=1e-6)


def test_categories_have_the_log_prob_of_torchs_categorical() -> None:
    likelihood = Categorical(LEVELS).double()
    h = outputs(likelihood, rows=20, spread=3.0)
    t = values("categorical", likelihood, rows=20)
    want = [distributions.Categorical(logits=own_h).log_prob(t[:, d]) for d, own_h in enumerate(h.split(LEVELS, -1))]
    torch.testing.assert_close(likelihood.log_prob(t, h), torch.stack(want, -1))
    torch.testing.assert_close(
        likelihood.extras(h)["probabilities"], torch.cat([own_h.softmax(-1) for own_h in h.split(LEVELS, -1)], -1)
    )
    best = torch.stack([own_h.argmax(-1) for own_h in h.split(LEVELS, -1)], -1)
    assert likelihood.mean(h).tolist() == best.double().tolist()


def test_a_binned_gaussian_has_the_mass_computed_by_scipy() -> None:
    likelihood = BinnedGaussian("network", pixels(), ALL).double()
    grid, h = likelihood.grid, outputs(likelihood, rows=50, spread=2.0)
    t = values("gaussian on pixels", likelihood, rows=50)
    t[:10], t[10:20] = grid.lowest, grid.highest
    m, s = likelihood.mean(h), likelihood.scale(h)
    low = torch.where(t == grid.lowest, -torch.inf, (t - 0.5 * grid.gap - m) / s).numpy()
    high = torch.where(t == grid.highest, torch.inf, (t + 0.5 * grid.gap - m) / s).numpy()
    mirrored = low + high > 0
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    a, b = stats.norm.logcdf(low), stats.norm.logcdf(high)
    want = b + np.log(-np.expm1(a - b))
    np.testing.assert_allclose(likelihood.log_prob(t, h).numpy(), want, rtol=1e-8, atol=1e-8)


def test_a_constant_column_is_standard_normal_in_every_family() -> None:
    active = torch.tensor([True, False, True])
    families = [family("network", FLOOR, active) for family in FAMILIES.values()]
    bins = [BinnedGaussian("network", counts(), active), DiscretizedLogistic(counts(), active)]
    t = torch.tensor([[0.5, 3.0, -1.0], [0.5, -1e9, -1.0]], dtype=torch.float64)
    for likelihood in (*families, *bins):
        likelihood = likelihood.double()
        h = outputs(likelihood, rows=2, spread=5.0)
        want = distributions.Normal(torch.tensor(0.0).double(), 1.0).log_prob(t[:, 1])
        torch.testing.assert_close(likelihood.log_prob(t, h)[:, 1], want)
        assert likelihood.mean(h)[:, 1].tolist() == [0.0, 0.0]
        assert likelihood.deviation(h)[:, 1].tolist() == [1.0, 1.0]
        noise = noise_for(likelihood, (2,))
        assert likelihood.observe(h, noise)[:, 1].tolist() == noise[:, 1, 0].tolist()


def _of_family(name: str, scale: str, members: int | None) -> LocationScale | BinnedGaussian:
    if name == "bins":
        return BinnedGaussian(scale, pixels(), ALL, members=members).double()
    return FAMILIES[name](scale, FLOOR, ALL, members=members).double()


@pytest.mark.parametrize("name", [*FAMILIES, "bins"])
@pytest.mark.parametrize("scale", ["feature", "shared"])
def test_each_member_has_its_own_parameters(name: str, scale: str) -> None:
    together = _of_family(name, scale, members=2)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in together.parameters():
            p.add_(torch.randn(p.shape, generator=generator))
    h = torch.randn(2, 5, 4, together.width, generator=generator, dtype=torch.float64)  # (M, N, K, width)
    t = torch.randn(5, 1, 3, generator=generator, dtype=torch.float64)
    got = together.log_prob(t, h)
    assert got.shape == (2, 5, 4, 3)
    slopes = torch.autograd.grad(got.sum(), list(together.parameters()))
    assert all((slope != 0).all() for slope in slopes)
    for m in range(2):
        alone = _of_family(name, scale, members=None)
        alone.load_state_dict({k: v[m, 0, 0] if v.ndim == 4 else v for k, v in together.state_dict().items()})
        torch.testing.assert_close(got[m], alone.log_prob(t, h[m]))
        torch.testing.assert_close(together.scale(h)[m], alone.scale(h[m]))


def test_mixed_gives_each_column_the_values_of_its_own_likelihood() -> None:
    likelihood, n = mixed().double(), 6
    h, t = outputs(likelihood, rows=n), values("mixed", likelihood, rows=n)
    noise, at = noise_for(likelihood, (n,)), 0
    assert sorted(d for columns, _ in MIXED for d in columns) == list(range(likelihood.dim))
    for columns, make in MIXED:
        part, where = make().double(), list(columns)
        own_h, at = h[:, at : at + part.width], at + part.width
        torch.testing.assert_close(likelihood.log_prob(t, h)[:, where], part.log_prob(t[:, where], own_h))
        torch.testing.assert_close(likelihood.mean(h)[:, where], part.mean(own_h))
        torch.testing.assert_close(likelihood.scale(h)[:, where], part.deviation(own_h))
        torch.testing.assert_close(likelihood.observe(h, noise)[:, where], part.observe(own_h, noise[:, where]))
        if isinstance(part, Categorical):
            torch.testing.assert_close(likelihood.extras(h)["probabilities"], part.extras(own_h)["probabilities"])
    assert at == likelihood.width
    assert not likelihood.mass
    assert Mixed([([1], Bernoulli(1)), ([0], Bernoulli(1))]).mass
    assert Mixed([([1], StudentT(1.0, FLOOR[:1], ALL[:1])), ([0], Bernoulli(1))]).extras(torch.zeros(1, 2)) == {}


@pytest.mark.parametrize("name", CASES)
def test_the_named_parameters_are_those_returned(name: str) -> None:
    likelihood = build(name)
    h = outputs(likelihood, rows=2)
    given = {"mean": likelihood.mean(h), "scale": likelihood.scale(h), **likelihood.extras(h)}
    assert [key for key, value in given.items() if value is not None] == list(likelihood.parameters_in_raw_units)
    assert given["mean"].shape == (2, likelihood.dim)
    assert given["scale"] is None or given["scale"].shape == (2, likelihood.dim)


def test_a_gaussian_without_bins_on_counts_is_marked_as_a_density() -> None:
    assert not Gaussian("network", FLOOR, ALL).mass
    assert BinnedGaussian("network", counts(), ALL).mass
