"""Foreign losses against their equals here, by gradients and values, on a small VAE with random weights."""

from __future__ import annotations

import itertools
import json
import math
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, StudentT, kl_divergence
from typer.testing import CliRunner

from training.config import make_config
from vaekit.bundle.manifest import Provenance
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.losses import CONVENTIONS, Equivalent, Explanation, ForeignLoss, explain, losses_of, sentence, sentence_of
from vaekit.runtime import Model

ROOT = Path(__file__).resolve().parents[1]
B, D, Z = 5, 6, 3
SIZES = {"dim": D, "latent_dim": Z, "batch_size": B}


class Small(nn.Module):
    """Encoder and decoder with random weights, and what a loss is made of, for one batch and one draw."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        torch.manual_seed(0)
        dim = x.shape[1]
        self.encoder = nn.Sequential(nn.Linear(dim, 7), nn.Tanh(), nn.Linear(7, 2 * Z)).double()
        self.decoder = nn.Sequential(nn.Linear(Z, 7), nn.Tanh(), nn.Linear(7, dim)).double()
        self.raw_scale = nn.Parameter(torch.tensor(-0.3, dtype=torch.float64))  # what a learned scale is made of
        self.x, self.eps = x, torch.randn(len(x), Z, dtype=torch.float64)

    def terms(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x (B, D), h (B, D), mu, log_var (B, Z)."""
        mu, log_var = self.encoder(self.x).chunk(2, dim=-1)
        return self.x, self.decoder(mu + (0.5 * log_var).exp() * self.eps), mu, log_var

    def gradient(self, loss: Tensor) -> Tensor:
        grads = torch.autograd.grad(loss, list(self.parameters()), allow_unused=True, retain_graph=True)
        return torch.cat([torch.zeros(1) if g is None else g.flatten() for g in grads])


@pytest.fixture(params=["real", "binary"])
def x(request: pytest.FixtureRequest) -> Tensor:
    torch.manual_seed(1)
    rows = torch.randn(B, D, dtype=torch.float64)
    return rows if request.param == "real" else (rows > 0).double()


def kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """(B, Z), as everybody writes it."""
    return -0.5 * (1 + log_var - mu**2 - log_var.exp())


def density(vae: Small) -> Tensor:
    """-log p(x|z) of each row (B,), by a density whose scale is learned."""
    x, h, _, _ = vae.terms()
    return -StudentT(4.0, h, F.softplus(vae.raw_scale)).log_prob(x).sum(1)


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


