"""Draws of every likelihood have its distribution; those from one normal are checked exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.laws.likelihoods import (
    ALL,
    FAMILIES,
    FLOOR,
    build,
    outputs,
    pixels,
    support,
)
from vaekit_training.functional import normal_cdf
from vaekit_training.likelihoods import (
    ContinuousBernoulli,
    DiscretizedLogistic,
    Likelihood,
    StudentT,
)


@pytest.mark.parametrize("name", ["gaussian", "laplace", "continuous_bernoulli"])
def test_draws_from_one_normal_are_the_inverse_of_the_distribution_function(name: str) -> None:
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


@pytest.mark.parametrize(
    "name", ["bernoulli", "categorical", "gaussian on pixels", "gaussian on counts, scale by feature"]
)
def test_draws_of_integers_are_where_the_cumulative_probability_reaches_the_normal(name: str) -> None:
    likelihood = build(name)
    n = torch.linspace(-5, 5, 201, dtype=torch.float64)
    noise = torch.stack([n, torch.zeros_like(n)], -1)[:, None, None].expand(-1, 4, 3, 2)
    h = outputs(likelihood, rows=4)
    with torch.no_grad():
        x = likelihood.observe(h, noise)
        t, real = support(name, likelihood, h)
        t, p = t[:3000], (likelihood.log_prob(t, h).exp() * real)[:3000]
    u = normal_cdf(n)[:, None, None]
    if name == "bernoulli":  # small normals give ones
        u = 1 - u
    until = torch.stack([torch.where(t <= one + 1e-9, p, 0.0).sum(0) for one in x])
    before = torch.stack([torch.where(t < one - 1e-9, p, 0.0).sum(0) for one in x])
    assert (before <= u + 1e-9).all()
    assert (u <= until + 1e-9).all()


@pytest.mark.parametrize("name", ["student_t", "discretized_logistic"])
def test_draws_from_two_normals_have_the_right_distribution(name: str) -> None:
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
