"""Laws that every likelihood meets: it integrates or sums to 1, has its moments and draws, and never overflows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, distributions, nn

from tests.laws.likelihoods import (
    ALL,
    CASES,
    FAMILIES,
    FLOOR,
    LEVELS,
    MIXED,
    build,
    counts,
    grid_of,
    mixed,
    noise_for,
    outputs,
    pixels,
    values,
)
from training.functional import normal_cdf
from training.likelihoods import (
    Bernoulli,
    BinnedGaussian,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    Likelihood,
    LocationScale,
    Mixed,
    StudentT,
)
from training.networks.head import Head

SPREADS = (0.0, 1.0, 8.0, 60.0)
REAL = [name for name, case in CASES.items() if case.values == "real"]
GRIDS = [name for name, case in CASES.items() if case.values == "grid"]
SINGLE = [name for name, case in CASES.items() if case.values != "mixed"]


def _legendre(pieces: int, span: float) -> tuple[Tensor, Tensor]:
    """Places and weights of a composite Gauss-Legendre rule on (0, span), eight to a piece."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    width = span / pieces
    places = (np.arange(pieces)[:, None] + 0.5 * (nodes + 1)) * width
    return torch.from_numpy(places.ravel()), torch.from_numpy(np.tile(weights * width / 2, pieces))


def support(name: str, likelihood: Likelihood, h: Tensor) -> tuple[Tensor, Tensor]:
    """Values (Q, R, D) and weights (Q, R, D) that integrate, or sum, over all that rows h (R, width) may give."""
    kind, shape = CASES[name].values, (len(h), likelihood.dim)
    if kind == "real":
        v, weight = _legendre(400, math.asinh(1e9))
        r, weight = torch.cat([-v.sinh(), v.sinh()]), torch.cat([weight * v.cosh()] * 2)
        s = likelihood.scale(h)
        assert s is not None
        return likelihood.mean(h) + s * r[:, None, None], s * weight[:, None, None]
    if kind == "unit":
        v, weight = _legendre(400, 72.0)
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


def test_the_deviation_of_two_values_and_of_levels_is_that_of_the_likeliest() -> None:
    bernoulli, categorical = Bernoulli(3), Categorical(LEVELS)
    h = outputs(bernoulli)
    torch.testing.assert_close(bernoulli.deviation(h), distributions.Bernoulli(logits=h).stddev)
    h = outputs(categorical)
    p = torch.stack([torch.softmax(piece, -1).amax(-1) for piece in h.split(LEVELS, -1)], -1)
    torch.testing.assert_close(categorical.deviation(h), (p * (1 - p)).sqrt())


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_moments_of_the_logistic_mixture_are_those_of_it_cut_at_the_ends(spread: float) -> None:
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
    """Mean and standard deviation of the mixture cut to the grid's range: int 1 - F and int 2 (x - lowest) (1 - F)."""
    log_w, m, s = likelihood._components(h)
    grid = likelihood.grid
    top = torch.minimum(grid.highest, torch.maximum(m.amax((0, 1)), grid.lowest) + 45 * s.amax((0, 1)))
    v, weight = _legendre(20_000, 1.0)
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


def test_levels_have_torchs_categorical_log_prob() -> None:
    likelihood = Categorical(LEVELS).double()
    h = outputs(likelihood, rows=20, spread=3.0)
    t = values("categorical", likelihood, rows=20)
    want = [distributions.Categorical(logits=piece).log_prob(t[:, d]) for d, piece in enumerate(h.split(LEVELS, -1))]
    torch.testing.assert_close(likelihood.log_prob(t, h), torch.stack(want, -1))
    torch.testing.assert_close(
        likelihood.extras(h)["probabilities"], torch.cat([piece.softmax(-1) for piece in h.split(LEVELS, -1)], -1)
    )
    best = torch.stack([piece.argmax(-1) for piece in h.split(LEVELS, -1)], -1)
    assert likelihood.mean(h).tolist() == best.double().tolist()


def test_a_binned_gaussian_has_scipys_mass() -> None:
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