def ours(vae: Small, config: str) -> Tensor:
    """Mean over rows of -log p(x|z) + beta KL, by torch's own distributions, as the lines of a config say."""
    said = tomllib.loads(config)
    x, h, mu, log_var = vae.terms()
    likelihood = said["likelihood"]
    if isinstance(likelihood.get("scale"), float):
        negative = -Normal(h, likelihood["scale"]).log_prob(x).sum(1)
    elif likelihood["name"] == "bernoulli":
        negative = -Bernoulli(logits=h).log_prob(x).sum(1)
    else:
        negative = density(vae)
    q, p = Normal(mu, (0.5 * log_var).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return (negative + said["objective"]["beta"] * kl_divergence(q, p).sum(1)).mean()


def check(vae: Small, foreign: Tensor, equivalent: Equivalent) -> None:
    """foreign = factor (ours - constant), in value and in gradient."""
    here = ours(vae, equivalent.config)
    torch.testing.assert_close(
        vae.gradient(foreign), equivalent.factor * vae.gradient(here), rtol=1e-9, atol=1e-12 * equivalent.factor
    )
    value = equivalent.factor * (here.item() - equivalent.constant)
    assert foreign.item() == pytest.approx(value, rel=1e-9, abs=1e-9 * equivalent.factor * (1 + abs(here.item())))


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


def test_the_kl_of_pyods_defaults_has_no_gradient_and_no_equal(x: Tensor) -> None:
    vae = Small(x)
    x, h, mu, log_var = vae.terms()
    foreign = F.mse_loss(h, x) + torch.clamp(kl(mu, log_var).sum(1) - 0.0, max=0.0).mean()
    torch.testing.assert_close(vae.gradient(foreign), vae.gradient(F.mse_loss(h, x)), rtol=0, atol=0)
    explanation = explain(losses_of(DEAD[0], SIZES)[DEAD[1]])
    assert (explanation.a, explanation.b, explanation.equivalents) == (1 / D, 0.0, ())
    assert "no gradient" in explanation.notes[0]
    assert explanation.instead is not None


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


def test_warming_up_scales_the_weight_of_the_kl() -> None:
    part = losses_of("scvi", {}, warmed_up=79 / 400)["after the warm-up"]
    whole = losses_of("scvi", {})["100,000 cells, defaults: it ends at epoch 79"]
    assert explain(part).equivalents == explain(whole).equivalents
    assert explain(part).equivalents[0].beta == 0.1975


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
    ({"dims": 3}, "dims: no such field of a loss"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED)
def test_what_is_refused_names_the_field_what_it_got_and_what_it_takes(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        losses_of(None, given)


def test_unknown_names_and_shares_are_refused() -> None:
    with pytest.raises(InputError, match="'kers' is not known; known: keras-blog"):
        losses_of("kers", {})
    with pytest.raises(InputError, match=r"warmed_up: 1.5, expected a share"):
        losses_of("scvi", {}, warmed_up=1.5)


def test_the_command_prints_what_the_json_says() -> None:
    runner = CliRunner()
    words = ["explain-loss", "--error", "half-squared", "--kl-weight", "0.25", "--dim", "8"]
    table = runner.invoke(app, words)
    tree = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    exact, unit = tree["losses"]["as given"]["equivalents"]
    assert (exact["sigma"], exact["beta"], unit["beta"]) == (0.5, 1.0, 0.25)
    assert table.exit_code == 0
    for e in (exact, unit):
        row = rf"{e['sigma']:.6g} │ +{e['beta']:.6g} │ +{e['factor']:.6g} │ +{e['constant']:.6g}"
        assert re.search(row, table.stdout)
        assert e["config"] in table.stdout


def test_the_command_lists_every_name_and_explains_each() -> None:
    runner = CliRunner()
    listed = json.loads(runner.invoke(app, ["explain-loss", "--json"]).stdout)
    assert list(listed) == list(CONVENTIONS)
    for name in CONVENTIONS:
        done = runner.invoke(app, ["explain-loss", name, "--dim", "6", "--json"])
        assert done.exit_code == 0, done.output
        assert set(json.loads(done.stdout)["losses"]) == set(CONVENTIONS[name].variants)


def test_the_sentence_of_a_fixed_scale_gives_the_weight_that_others_write() -> None:
    text = sentence(likelihood="gaussian", scale=0.5, beta=2.0, dim=10, latent_dim=3)
    (weight,) = re.findall(r"mean squared error \+ ([0-9.]+) KL", text)
    (half,) = re.findall(r"0\.5 SSE \+ ([0-9.]+) KL", text)
    (sigma,) = re.findall(r"negative ELBO at a scale of ([0-9.]+)\.$", text)
    for loss in (
        ForeignLoss(over_dims="mean", kl_weight=float(weight), dim=10),
        ForeignLoss(weight=0.5, kl_weight=float(half), dim=10),
    ):
        exact = explain(loss).equivalents[0]
        assert exact.sigma == pytest.approx(float(sigma), rel=1e-5)
        assert exact.sigma == pytest.approx(0.5 * math.sqrt(2.0), rel=1e-5)


SENTENCES = [
    ({"likelihood": "gaussian", "scale": "network"}, "the scale s is learned (from the decoder)"),
    ({"likelihood": "gaussian", "scale": "network"}, "mean squared error + 0.2 s^2 KL; the exact negative ELBO."),
    ({"likelihood": "gaussian", "scale": 1.0}, "plus a constant of 9.18939 nats"),
    ({"likelihood": "bernoulli"}, "as summed binary cross-entropy + KL on x of 0 and 1; the exact negative ELBO."),
    ({"likelihood": "bernoulli", "beta": 0.5}, "+ 0.5 KL on x of 0 and 1; its negative is no bound"),
    ({"likelihood": "student_t", "scale": "network", "beta": 2.0}, "a density in full; its negative is a looser bound"),
    ({"likelihood": "gaussian", "scale": "network", "mass": True}, "a probability in full"),
    ({"likelihood": "gaussian", "scale": "shared", "free_bits": 0.5}, "up to 0.5 nats of KL in each code, 1.5 in all"),
    ({"likelihood": "bernoulli", "objective": "iwae", "num_samples": 50}, "with K = 50"),
    ({"likelihood": "bernoulli", "members": 4}, "for each of 4 members"),
]


@pytest.mark.parametrize(("facts", "said"), SENTENCES)
def test_the_sentence_says_what_was_minimised(facts: dict[str, Any], said: str) -> None:
    text = sentence(dim=10, latent_dim=3, **facts)
    assert said in text
    assert text.count(". ") == 0
    assert text.endswith(".")


def test_the_sentence_of_a_bundle_is_that_of_its_config(breast_cancer: Model, digits: Model) -> None:
    first = breast_cancer.manifest
    beta = first.provenance.config["objective"]["beta"]
    want = sentence(likelihood="gaussian", scale="network", beta=beta, dim=30, latent_dim=first.latent_dim)
    assert sentence_of(first) == want
    assert "the bernoulli likelihood summed over 64 dimensions" in sentence_of(digits.manifest)
    fixed = first.model_copy(deep=True)
    fixed.provenance.config["likelihood"]["scale"] = 0.5
    fixed.provenance.config["objective"]["beta"] = 2.0
    assert sentence_of(fixed) == sentence(
        likelihood="gaussian", scale=0.5, beta=2.0, dim=30, latent_dim=first.latent_dim
    )
    bare = first.model_copy(update={"provenance": Provenance()})
    assert sentence_of(bare) == "What was minimised is not recorded in the bundle."


PAGE = ROOT / "docs" / "losses.md"
MARK = "<!-- renewed by: python -m tests.test_losses -->\n"
COMMANDS = re.findall(r"^vae (.+?)(?: +#.*)?$", PAGE.read_text(), re.MULTILINE)


def page_table() -> str:
    """One row a variant: the formula, sigma at beta = 1, beta at sigma = 1, and whether there is an ELBO in it."""
    lines = ["| name | loss | a row | sigma at beta = 1 | beta at sigma = 1 | an ELBO |", "|---|---|---|---|---|---|"]
    for name in CONVENTIONS:
        sizes = {} if "dim" in CONVENTIONS[name].example else {"dim": 32}
        for variant, loss in losses_of(name, sizes).items():
            found = explain(loss)
            sigma = found.equivalents[0].sigma if found.equivalents else None
            beta = found.b / found.a / (2 if found.loss.is_squared else 1)
            said = ("-" if sigma is None else f"{sigma:.4g}", f"{beta:.4g}", verdict(found))
            cells = (f"`{name}`", variant, found.formula.replace("|", r"\|"), *said)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def verdict(found: Explanation) -> str:
    if not found.equivalents:
        return "no: no KL"
    if found.loss.is_squared:
        return "up to constants" if found.equivalents[0].constant else "yes"
    return "no: x is grey" if found.loss.grey else "yes" if found.equivalents[0].beta == 1 else "no: beta"


def test_the_page_has_the_figures_that_the_command_prints() -> None:
    before, after = PAGE.read_text().split(MARK)
    assert before
    assert after.startswith(page_table())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_works(command: str) -> None:
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output


if __name__ == "__main__":
    head, tail = PAGE.read_text().split(MARK)
    rest = tail[tail.index("\n## ") :]
    PAGE.write_text(head + MARK + page_table() + rest)
