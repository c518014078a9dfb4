"""The config lines of `vae explain-loss` give an objective with the gradient of the explained loss."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from torch import Tensor

from tests.training.models import bits, table
from vaekit.losses import Equivalent, ForeignLoss, explain, losses_of
from vaekit_training import build
from vaekit_training.config import make_config
from vaekit_training.data.load import Rows
from vaekit_training.vae import VAE

Z = 3


def trainers(text: str, rows: Rows) -> tuple[VAE, float]:
    """A VAE with random weights, built from the config lines, in float64; and beta."""
    tree: dict[str, Any] = {"name": "m", "data": {"source": "x.npy"}, **tomllib.loads(text)}
    tree["network"] = {"hidden": [8], "latent_dim": Z}
    config = make_config(tree)
    torch.manual_seed(0)
    vae = build.build(config, rows, np.arange(len(rows.x))).double()
    for weights in vae.decoder.parameters():  # a new head is near 0, where gradients are too small to compare
        torch.nn.init.normal_(weights, std=0.5)
    return vae, config.objective.beta


def parts(vae: VAE, rows: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """t (N, D), z (N, 1, Z), mu and sigma (N, Z), for one draw per row."""
    t = vae.features(torch.from_numpy(rows.x), None).double()
    mu, sigma = vae.posterior(t)
    eps = torch.randn(mu.shape, generator=torch.Generator().manual_seed(1), dtype=mu.dtype)
    return t, (mu + sigma * eps)[:, None], mu, sigma


def gradient(vae: VAE, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(vae.parameters()), retain_graph=True)])


def check(vae: VAE, beta: float, rows: Rows, foreign: Tensor, equivalent: Equivalent) -> None:
    t, z, mu, sigma = parts(vae, rows)
    here = (beta * vae.prior.kl(mu, sigma) - vae.log_prob(t, z).sum(-1).squeeze(-1)).mean()
    want = equivalent.factor * gradient(vae, here)
    assert want.abs().max() > 0
    torch.testing.assert_close(gradient(vae, foreign), want, rtol=1e-6, atol=1e-9 * float(want.abs().max()))
    assert foreign.item() == pytest.approx(equivalent.factor * (here.item() - equivalent.constant), rel=1e-6)


def kl(mu: Tensor, sigma: Tensor) -> Tensor:
    """KL by latent dimension, (N, Z), computed independently of the trainer."""
    return -0.5 * (1 + (sigma**2).log() - mu**2 - sigma**2)


@pytest.mark.parametrize("weight", [1e-4, 0.01, 1.0])
@pytest.mark.parametrize("which", [0, 1], ids=["beta-1", "sigma-1"])
def test_mean_squared_error_has_the_gradient_of_a_gaussian_with_a_fixed_scale(weight: float, which: int) -> None:
    rows = table()  # columns from 1e-3 to 1e9, which are standardised for both losses
    equivalent = explain(ForeignLoss(over_dims="mean", kl_weight=weight, dim=5)).equivalents[which]
    vae, beta = trainers(equivalent.config, rows)
    t, z, mu, sigma = parts(vae, rows)
    m = vae.likelihood.mean(vae.decoder(z)).squeeze(1)
    foreign = F.mse_loss(m, t) + weight * kl(mu, sigma).sum(1).mean()
    check(vae, beta, rows, foreign, equivalent)


@pytest.mark.parametrize("name", ["pythae-bce", "tfp"])
def test_cross_entropy_on_columns_of_0_and_1_has_the_gradient_of_bernoulli(name: str) -> None:
    rows = bits()
    for variant, loss in losses_of(name, {"dim": 6, "latent_dim": Z}).items():
        (equivalent,) = explain(loss).equivalents
        text = equivalent.config.replace('binarize = "dynamic"\n', "")  # the columns are 0 and 1 already
        vae, beta = trainers(text, rows)
        t, z, mu, sigma = parts(vae, rows)
        p = torch.sigmoid(vae.decoder(z).squeeze(1))
        twice = 2.0 if variant == "as users measured it" else 1.0
        foreign = (F.binary_cross_entropy(p, t, reduction="none").sum(1) + twice * kl(mu, sigma).sum(1)).mean()
        check(vae, beta, rows, foreign, equivalent)
