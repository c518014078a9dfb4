"""The bound of a VAE with a kernel prior: its terms, its distance from log p(x), and its predictions of cells."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from tests.training.models import Case, case, standard_eps
from vaekit.bundle import default_eps
from vaekit.bundle.draws import DrawsRule
from vaekit_training.build import build
from vaekit_training.config import make_config
from vaekit_training.data.rows import Rows
from vaekit_training.export import double, evaluate, export_graphs, graph_inputs
from vaekit_training.kernel_vae import FARTHEST, KernelVAE

SCALE = 1e-4  # likelihood.scale of the recipe
KERNELS = ["kernel prior", "kernel prior, a constant column, a positive one", "kernel prior, whole numbers"]
K = 4


def model(kind: str) -> tuple[Case, KernelVAE]:
    one = case(kind)
    vae = double(one.vae)
    assert isinstance(vae, KernelVAE)
    return one, vae


def log_p(vae: KernelVAE, x: Tensor) -> Tensor:
    """log p(x), (N,), of the prior alone, with the Jacobian; constant columns are N(0, 1) in model units."""
    t = vae.features(x)
    constant = t[:, ~vae.features.active]
    of_constant = -0.5 * (constant.square() + math.log(2 * math.pi)).sum(1)
    jacobian = vae.features.log_jacobian(t).expand(t.shape).sum(1)
    return vae.prior.log_density(t[:, vae.features.active]) + of_constant + jacobian


@pytest.mark.parametrize("kind", KERNELS)
def test_the_terms_are_those_of_the_densities_at_the_draws(kind: str) -> None:
    one, vae = model(kind)
    eps = standard_eps(K, one.latent_dim, len(one.x)).double()
    got = vae.bound(one.x, eps)
    t = vae.features(one.x)
    mu, sigma = vae.posterior(t)
    z = mu[:, None] + sigma[:, None] * eps
    mean = torch.zeros(*z.shape[:2], t.shape[1], dtype=torch.float64)
    mean[..., vae.column] = z
    scale = torch.where(vae.features.active, SCALE, 1.0)
    each = torch.distributions.Normal(mean, scale).log_prob(t[:, None]) + vae.features.log_jacobian(t)[..., None, :]
    log_q = torch.distributions.Normal(mu[:, None], sigma[:, None]).log_prob(z).sum(-1)
    log_prior = vae.prior.log_density(z.flatten(0, 1)).unflatten(0, z.shape[:2])
    log_w = each.sum(-1) + log_prior - log_q
    expected = (each + torch.where(vae.features.active, 0.5 * vae.decoder(eps.square() - 1.0), 0.0)).sum(-1)
    torch.testing.assert_close(got.log_likelihood[:, None].expand_as(expected), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(got.elbo, got.log_likelihood - got.kl)
    torch.testing.assert_close(got.feature_log_likelihood.sum(1), got.log_likelihood)
    for with_cells, without in zip(vae.bounds_by_member(one.x, eps)[2][:4], got[:4], strict=True):
        assert torch.equal(with_cells, without)
    torch.testing.assert_close(got.log_evidence, log_w.logsumexp(1) - math.log(K), rtol=1e-6, atol=1e-6)


def test_the_scale_is_that_of_the_config_and_a_wider_one_loosens_the_bound() -> None:
    gaps = []
    for s in (1e-4, 0.3):
        one = case("kernel prior", f"likelihood.scale={s}")
        vae = double(one.vae)
        assert isinstance(vae, KernelVAE)
        sigma = vae.encode(one.x)[1]
        torch.testing.assert_close(sigma, torch.full_like(sigma, s))
        scale = vae.decode(torch.zeros(1, one.latent_dim).double())["scale"][0]
        torch.testing.assert_close(scale, vae.features.scale * s, rtol=1e-6, atol=0.0)
        gaps.append(log_p(vae, one.x) - vae.bound(one.x, standard_eps(K, one.latent_dim, len(one.x)).double()).elbo)
    assert (gaps[1] > gaps[0] + 0.1).all()


@pytest.mark.parametrize("kind", KERNELS)
def test_the_elbo_is_just_below_the_log_density(kind: str) -> None:
    one, vae = model(kind)
    eps = standard_eps(K, one.latent_dim, len(one.x)).double()
    gap = log_p(vae, one.x) - vae.bound(one.x, eps).elbo
    assert float(gap.min()) > -1e-5  # p(x) is this density, convolved with SCALE
    assert float(gap.max()) < 1e-3
    for rule in get_args(DrawsRule):
        whitened = default_eps(np.random.default_rng(1).standard_normal((K, one.latent_dim)), K, rule)
        found = vae.bound(one.x, torch.from_numpy(whitened).expand(len(one.x), -1, -1))
        assert float((found.log_evidence - found.elbo).min()) > -1e-4


@pytest.mark.parametrize("kind", KERNELS)
def test_a_missing_cell_leaves_a_bound_of_the_density_of_the_others(kind: str) -> None:
    one, vae = model(kind)
    d, x = int(vae.column[1]), one.x[:6].clone()
    observed = torch.ones_like(x, dtype=torch.bool)
    observed[:, d] = False
    eps = standard_eps(K, one.latent_dim, len(x)).double()
    found = vae.bounds_by_member(torch.where(observed, x, 0.0), eps, observed)[2]
    assert torch.equal(found.feature_log_likelihood[:, d], torch.zeros(6, dtype=torch.float64))
    t = vae.features(x)
    points = torch.linspace(-60.0, 60.0, 24_001, dtype=torch.float64)
    step, j = float(points[1] - points[0]), int((vae.column == d).nonzero())
    for n in range(len(x)):
        z = t[n, vae.column].repeat(len(points), 1)
        z[:, j] = points
        marginal = float(torch.logsumexp(vae.prior.log_density(z), 0)) + math.log(step)
        whole = log_p(vae, x[n : n + 1]) - vae.prior.log_density(t[n : n + 1, vae.column])
        jacobian = vae.features.log_jacobian(t).expand(t.shape)[n, d]
        below = marginal + float(whole) - float(jacobian) - float(found.elbo[n])
        assert -1e-2 < below < 8.0


def test_the_cells_that_fill_a_row_are_the_means_of_a_normal_distribution_given_the_others() -> None:
    one, vae = model("kernel prior")
    t = vae.features(one.x[:8])
    there = torch.ones(8, one.latent_dim, dtype=torch.bool)
    there[:, 1], there[2:, 3] = False, False
    mu, sigma = vae.posterior(t, there)
    q = vae.usual.numbers.precision
    for n in range(8):
        gone, kept = (~there[n]).nonzero()[:, 0], there[n].nonzero()[:, 0]
        expected = -torch.linalg.solve(q[gone][:, gone], q[gone][:, kept] @ t[n, kept])
        torch.testing.assert_close(mu[n, gone], expected, rtol=0.02, atol=0.02)
        torch.testing.assert_close(sigma[n, gone], q.diagonal()[gone].rsqrt())
    torch.testing.assert_close(mu[there], t[there])


def test_cells_of_a_positive_column_are_predicted_in_its_own_unit() -> None:
    one, vae = model("kernel prior, a constant column, a positive one")
    found = vae.bounds_by_member(one.x, standard_eps(K, one.latent_dim, len(one.x)).double())[2]
    low, middle, high = found.feature_low, found.feature_expected, found.feature_high
    assert low is not None
    assert middle is not None
    assert high is not None
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (low[:, 1] > 0).all()
    torch.testing.assert_close(low[:, 1] * high[:, 1], middle[:, 1].square())  # symmetric on the log scale
    torch.testing.assert_close(middle[:, 5], one.x[:, 5])  # the constant one
    inside = ((low <= one.x) & (one.x <= high)).double().mean(0)
    assert (inside > 0.6).all()


@pytest.mark.parametrize("kind", KERNELS)
def test_samples_have_the_moments_of_the_rows(kind: str) -> None:
    one, vae = model(kind)
    rng = np.random.default_rng(0)
    n = 4000
    noise = torch.from_numpy(rng.standard_normal((n, one.latent_dim)))
    z = vae.prior.sample(noise, torch.from_numpy(rng.random(n)))
    x = vae.observe(z, torch.from_numpy(rng.standard_normal((n, vae.features.dim, 2))))
    middle, spread = np.median(one.rows.x, axis=0), np.ptp(one.rows.x, axis=0) + 1e-9
    off = np.abs(np.median(x.numpy(), axis=0) - middle)[vae.column.numpy()]
    assert (off < 0.2 * spread[vae.column.numpy()]).all()


def test_graphs_predict_the_cells_of_far_rows_as_torch_in_float64_does() -> None:
    """Sums over exemplars keep the digits of float32, because the ends of an interval are differences."""
    rng = np.random.default_rng(0)
    x = rng.standard_t(2, (1000, 1)) * rng.standard_normal(10) + 0.3 * rng.standard_t(2, (1000, 10))
    config = make_config({"name": "far", "data": {"source": "memory"}, "prior": {"name": "kernel"}})
    vae = build(config, Rows(x, tuple("abcdefghij"), np.zeros(1000, dtype=bool)), np.arange(1000))
    assert isinstance(vae, KernelVAE)
    assert vae.prior.places[0] > 20  # blocks
    far = torch.from_numpy(rng.choice([-1.0, 1.0], (40, 10)) * 1e9)
    feeds = graph_inputs(vae, far, 2, seed=0)["surprise"]
    graph = export_graphs(vae.eval(), far, ["surprise"])["surprise"]
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in graph.outputs]
    got = dict(zip(names, session.run(names, {name: a.numpy() for name, a in feeds.items()}), strict=True))
    want = evaluate(double(vae), "surprise", feeds)
    scale = vae.features.to_raw_scale(torch.ones(10)).numpy()  # standard deviations
    for name in ("feature_expected", "feature_low", "feature_high"):
        off = np.abs(got[name] - want[name].numpy()) / scale / FARTHEST
        assert off.max() < 1e-5