@pytest.mark.parametrize("name", ["gaussian", "laplace", "continuous_bernoulli"])
def test_draws_of_one_normal_are_the_inverse_of_the_distribution_function(name: str) -> None:
    n = torch.linspace(-7, 7, 141, dtype=torch.float64)
    noise = torch.stack([n, torch.zeros_like(n)], -1)[:, None, None].expand(-1, 5, 3, 2)
    likelihood = (FAMILIES[name]("network", FLOOR, ALL) if name in FAMILIES else ContinuousBernoulli(3)).double()
    for spread in (0.0, 1e-3, 1.0, 30.0):
        h = outputs(likelihood, rows=5, spread=spread)
        x = likelihood.observe(h, noise)
        if name == "continuous_bernoulli":
            below, above = _continuous_bernoulli_tails(x, h)
        else:
            r = (x - likelihood.mean(h)) / likelihood.scale(h)
            family = {"gaussian": stats.norm, "laplace": stats.laplace}[name]
            below, above = family.cdf(r.numpy()), family.sf(r.numpy())
        u = stats.norm.cdf(n.numpy())[:, None, None]
        off = np.minimum(np.abs(below - u) / u, np.abs(above - (1 - u)) / stats.norm.sf(n.numpy())[:, None, None])
        assert off.max() < 1e-4, spread


def _continuous_bernoulli_tails(x: Tensor, h: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """F(x) = (exp(l x) - 1) / (exp(l) - 1), and 1 - F(x)."""
    safe = torch.where(h == 0, 1e-12, h)
    below = torch.expm1(safe * x) / torch.expm1(safe)
    above = torch.expm1(-safe * (1 - x)) / torch.expm1(-safe)
    return below.numpy(), above.numpy()


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "gaussian on pixels", *GRIDS[1:2]])
def test_draws_of_whole_numbers_fall_where_the_normal_reaches_their_probability(name: str) -> None:
    likelihood = build(name)
    n = torch.linspace(-5, 5, 201, dtype=torch.float64)
    noise = torch.stack([n, torch.zeros_like(n)], -1)[:, None, None].expand(-1, 4, 3, 2)
    h = outputs(likelihood, rows=4)
    with torch.no_grad():
        x = likelihood.observe(h, noise)
        t, real = support(name, likelihood, h)
        t, p = t[:3000], (likelihood.log_prob(t, h).exp() * real)[:3000]
    u = normal_cdf(n)[:, None, None]
    if name == "bernoulli":  # the ones come first
        u = 1 - u
    until = torch.stack([torch.where(t <= one + 1e-9, p, 0.0).sum(0) for one in x])
    before = torch.stack([torch.where(t < one - 1e-9, p, 0.0).sum(0) for one in x])
    assert (before <= u + 1e-9).all()
    assert (u <= until + 1e-9).all()


@pytest.mark.parametrize("name", ["student_t", "discretized_logistic"])
def test_draws_of_two_normals_have_the_distribution(name: str) -> None:
    u = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    n = torch.special.ndtri(u)
    noise = torch.cartesian_prod(n, n)[:, None, None].expand(-1, 1, 3, 2)
    if name == "student_t":
        likelihood: Likelihood = StudentT("network", FLOOR, ALL).double()
        with torch.no_grad():
            likelihood.raw_df.copy_(torch.tensor([-9.0, 0.0, 8.0]))
        h = outputs(likelihood, rows=1)
        r = ((likelihood.observe(h, noise) - likelihood.mean(h)) / likelihood.scale(h))[:, 0].sort(0).values
        distribution = stats.t.cdf(r.detach().numpy(), likelihood.extras(h)["df"][0].detach().numpy())
        off = np.abs(distribution - (np.arange(len(r)) + 0.5)[:, None] / len(r))
    else:
        likelihood = DiscretizedLogistic(pixels(), ALL, components=3).double()
        h = outputs(likelihood, rows=1)
        x = likelihood.observe(h, noise)
        t, _ = support("discretized_logistic on pixels", likelihood, h)
        share = torch.stack([(x - one).abs().lt(1e-9).double().mean(0) for one in t])
        off = (share - likelihood.log_prob(t, h).exp()).cumsum(0).abs().numpy()
    assert off.max() < 0.005


