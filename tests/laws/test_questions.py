"""Each loss in docs/explanation/questions.md has the properties stated there: gradients, weights, short runs."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from torch import Tensor, nn

from vaekit.losses import explain, losses_of
from vaekit_training.build import build
from vaekit_training.config import load_config
from vaekit_training.data.load import load
from vaekit_training.data.rows import Rows
from vaekit_training.functional import softplus, softplus_inverse
from vaekit_training.likelihoods import Gaussian
from vaekit_training.run import run
from vaekit_training.unused import unused
from vaekit_training.vae import VAE

SYSTEMS = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "questions.py"), run_name="questions")["SYSTEMS"]
QUESTIONS = Path(__file__).parents[2] / "examples" / "questions"
SMALL = ["network.hidden=[16]", "network.channels=[6, 8]", "training.batch_size=64", "training.threads=1"]


def made(name: str, *more: str, rows: Rows | None = None, n: int = 24) -> tuple[VAE, Rows]:
    """The untrained VAE of a question's config in float64 with random changes of all weights, and some rows."""
    config = load_config(QUESTIONS / f"{name}.toml", [*SMALL, *more])
    rows = rows or load(config.data, config.likelihood)
    vae = build(config, rows, np.arange(len(rows.x))).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in vae.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return vae.eval(), Rows(rows.x[:n], rows.columns, rows.anomaly[:n])


