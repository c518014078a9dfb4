"""Losses known by name, as their projects compute them, against their equals here: by gradients and values."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from torch import Tensor
from torch.distributions import Normal

from tests.losses.small import SIZES, D, Small, check, density, kl
from vaekit.losses import CONVENTIONS, explain, losses_of

Written = Callable[[Small, Tensor, Tensor, Tensor, Tensor], Tensor]
bce = F.binary_cross_entropy_with_logits

# each loss as its project computes it, on (vae, x, h, mu, log_var), without the fields of ForeignLoss
WRITTEN: dict[tuple[str, str], Written] = {
    ("keras-blog", "blog"): lambda _, x, h, m, v: (bce(h, x, reduction="none").mean(-1) + kl(m, v).mean(-1)).mean(),
    ("keras-example", "BCE x D"): lambda _, x, h, m, v: (
        D * bce(h, x, reduction="none").mean(-1) + kl(m, v).sum(-1)
    ).mean(),
    ("keras-example", "MSE x D"): lambda _, x, h, m, v: (D * (x - h).square().mean(-1) + kl(m, v).sum(-1)).mean(),
    ("keras-example", "2016-07: mean BCE + summed KL"): lambda _, x, h, m, v: (
        bce(h, x, reduction="none").mean(-1) + kl(m, v).sum(-1)
    ).mean(),
    ("keras-example", "2020-05: BCE x D + mean KL over latents"): lambda _, x, h, m, v: D * bce(h, x) + kl(m, v).mean(),
    ("pythae", "mse"): lambda _, x, h, m, v: (0.5 * F.mse_loss(h, x, reduction="none").sum(-1) + kl(m, v).sum(-1)).mean(
        0
    ),
    ("pythae-bce", "bce"): lambda _, x, h, m, v: (bce(h, x, reduction="none").sum(-1) + kl(m, v).sum(-1)).mean(0),
    ("pyod", "capacity = inf"): lambda _, x, h, m, v: F.mse_loss(h, x) + kl(m, v).sum(1).mean(),
    ("pyod-1", "gamma = 1, capacity = 0"): lambda _, x, h, m, v: (
        D * (x - h).square().mean(-1) + (kl(m, v).sum(-1) - 0.0).abs()
    ).mean(),
    ("pytorch-vae", "training"): lambda _, x, h, m, v: F.mse_loss(h, x) + 0.00025 * kl(m, v).sum(1).mean(0),
    ("pytorch-vae", "validation"): lambda _, x, h, m, v: F.mse_loss(h, x) + kl(m, v).sum(1).mean(0),
    ("alibi-detect", "sim = 0.05, beta = 1"): lambda _, x, h, m, v: (
        -Normal(h, 0.05).log_prob(x).sum(-1).mean() + kl(m, v).mean()
    ),
    ("scvi", "after the warm-up"): lambda vae, _, __, m, v: (density(vae) + kl(m, v).sum(1)).mean(),
    ("scvi", "100,000 cells, defaults: it ends at epoch 79"): lambda vae, _, __, m, v: (
        density(vae) + min(1, 79 / 400) * kl(m, v).sum(1)
    ).mean(),
    ("sigma-vae", "mse_vae"): lambda _, x, h, m, v: F.mse_loss(h, x) + kl(m, v).sum(),
    ("sigma-vae", "gaussian_vae"): lambda _, x, h, m, v: -Normal(h, 1.0).log_prob(x).sum() + kl(m, v).sum(),
    ("sigma-vae", "sigma_vae"): lambda vae, _, __, m, v: density(vae).sum() + kl(m, v).sum(),
    ("vdvae", "per dimension"): lambda vae, _, __, m, v: (density(vae) / D + kl(m, v).sum(1) / D).mean(),
    ("pyro", "Trace_ELBO"): lambda _, x, h, m, v: bce(h, x, reduction="sum") + kl(m, v).sum(),
    ("numpyro", "Trace_ELBO"): lambda _, x, h, m, v: bce(h, x, reduction="sum") + kl(m, v).sum(),
    ("tfp", "as meant"): lambda _, x, h, m, v: bce(h, x, reduction="none").sum(1).mean() + kl(m, v).sum(1).mean(),
    ("tfp", "as users measured it"): lambda _, x, h, m, v: (
        bce(h, x, reduction="none").sum(1).mean() + 2 * kl(m, v).sum(1).mean()
    ),
    ("pytorch-example", "sum"): lambda _, x, h, m, v: bce(h, x, reduction="sum") + kl(m, v).sum(),
    ("q1", "a density of the rows as they are"): lambda vae, _, __, m, v: (density(vae) + kl(m, v).sum(1)).mean(),
    ("q2", "mean SE over the columns of a row"): lambda _, x, h, m, v: (
        (x - h).square().mean(1) + 1e-4 * kl(m, v).sum(1)
    ).mean(),
    ("q3", "mean over pixels and latents"): lambda _, x, h, m, v: (
        F.mse_loss(h, x, reduction="none").mean() + kl(m, v).mean()
    ),
    ("q4", "BCE x 784 + KL"): lambda _, x, h, m, v: (
        D * bce(h, x, reduction="none").mean(-1) + kl(m, v).sum(-1)
    ).mean(),
    ("q4", "MSE x 784 + KL"): lambda _, x, h, m, v: (D * (x - h).square().mean(-1) + kl(m, v).sum(-1)).mean(),
    ("q4", "(MSE x 784 + KL) / 784"): lambda _, x, h, m, v: (
        (D * (x - h).square().mean(-1) + kl(m, v).sum(-1)) / D
    ).mean(),
    ("q4", "MSE + KL"): lambda _, x, h, m, v: ((x - h).square().mean(-1) + kl(m, v).sum(-1)).mean(),
    ("q4", "blog: mean BCE + mean KL"): lambda _, x, h, m, v: (
        bce(h, x, reduction="none").mean(-1) + kl(m, v).mean(-1)
    ).mean(),
}
DEAD = ("pyod", "defaults (capacity = 0), and any KL above its capacity")


@pytest.mark.parametrize(("name", "variant"), WRITTEN, ids=lambda part: part)
def test_a_named_loss_has_the_gradient_of_its_equal_here(name: str, variant: str, x: Tensor) -> None:
    explanation = explain(losses_of(name, SIZES)[variant])
    if explanation.loss.error == "bce":
        x = (x > 0).double()  # Bernoulli is for 0 and 1
    vae = Small(x)
    assert explanation.equivalents
    for equivalent in explanation.equivalents:
        check(vae, WRITTEN[name, variant](vae, *vae.terms()), equivalent)


def test_every_named_loss_is_written_out_above() -> None:
    known = {(name, variant) for name, found in CONVENTIONS.items() for variant in found.variants}
    assert known == {*WRITTEN, DEAD}


def test_the_kl_of_pyods_defaults_has_no_gradient_and_no_equal(x: Tensor) -> None:
    vae = Small(x)
    x, h, mu, log_var = vae.terms()
    foreign = F.mse_loss(h, x) + torch.clamp(kl(mu, log_var).sum(1) - 0.0, max=0.0).mean()
    torch.testing.assert_close(vae.gradient(foreign), vae.gradient(F.mse_loss(h, x)), rtol=0, atol=0)
    explanation = explain(losses_of(DEAD[0], SIZES)[DEAD[1]])
    assert (explanation.a, explanation.b, explanation.equivalents) == (1 / D, 0.0, ())
    assert "no gradient" in explanation.notes[0]
    assert explanation.instead is not None


FACTS = [  # sizes, and (sigma at beta 1, beta at sigma 1) by hand
    ("pytorch-vae", "training", {}, (math.sqrt(0.00025 * 12288 / 2), 1.536)),
    ("pytorch-vae", "validation", {}, (math.sqrt(6144), 6144.0)),
    ("pyod", "capacity = inf", {"dim": 784}, (math.sqrt(392), 392.0)),
    ("pyod-1", "gamma = 1, capacity = 0", {"dim": 784}, (math.sqrt(0.5), 0.5)),
    ("q4", "MSE + KL", {}, (math.sqrt(392), 392.0)),
    ("q2", "mean SE over the columns of a row", {"dim": 200}, (0.1, 0.01)),
]


@pytest.mark.parametrize(("name", "variant", "sizes", "want"), FACTS)
def test_known_conventions_have_their_known_sigma_and_beta(
    name: str, variant: str, sizes: dict[str, int], want: tuple[float, float]
) -> None:
    exact, unit = explain(losses_of(name, sizes)[variant]).equivalents
    assert (exact.sigma, unit.beta) == (pytest.approx(want[0]), pytest.approx(want[1]))
    assert (exact.beta, unit.sigma) == (1.0, 1.0)


def test_the_constant_of_784_pixels_is_what_pythae_leaves_out() -> None:
    (only,) = explain(losses_of("pythae", {})["mse"]).equivalents
    assert only.constant == pytest.approx(720.448, abs=5e-4)


def test_the_blog_weighs_the_kl_by_D_over_Z() -> None:  # noqa: N802  the letters of the legend
    (only,) = explain(losses_of("keras-blog", {})["blog"]).equivalents
    assert only.beta == pytest.approx(784 / 2)


def test_warming_up_scales_the_weight_of_the_kl() -> None:
    part = losses_of("scvi", {}, warmed_up=79 / 400)["after the warm-up"]
    whole = losses_of("scvi", {})["100,000 cells, defaults: it ends at epoch 79"]
    assert explain(part).equivalents == explain(whole).equivalents
    assert explain(part).equivalents[0].beta == 0.1975