def _ends(likelihood: Likelihood) -> Tensor:
    """Raw outputs at which functions overflow, saturate or divide by little."""
    levels = torch.tensor([-1e4, -90.0, -20.0, -1e-3, 0.0, 1e-3, 17.0, 90.0, 1e4])
    mixed_up = 1e4 * torch.randn(20, likelihood.width, generator=torch.Generator().manual_seed(2))
    return torch.cat([levels[:, None].expand(-1, likelihood.width), mixed_up])


@pytest.mark.parametrize("name", CASES)
def test_log_prob_and_gradients_are_finite_at_every_extreme_in_float32(name: str) -> None:
    likelihood = build(name, torch.float32)
    h = _ends(likelihood).requires_grad_()
    for extreme in (True, False):
        t = values(name, likelihood.double(), 40, extreme)[:, None].float()
        log_p = likelihood.float().log_prob(t, h)  # (40, R, D)
        assert torch.isfinite(log_p).all()
        if likelihood.mass:
            assert (log_p <= 1e-6).all()
        grads = torch.autograd.grad(log_p.sum(), [h, *likelihood.parameters()])
        assert all(torch.isfinite(grad).all() for grad in grads)
    with torch.no_grad():
        noise = noise_for(likelihood, (len(h),)).float()
        found = [likelihood.mean(h), likelihood.deviation(h), likelihood.observe(h, noise)]
    assert all(torch.isfinite(each).all() for each in found)