class Terms:
    """The terms of losses, for one batch and one draw per row."""

    def __init__(self, vae: VAE, t: Tensor) -> None:
        """t (n, D): rows as the networks see them."""
        torch.manual_seed(2)
        self.t = t
        mu, sigma = vae.posterior(t)
        z = (mu + sigma * torch.randn_like(mu))[:, None]
        self.h = vae.decoder(z)[:, 0]
        self.mean = vae.likelihood.mean(self.h)
        self.ours = -vae.log_prob(t, z).sum((1, 2))  # -log p(x|z), (n,)
        self.kl = -0.5 * (1 + sigma.square().log() - mu.square() - sigma.square())  # (n, Z)
        self._parameters = [p for p in vae.parameters() if p.requires_grad]

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient with respect to all parameters, flattened."""
        found = torch.autograd.grad(loss, self._parameters, retain_graph=True, allow_unused=True)
        pairs = zip(self._parameters, found, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])


def same_up_to(factor: float, foreign: Tensor, ours: Tensor) -> None:
    assert ours.norm() > 1e-3
    torch.testing.assert_close(foreign, factor * ours, rtol=1e-6, atol=1e-7 * float(foreign.norm()))


def settings(name: str) -> dict[str, Any]:
    config = load_config(QUESTIONS / f"{name}.toml")
    return {"scale": config.likelihood.scale, "beta": config.objective.beta, "schedule": config.objective.schedule}


def trained_elbo(name: str, *more: str) -> tuple[float, float]:
    """Validation ELBO and KL of a short run, nats per row."""
    config = load_config(QUESTIONS / f"{name}.toml", [*SMALL, 'objective.schedule="constant"', *more])
    best = run(config).history.best
    return best.elbo, best.kl


@pytest.mark.parametrize("name", sorted(path.stem for path in QUESTIONS.glob("*.toml")))
def test_training_every_system_improves_its_elbo(name: str) -> None:
    config = load_config(
        QUESTIONS / f"{name}.toml",
        [*SMALL, "training.steps=30", "training.evaluate_every=10", 'objective.schedule="constant"'],
    )
    assert config.name == name
    validations = run(config).history.validations
    assert validations[-1].objective < validations[0].objective


# 1. "My data are not in [0, 1]: which loss?"


def test_the_first_system_is_a_leaky_relu_mlp_with_linear_output_and_five_latent_dimensions() -> None:
    vae, rows = made("q1-unbounded-rows")
    kinds = {type(layer) for network in (vae.encoder, vae.decoder) for layer in network}
    assert kinds == {nn.Linear, nn.LeakyReLU}
    assert isinstance(vae.decoder[-1], nn.Linear)  # type: ignore[index]  # a Sequential
    x = torch.from_numpy(rows.x)
    assert float(x.max()) > 1000
    mu, sigma = vae.encode(x)
    raw = vae.encoder(vae.features.encoder_input(vae.features(x), None))[:, 5:]
    assert mu.shape == (len(x), 5)
    torch.testing.assert_close(sigma, F.softplus(raw), rtol=1e-4, atol=1e-5)


def test_the_kl_of_a_row_does_not_depend_on_the_range_of_x() -> None:
    _, rows = made("q1-unbounded-rows")
    far, _ = made("q1-unbounded-rows", rows=Rows(1e6 * rows.x - 1e9, rows.columns, rows.anomaly), n=24)
    near, _ = made("q1-unbounded-rows", rows=rows)
    x, eps = torch.from_numpy(rows.x), torch.randn(24, 3, 5, dtype=torch.float64)
    one, other = near.bound(x, eps), far.bound(1e6 * x - 1e9, eps)
    torch.testing.assert_close(one.kl, other.kl, rtol=1e-6, atol=1e-6)
    shift = -rows.x.shape[1] * np.log(1e6)
    torch.testing.assert_close(other.elbo - one.elbo, torch.full((24,), shift).double(), rtol=1e-6, atol=1e-4)


# 2. "mean MSE + 1e-4 KL?"


def test_mean_mse_plus_a_small_kl_is_the_elbo_with_a_fixed_scale() -> None:
    (loss,) = losses_of("q2", {"dim": 30}).values()
    exact = explain(loss).equivalents[0]
    assert settings("q2-mean-mse") == {"scale": pytest.approx(exact.sigma), "beta": 1.0, "schedule": "constant"}
    vae, rows = made("q2-mean-mse")
    of = Terms(vae, vae.features(torch.from_numpy(rows.x)))
    foreign = F.mse_loss(of.mean, of.t) + 1e-4 * of.kl.sum(1).mean()
    ours = (of.ours + of.kl.sum(1)).mean()
    same_up_to(1e-4, of.gradient(foreign), of.gradient(ours))
    torch.testing.assert_close(foreign, 1e-4 * (ours - exact.constant), rtol=1e-6, atol=0.0)


def test_a_learned_scale_has_a_better_elbo_than_the_implied_fixed_scale() -> None:
    disguised, _ = trained_elbo("q2-mean-mse", "training.steps=200")
    shared, _ = trained_elbo("q2-mean-mse", "training.steps=200", 'likelihood.scale="shared"')
    learned, _ = trained_elbo("q1-unbounded-rows", "training.steps=200")
    assert disguised + 100 < shared
    assert disguised + 100 < learned


# 3. "z-scored RGB, tanh output: do the ranges have to match?"


def per_channel(vae: VAE) -> tuple[Tensor, Tensor]:
    """loc and scale of the three channels, (3,) each."""
    return vae.features.loc[:3], vae.features.scale[:3]  # type: ignore[return-value,index]  # buffers


@torch.no_grad()
def same_in_other_units(vae: VAE, other: VAE) -> VAE:
    """`other` with the weights of vae; first and last layer are mapped to its units, t' = a t + c by channel."""
    (loc, scale), (loc2, scale2) = per_channel(vae), per_channel(other)
    a, c = scale / scale2, (loc - loc2) / scale2
    other.encoder.load_state_dict(vae.encoder.state_dict())
    other.decoder.load_state_dict(vae.decoder.state_dict())
    first = other.encoder.stages[0]  # type: ignore[union-attr,index]  # a Sequential of convolutions
    first.weight.div_(a[:, None, None])
    first.bias.sub_((first.weight * c[:, None, None]).sum((1, 2, 3)))
    last = other.decoder.head  # type: ignore[union-attr]  # every decoder's
    last.weight[:, :3].mul_(a[:, None, None])  # a transposed convolution's outputs are its second axis
    last.bias[:3].mul_(a).add_(c)
    spread, spread2 = vae.likelihood.spread, other.likelihood.spread  # type: ignore[union-attr]  # BinnedGaussian's
    by_pixel = a.repeat(vae.features.dim // 3)
    spread2.raw_scale.copy_(softplus_inverse_of(by_pixel * softplus(spread.raw_scale)))
    return other


def softplus_inverse_of(y: Tensor) -> Tensor:
    return torch.tensor([softplus_inverse(float(v)) for v in y], dtype=y.dtype)


FEATURE = 'likelihood.scale="feature"'


@pytest.mark.parametrize("scaling", ["unit", "symmetric"])
def test_the_elbo_in_pixels_is_the_same_under_every_scaling(scaling: str) -> None:
    vae, rows = made("q3-learned-scale", FEATURE)
    other, _ = made("q3-learned-scale", FEATURE, f'network.scaling="{scaling}"')
    x, eps = torch.from_numpy(rows.x), torch.randn(24, 2, vae.latent_dim, dtype=torch.float64)
    assert not torch.allclose(other.bound(x, eps).elbo, vae.bound(x, eps).elbo, rtol=1e-3)
    one, two = vae.bound(x, eps), same_in_other_units(vae, other).bound(x, eps)
    torch.testing.assert_close(two.kl, one.kl, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(two.feature_log_likelihood, one.feature_log_likelihood, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(two.elbo, one.elbo, rtol=1e-8, atol=1e-6)


def test_the_weight_of_a_squared_error_depends_on_the_scaling_of_pixels() -> None:
    """For the same reconstructions and KL, the squared error of a channel is proportional to 1 / scale^2."""
    vae, rows = made("q3-learned-scale", FEATURE)
    unit = same_in_other_units(vae, made("q3-learned-scale", FEATURE, 'network.scaling="unit"')[0])
    x = torch.from_numpy(rows.x)
    by_scores, by_unit = (Terms(v, v.features(x)) for v in (vae, unit))
    sse, sse_of_unit = ((of.t - of.mean).square().unflatten(1, (-1, 3)).sum((0, 1)) for of in (by_scores, by_unit))
    torch.testing.assert_close(sse_of_unit, sse * (per_channel(vae)[1] / 255) ** 2)
    torch.testing.assert_close(by_unit.kl, by_scores.kl)


def test_tanh_cannot_reach_z_scores_but_can_reach_values_between_minus_1_and_1() -> None:
    scores, rows = made("q3-learned-scale", n=520)
    ends, _ = made("q3-learned-scale", 'network.scaling="symmetric"')
    x = torch.from_numpy(rows.x)
    beyond = (scores.features(x).abs() > 1).double().mean()
    assert float(beyond) == pytest.approx(0.43, abs=0.01)
    assert float(ends.features(x).abs().max()) <= 1
    tanh, _ = made("q3-tanh")
    with torch.no_grad():
        means = tanh.likelihood.mean(tanh.decoder(100 * torch.randn(50, 1, 128).double()))
    assert float(means.abs().max()) <= 1


def test_a_tanh_mean_of_z_scores_is_always_less_likely_than_an_affine_one() -> None:
    """With the nearest possible mean and the best scale for each value, 1.66 nats per value are lost."""
    vae, rows = made("q3-learned-scale", 'network.output="tanh"', n=520)
    t = vae.features(torch.from_numpy(rows.x[::13]))  # (N, D)
    nearest = torch.atanh(t.clamp(-1 + 1e-9, 1 - 1e-9))
    best = torch.full_like(t, -torch.inf)
    for s in np.geomspace(1e-3, 10, 40):
        h = torch.cat([nearest, torch.full_like(t, softplus_inverse(float(s)))], dim=1)
        best = torch.maximum(best, vae.likelihood.log_prob(t, h))
    within = t.abs() < 1
    assert float(best[within].min()) > -0.01  # a pixel within the range loses nothing
    assert float(best.mean()) == pytest.approx(-1.66, abs=0.02)


# 4. "Keras multiplies by original_dim, the blog does not?"


def test_bce_plus_kl_is_the_elbo_if_both_are_summed_or_both_averaged_over_pixels() -> None:
    vae, rows = made("q4-bce")
    t = (torch.from_numpy(rows.x).flatten(1) >= 128).double()
    of = Terms(vae, t)
    bce = F.binary_cross_entropy_with_logits(of.h, t, reduction="none").mean(1)  # (n,), as Keras reduces it
    ours = of.gradient((of.ours + of.kl.sum(1)).mean())
    same_up_to(1.0, of.gradient((64 * bce + of.kl.sum(1)).mean()), ours)
    same_up_to(1 / 64, of.gradient((bce + of.kl.sum(1) / 64).mean()), ours)
    by_row = 64 * bce + of.kl.sum(1)
    torch.testing.assert_close(by_row, of.ours + of.kl.sum(1))


def test_bce_of_a_grey_pixel_is_the_mean_over_draws_of_its_binarised_value() -> None:
    vae, rows = made("q4-bce")
    grey = torch.from_numpy(rows.x).flatten(1).double() / 255
    assert ((grey > 0) & (grey < 1)).any()
    h = vae.decoder(torch.randn(24, 1, 2, dtype=torch.float64))
    one, zero = (vae.likelihood.log_prob(torch.full_like(grey, b)[:, None], h)[:, 0] for b in (1.0, 0.0))
    over_draws = -(grey * one + (1 - grey) * zero)
    torch.testing.assert_close(over_draws, F.binary_cross_entropy_with_logits(h[:, 0], grey, reduction="none"))


def test_the_means_of_the_blog_weight_the_kl_by_d_over_z() -> None:
    blog = losses_of("q4", {"dim": 64, "latent_dim": 2})["blog: mean BCE + mean KL"]
    assert explain(blog).equivalents[0].beta == pytest.approx(32.0)
    assert settings("q4-blog") == {**settings("q4-bce"), "beta": 32.0}
    vae, rows = made("q4-blog")
    of = Terms(vae, (torch.from_numpy(rows.x).flatten(1) >= 128).double())
    written = (F.binary_cross_entropy_with_logits(of.h, of.t, reduction="none").mean(1) + of.kl.mean(1)).mean()
    same_up_to(1 / 64, of.gradient(written), of.gradient((of.ours + 32.0 * of.kl.sum(1)).mean()))


def test_mse_plus_kl_is_the_elbo_of_a_gaussian_with_sigma_one_over_root_two() -> None:
    vae, rows = made("q4-mse")
    scale = settings("q4-mse")["scale"]
    assert scale == pytest.approx(2**-0.5)
    vae.likelihood = Gaussian(scale, torch.full((64,), 1e-6), torch.ones(64, dtype=torch.bool), output="sigmoid")
    of = Terms(vae.double(), vae.features(torch.from_numpy(rows.x)))
    mse = (of.t - of.mean).square().mean(1)
    ours = of.gradient((of.ours + of.kl.sum(1)).mean())
    same_up_to(1.0, of.gradient((64 * mse + of.kl.sum(1)).mean()), ours)
    same_up_to(1 / 64, of.gradient((mse + of.kl.sum(1) / 64).mean()), ours)


def test_on_pixels_the_mass_of_a_bin_is_the_squared_error_except_at_the_ends() -> None:
    """The bin of a pixel of 0 is open, so its mass is not largest at a mean of 0."""
    vae, rows = made("q4-mse")
    t = vae.features(torch.from_numpy(rows.x))
    h = vae.decoder(torch.randn(24, 1, 2, dtype=torch.float64)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(-vae.likelihood.log_prob(t[:, None], h).sum(), h)
    mean = vae.likelihood.mean(h)
    (of_square,) = torch.autograd.grad((t[:, None] - mean).square().sum(), h)
    inside = ((t > 0) & (t < 1))[:, None]
    torch.testing.assert_close(slope[inside], of_square[inside], rtol=1e-4, atol=1e-6)
    assert (slope[~inside] - of_square[~inside]).abs().min() > 1e-3


def test_with_the_weight_of_the_blog_the_posterior_collapses() -> None:
    _, kl = trained_elbo("q4-bce", "training.steps=400")
    _, blog = trained_elbo("q4-blog", "training.steps=400")
    assert blog < 0.1
    assert kl > 1.0


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_system_on_the_page_is_a_valid_config(system: Any) -> None:
    config = load_config(QUESTIONS / f"{system.config}.toml", system.changes)
    assert unused(config) == []
