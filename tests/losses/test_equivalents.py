"""What any reduction, weight and unit equals here, by gradients and values; what is refused."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from tests.losses.small import SIZES, D, Small, Z, check, kl
from vaekit.errors import InputError
from vaekit.losses import CONVENTIONS, ForeignLoss, explain, losses_of
from vaekit_training.config import make_config

bce = F.binary_cross_entropy_with_logits


@pytest.mark.parametrize("error", ["squared", "gaussian", "bce"])
@pytest.mark.parametrize("over_dims", ["sum", "mean"])
@pytest.mark.parametrize("kl_over", ["sum", "mean", "dims"])
@pytest.mark.parametrize("rows", list(itertools.product(["mean", "sum"], repeat=2)), ids="-".join)
def test_every_reduction_and_weight_has_its_equal(
    error: Any, over_dims: Any, kl_over: Any, rows: tuple[Any, Any], x: Tensor
) -> None:
    loss = ForeignLoss(
        error=error, weight=0.7, over_dims=over_dims, over_rows=rows[0], kl_weight=0.3, kl_over=kl_over,
        kl_over_rows=rows[1], scale=0.4 if error == "gaussian" else None, **SIZES,
    )  # fmt: skip
    vae = Small((x > 0).double() if error == "bce" else x)
    x, h, mu, log_var = vae.terms()
    each = {
        "squared": (x - h).square(),
        "gaussian": -Normal(h, 0.4).log_prob(x),
        "bce": bce(h, x, reduction="none"),
    }[error]
    left = 0.7 * (each.sum(1) if over_dims == "sum" else each.mean(1))
    over = {"sum": 1, "mean": Z, "dims": D}[kl_over]
    right = 0.3 * kl(mu, log_var).sum(1) / over
    foreign = getattr(left, rows[0])() + getattr(right, rows[1])()
    for equivalent in explain(loss).equivalents:
        check(vae, foreign, equivalent)


def test_grey_bce_given_a_code_is_the_mean_over_binarised_draws() -> None:
    grey = torch.tensor([[0.2, 0.9, 0.5]], dtype=torch.float64)
    vae = Small(grey)
    _, h, _, _ = vae.terms()
    h = h.detach().requires_grad_()
    draws = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)  # all 8
    chance = Bernoulli(probs=grey).log_prob(draws).sum(1).exp()
    mean = -(chance * Bernoulli(logits=h).log_prob(draws).sum(1)).sum()
    (got,), (want,) = torch.autograd.grad(mean, h), torch.autograd.grad(bce(h, grey, reduction="sum"), h)
    torch.testing.assert_close(got, want)


def test_learning_one_scale_gives_the_optimum_that_a_fixed_sigma_supposes(x: Tensor) -> None:
    vae = Small(x)
    x, h, _, _ = vae.terms()
    error = (x - h).square().sum().item() / x.numel()
    sigma = torch.tensor(math.sqrt(error), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(-Normal(h.detach(), sigma).log_prob(x).sum(), sigma)
    assert abs(slope.item()) < 1e-9  # sigma^2 = mean squared error: where likelihood.scale = "shared" comes to rest
    loss = ForeignLoss(over_dims="mean", kl_weight=2 * error / D, dim=D)
    assert explain(loss).equivalents[0].sigma == pytest.approx(sigma.item(), rel=1e-12)


def test_raw_units_give_a_scale_in_standard_deviations(x: Tensor) -> None:
    std = 12.5
    loss = ForeignLoss(over_dims="mean", kl_weight=0.01, units="raw", std=std, dim=D)
    (equivalent, _) = explain(loss).equivalents
    scale = tomllib.loads(equivalent.config)["likelihood"]["scale"]
    assert equivalent.sigma is not None
    assert scale == pytest.approx(equivalent.sigma / std)
    standard, raw = (x / std, x)
    zero = torch.zeros(D, dtype=torch.float64)
    a, b = Normal(zero, scale), Normal(zero, equivalent.sigma)
    # one density, in two units
    torch.testing.assert_close(a.log_prob(standard).sum(1) - D * math.log(std), b.log_prob(raw).sum(1))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_what_is_to_be_pasted_is_a_config_that_is_taken(name: str) -> None:
    for loss in losses_of(name, {"dim": 12, "latent_dim": 3}).values():
        found = explain(loss)
        pasted = [e.config for e in found.equivalents] + ([found.instead] if found.instead else [])
        assert pasted
        for text in pasted:
            make_config({"name": "m", "data": {"source": "x.npy"}, **tomllib.loads(text)})


REFUSED = [
    ({}, "dim: not given, expected D"),
    ({"dim": 0}, "dim: 0, expected a whole number of at least 1"),
    ({"dim": 3, "weight": 0.0}, "weight: 0.0, expected a number above 0"),
    ({"dim": 3, "weight": math.inf}, "weight: inf, expected a number above 0"),
    ({"dim": 3, "kl_weight": -1.0}, "kl_weight: -1.0, expected 0 or more"),
    ({"dim": 3, "kl_over": "mean"}, "latent_dim: not given"),
    ({"dim": 3, "kl_over_rows": "sum"}, "batch_size: not given"),
    ({"dim": 3, "error": "gaussian"}, "scale: not given"),
    ({"dim": 3, "scale": 2.0}, "scale: 2.0, expected nothing unless error = 'gaussian'"),
    ({"dim": 3, "units": "raw"}, "std: not given"),
    ({"dim": 3, "std": 2.0}, "std: 2.0, expected nothing unless units = 'raw'"),
    ({"dim": 3, "error": "sse"}, "error: 'sse', expected 'squared' or"),
    ({"error": "density"}, "ours: (), expected the likelihood's settings"),
    ({"dims": 3}, "dims: a loss has no such field"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED)
def test_what_is_refused_names_the_field_what_it_got_and_what_it_takes(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        losses_of(None, given)


@pytest.mark.parametrize(
    ("given", "likelihood"),
    [
        ({"error": "bce"}, "bernoulli"),
        ({"error": "bce", "grey": True}, "continuous_bernoulli"),
        ({"error": "squared"}, "gaussian"),
    ],
)
def test_without_a_kl_what_is_taken_instead_is_one_of_the_same_data(given: dict[str, Any], likelihood: str) -> None:
    (loss,) = losses_of(None, {"dim": 3, "kl_weight": 0.0, **given}).values()
    instead = explain(loss).instead
    assert instead is not None
    assert tomllib.loads(instead)["likelihood"]["name"] == likelihood
    for counts in losses_of("scvi", {"dim": 3}, warmed_up=0.0).values():
        assert 'name = "gaussian"' not in (explain(counts).instead or "")


def test_unknown_names_and_shares_are_refused() -> None:
    with pytest.raises(InputError, match="'kers' is not known; known: keras-blog"):
        losses_of("kers", {})
    with pytest.raises(InputError, match=r"warmed_up: 1.5, expected a share"):
        losses_of("scvi", {}, warmed_up=1.5)