@pytest.mark.parametrize("name", CASES)
def test_float32_gives_float64s_log_prob(name: str) -> None:
    for spread in (1.0, 8.0):
        likelihood = build(name)
        h, t = outputs(likelihood, spread=spread), values(name, likelihood, rows=30)[:, None]
        with torch.no_grad():
            want, mean, sd = likelihood.log_prob(t, h), likelihood.mean(h), likelihood.deviation(h)
            likelihood = likelihood.float()
            got = likelihood.log_prob(t.float(), h.float())
        # the rounding of t itself, in scales, is not the likelihood's
        slack = 1e-5 * (1 + want.abs()) + 1e-6 * (t.abs() + mean.abs()) * (1 + (t - mean).abs() / sd) / sd
        assert ((got - want).abs() <= slack).all(), spread
        np.testing.assert_allclose(likelihood.mean(h.float()).detach(), mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(likelihood.deviation(h.float()).detach(), sd, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    likelihood = build(name)
    h = outputs(likelihood, rows=2).requires_grad_()
    t = values(name, likelihood, rows=2)
    assert torch.autograd.gradcheck(lambda h: likelihood.log_prob(t, h), (h,), eps=1e-6, atol=1e-5, rtol=1e-4)


def test_a_column_that_never_changes_is_a_standard_normal_in_every_family() -> None:
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


@pytest.mark.parametrize("family", FAMILIES.values())
@pytest.mark.parametrize("scale", ["feature", "shared"])
def test_members_have_parameters_of_their_own(family: type[LocationScale], scale: str) -> None:
    together = family(scale, FLOOR, ALL, members=2).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in together.parameters():
            p.add_(torch.randn(p.shape, generator=generator))
    h = torch.randn(2, 5, 4, together.width, generator=generator, dtype=torch.float64)  # (M, N, K, width)
    t = torch.randn(5, 1, 3, generator=generator, dtype=torch.float64)
    got = together.log_prob(t, h)
    assert got.shape == (2, 5, 4, 3)
    for m in range(2):
        alone = family(scale, FLOOR, ALL).double()
        alone.load_state_dict({k: v[m, 0, 0] if v.ndim == 4 else v for k, v in together.state_dict().items()})
        torch.testing.assert_close(got[m], alone.log_prob(t, h[m]))
        torch.testing.assert_close(together.scale(h)[m], alone.scale(h[m]))


def test_mixed_columns_have_their_own_likelihoods_values() -> None:
    likelihood, n = mixed().double(), 6
    h, t = outputs(likelihood, rows=n), values("mixed", likelihood, rows=n)
    noise, at = noise_for(likelihood, (n,)), 0
    assert sorted(d for columns, _ in MIXED for d in columns) == list(range(likelihood.dim))
    for columns, make in MIXED:
        part, where = make().double(), list(columns)
        piece, at = h[:, at : at + part.width], at + part.width
        torch.testing.assert_close(likelihood.log_prob(t, h)[:, where], part.log_prob(t[:, where], piece))
        torch.testing.assert_close(likelihood.mean(h)[:, where], part.mean(piece))
        torch.testing.assert_close(likelihood.scale(h)[:, where], part.deviation(piece))
        torch.testing.assert_close(likelihood.observe(h, noise)[:, where], part.observe(piece, noise[:, where]))
        if isinstance(part, Categorical):
            torch.testing.assert_close(likelihood.extras(h)["probabilities"], part.extras(piece)["probabilities"])
    assert at == likelihood.width
    assert not likelihood.mass
    assert Mixed([([1], Bernoulli(1)), ([0], Bernoulli(1))]).mass
    assert Mixed([([1], StudentT(1.0, FLOOR[:1], ALL[:1])), ([0], Bernoulli(1))]).extras(torch.zeros(1, 2)) == {}


@pytest.mark.parametrize("name", CASES)
def test_what_is_named_is_what_is_given(name: str) -> None:
    likelihood = build(name)
    h = outputs(likelihood, rows=2)
    given = {"mean": likelihood.mean(h), "scale": likelihood.scale(h), **likelihood.extras(h)}
    assert [key for key, value in given.items() if value is not None] == list(likelihood.parameters_in_raw_units)
    assert given["mean"].shape == (2, likelihood.dim)
    assert given["scale"] is None or given["scale"].shape == (2, likelihood.dim)


class _Ensemble(nn.Module):
    """Two linear layers at once."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, width, 4))
        self.bias = nn.Parameter(torch.randn(2, width))


@pytest.mark.parametrize("name", CASES)
def test_a_fresh_head_starts_where_standardised_data_stand(name: str) -> None:
    likelihood = CASES[name].make()
    torch.manual_seed(0)
    for head in (nn.Linear(4, likelihood.width), _Ensemble(likelihood.width)):
        likelihood.initialize(Head(head))
        h = head.bias.detach() + (head.weight.detach() @ torch.randn(4, 1)).squeeze(-1)
        s = likelihood.scale(h)
        if isinstance(likelihood, LocationScale) and likelihood.spread.kind != "fixed":
            torch.testing.assert_close(s, (likelihood.floor + 1.0).where(likelihood.active, 1.0).expand_as(s))
        if isinstance(likelihood, DiscretizedLogistic):
            t = likelihood.grid.lowest + likelihood.grid.gap * torch.arange(256.0)[:, None]
            if likelihood.grid.highest.isfinite().all():  # as good as counting the values, nearly
                log_p = likelihood.log_prob(t[:, None], h.reshape(-1, likelihood.width))
                assert (-log_p.mean(0) < math.log(256) + 0.5).all()


def test_bins_on_pixels_are_probabilities_whatever_the_scaling_of_pixels() -> None:
    grid = pixels()
    likelihood = BinnedGaussian(0.5, grid, ALL).double()
    wide = likelihood.log_prob(grid.lowest.double(), grid.highest.double()[None])
    assert (wide < -1).all()
    assert torch.equal(likelihood.grid.snap(grid.lowest - 5.0), grid.lowest.double())
    assert torch.allclose(likelihood.grid.snap(grid.lowest + 7.4 * grid.gap), (grid.lowest + 7 * grid.gap).double())


def test_a_gaussian_without_bins_on_counts_is_a_density_and_says_so() -> None:
    assert not Gaussian("network", FLOOR, ALL).mass
    assert BinnedGaussian("network", counts(), ALL).mass
