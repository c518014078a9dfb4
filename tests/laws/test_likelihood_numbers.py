"""Every likelihood in float32 and for extreme values: its gradients, initialisation and ONNX graph."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.graphs import exported_session
from tests.laws.likelihoods import (
    ALL,
    CASES,
    build,
    noise_for,
    outputs,
    pixels,
    values,
)
from vaekit_training.likelihoods import (
    BinnedGaussian,
    DiscretizedLogistic,
    Likelihood,
    LocationScale,
)
from vaekit_training.networks.head import Head, MemberHead
from vaekit_training.networks.layers import MemberLinear

EXPORTED = (
    "gaussian, scale of the network",
    "student_t, a constant column",
    "laplace, a mean within (-1, 1)",
    "continuous_bernoulli",
    "categorical",
    "gaussian on pixels",
    "discretized_logistic on pixels",
    "mixed",
)


def _ends(likelihood: Likelihood) -> Tensor:
    """Raw outputs for which functions overflow, saturate or divide by small numbers."""
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
def test_log_prob_in_float32_is_close_to_float64(name: str) -> None:
    for spread in (1.0, 8.0):
        likelihood = build(name)
        h, t = outputs(likelihood, spread=spread), values(name, likelihood, rows=30)[:, None]
        with torch.no_grad():
            want, mean, sd = likelihood.log_prob(t, h), likelihood.mean(h), likelihood.deviation(h)
            likelihood = likelihood.float()
            got = likelihood.log_prob(t.float(), h.float())
        # rounding of t, relative to the scale, is not an error of the likelihood
        slack = 1e-5 * (1 + want.abs()) + 1e-6 * (t.abs() + mean.abs()) * (1 + (t - mean).abs() / sd) / sd
        assert ((got - want).abs() <= slack).all(), spread
        np.testing.assert_allclose(likelihood.mean(h.float()).detach(), mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(likelihood.deviation(h.float()).detach(), sd, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_finite_differences(name: str) -> None:
    likelihood = build(name)
    h = outputs(likelihood, rows=2).requires_grad_()
    t = values(name, likelihood, rows=2)
    assert torch.autograd.gradcheck(lambda h: likelihood.log_prob(t, h), (h,), eps=1e-6, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_a_new_head_is_initialised_near_standardised_data(name: str) -> None:
    likelihood = CASES[name].make()
    torch.manual_seed(0)
    one, several = nn.Linear(4, likelihood.width), MemberLinear(2, 4, likelihood.width)
    for layer, head in ((one, Head(one)), (several, MemberHead(several))):
        likelihood.initialize(head)
        h = layer(0.1 * torch.randn(1, 1, 4)).detach()  # (1 or 2, 1, width)
        s = likelihood.scale(h)
        if isinstance(likelihood, LocationScale) and likelihood.spread.kind != "fixed":
            torch.testing.assert_close(s, (likelihood.floor + 1.0).where(likelihood.active, 1.0).expand_as(s))
        if isinstance(likelihood, DiscretizedLogistic):
            t = likelihood.grid.lowest + likelihood.grid.gap * torch.arange(256.0)[:, None]
            if likelihood.grid.highest.isfinite().all():  # nearly as good as a uniform distribution over the values
                log_p = likelihood.log_prob(t[:, None], h.flatten(0, -2))
                assert (-log_p.mean(0) < math.log(256) + 0.5).all()


def test_bins_on_pixels_are_probabilities_for_every_scaling_of_pixels() -> None:
    grid = pixels()
    likelihood = BinnedGaussian(0.5, grid, ALL).double()
    wide = likelihood.log_prob(grid.lowest.double(), grid.highest.double()[None])
    assert (wide < -1).all()
    assert torch.equal(likelihood.grid.snap(grid.lowest - 5.0), grid.lowest.double())
    assert torch.allclose(likelihood.grid.snap(grid.lowest + 7.4 * grid.gap), (grid.lowest + 7 * grid.gap).double())


class _Everything(nn.Module):
    """All results of a likelihood, as the outputs of a graph."""

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__()
        self.likelihood = likelihood

    def forward(self, t: Tensor, h: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        given = {"mean": self.likelihood.mean(h), "scale": self.likelihood.scale(h), **self.likelihood.extras(h)}
        given = {key: value for key, value in given.items() if value is not None}
        return self.likelihood.log_prob(t[:, None], h), self.likelihood.observe(h, noise[:, None]), *given.values()


@pytest.mark.parametrize("name", EXPORTED)
def test_a_graph_gives_the_same_as_torch(name: str) -> None:
    likelihood = build(name, torch.float32)
    module = _Everything(likelihood)
    names = ("log_prob", "observe", *likelihood.parameters_in_raw_units)
    feeds = _feeds(name, likelihood, rows=3, extreme=False)
    session = exported_session(module, feeds, names, {"t": {0: "N"}, "h": {0: "N", 1: "K"}, "noise": {0: "N"}})
    for extreme in (False, True):
        feeds = _feeds(name, likelihood, rows=20, extreme=extreme)
        got = session.run(None, {key: value.numpy() for key, value in feeds.items()})
        with torch.no_grad():
            want = module(*feeds.values())
        for output, here, there in zip(names, got, want, strict=True):
            assert np.isfinite(here).all(), output
            np.testing.assert_allclose(here, there.numpy(), rtol=1e-5, atol=1e-5, err_msg=output)


def _feeds(name: str, likelihood: Likelihood, rows: int, extreme: bool) -> dict[str, Tensor]:
    """t (N, D), h (N, K, width) and noise (N, D, 2)."""
    t = values(name, build(name), rows, extreme)
    h = outputs(likelihood, rows=5 * rows, spread=8.0 if extreme else 1.0).reshape(rows, 5, -1)
    noise = noise_for(likelihood, (rows,))
    return {"t": t.float(), "h": h.float(), "noise": noise.float()}
