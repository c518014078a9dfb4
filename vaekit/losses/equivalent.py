"""What a VAE loss written elsewhere equals here: sigma, beta, a factor, constants. Arithmetic alone; knows no names.

D data dimensions, Z latent dimensions, B rows of a batch; E a row's error summed over D, KL a row's KL summed over Z.

    foreign = mean over rows of  a E + b KL                 what was averaged, weighted or halved goes into a and b
    ours    = mean over rows of  -log p(x|z) + beta KL      nats
    foreign = factor (ours - constant)                      the gradients differ by the factor alone

    E = SSE   -log p = SSE / (2 sigma^2) + (D/2) log(2 pi sigma^2)
              factor = 2 a sigma^2,  beta = b / (2 a sigma^2);  the exact ELBO, beta = 1, at sigma^2 = b / (2a)
    E = BCE   -log p = BCE where x is 0 or 1;  factor = a,  beta = b / a
    E = -log p of any other density, as it is:  factor = a,  beta = b / a
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vaekit.losses.foreign import ForeignLoss, Setting, log_normaliser


@dataclass(frozen=True)
class Equivalent:
    """One way of saying it here: foreign = factor (ours - constant)."""

    sigma: float | None  # of x in the loss's units; None where the likelihood has no scale to fix
    beta: float
    factor: float  # foreign gradient = factor x ours
    constant: float  # nats per row that foreign leaves out; 0 where it leaves out none
    settings: tuple[tuple[str, Setting], ...]  # (section, (key, value))

    only_if: str | None = None  # what must hold besides

    @property
    def config(self) -> str:
        """The lines of a config.toml."""
        return lines(self.settings)


@dataclass(frozen=True)
class Explanation:
    """What a loss is, and what it equals here."""

    loss: ForeignLoss
    formula: str
    a: float
    b: float
    equivalents: tuple[Equivalent, ...]  # none where the KL has no weight
    instead: str | None  # lines of a config to take instead, where the loss is not an ELBO's
    notes: tuple[str, ...]


def explain(loss: ForeignLoss) -> Explanation:
    """The settings here that have the gradient of a foreign loss up to a factor, and what it leaves out."""
    a, b = loss.per_row
    equivalents: tuple[Equivalent, ...] = ()
    if b > 0:
        equivalents = tuple(_gaussians(loss)) if loss.is_squared else (_direct(loss),)
    return Explanation(loss, loss.formula, a, b, equivalents, _instead(loss), tuple(_notes(loss)))


def _gaussians(loss: ForeignLoss) -> Iterator[Equivalent]:
    """At beta = 1, and at the loss's own scale, or 1 where it has none."""
    a, b = loss.per_row
    exact, own = math.sqrt(b / (2 * a)), loss.scale or 1.0
    yield _gaussian(loss, exact, beta=1.0, factor=b)
    if not math.isclose(exact, own, rel_tol=1e-12):
        factor = 2 * a * own**2
        yield _gaussian(loss, own, beta=b / factor, factor=factor)


def _gaussian(loss: ForeignLoss, sigma: float, beta: float, factor: float) -> Equivalent:
    constant = log_normaliser(loss.dim or 1, sigma) - loss.included / factor
    scale = sigma / (loss.std or 1.0)
    scaling: list[tuple[str, Setting]] = []
    if loss.units in ("unit", "symmetric"):
        scaling.append(("network", ("scaling", loss.units)))
    ours: list[tuple[str, Setting]] = [("likelihood", ("name", "gaussian")), ("likelihood", ("scale", scale))]
    return Equivalent(sigma, beta, factor, constant, (*scaling, *ours, *_objective(beta)))


def _direct(loss: ForeignLoss) -> Equivalent:
    a, b = loss.per_row
    bernoulli = (("name", "bernoulli"), ("binarize", "dynamic")) if loss.grey else (("name", "bernoulli"),)
    settings = (*(("likelihood", setting) for setting in loss.ours or bernoulli), *_objective(b / a))
    return Equivalent(None, b / a, a, 0.0, settings, "x is binarised" if loss.grey else None)


def _objective(beta: float) -> tuple[tuple[str, Setting], ...]:
    return ("objective", ("beta", beta)), ("objective", ("schedule", "constant"))


def _instead(loss: ForeignLoss) -> str | None:
    """A likelihood that is a density of the same data, at beta = 1; None where the loss has one."""
    _, b = loss.per_row
    if loss.error == "bce" and loss.grey:
        ours: tuple[Setting, ...] = (("name", "continuous_bernoulli"),)
    elif loss.is_squared:
        ours = (("name", "gaussian"), ("scale", "network"))
    elif b == 0:
        ours = loss.ours or (("name", "bernoulli"),)
    else:
        return None
    return lines((*(("likelihood", setting) for setting in ours), *_objective(1.0)))


def _notes(loss: ForeignLoss) -> Iterator[str]:
    a, b = loss.per_row
    if b == 0:
        yield (
            "the KL has no weight, hence no gradient: an autoencoder with noise in its code. No likelihood has it as "
            "its ELBO: sigma -> 0 comes nearest, whose density runs away"
        )
    if loss.is_squared and b > 0:
        yield from _notes_on_sigma(loss, math.sqrt(b / (2 * a)))
    if loss.error == "bce":
        yield _GREY if loss.grey else _BINARY
    if not loss.is_squared and b > 0 and not math.isclose(a, b):
        yield f"beta = {b / a:.6g}, and no scale to absorb it: not the ELBO of this likelihood"
    if loss.over_rows == loss.kl_over_rows == "sum" and loss.batch_size is None:
        yield "both terms are summed over the batch: the factor is that of one row, times the rows of a batch"


def _notes_on_sigma(loss: ForeignLoss, sigma: float) -> Iterator[str]:
    yield (
        f"as an ELBO it supposes a root mean squared error of {sigma:.6g} in every column. Where the fit has a smaller "
        'one the KL weighs too much, where a larger one too little; likelihood.scale = "shared" learns it'
    )
    yield f"with a linear decoder, directions of the data whose variance is below sigma^2 = {sigma**2:.6g} get no code"
    yield (
        "constants are in the units that the loss sees; in raw units the negative ELBO has the sum of the logarithms "
        "of the columns' standard deviations besides"
    )
    if loss.units in ("unit", "symmetric"):
        yield (
            "on uint8 pictures a gaussian is here the mass of a pixel's bin, with open ends: a proper likelihood, and "
            "the squared error's only where sigma is large against a bin and small against the range"
        )
    if loss.units == "raw":
        yield "one scale counts here in each column's own standard deviation: equal only where those are equal"


_BINARY = "for x of 0 and 1 alone BCE is -log p(x|z), and nothing is left out; grey values between make it no density"
_GREY = (
    "x lies between 0 and 1: BCE is then no -log p(x|z). It lacks a normaliser that depends on the decoder, and cannot "
    "fall below the entropy of the grey values. Take continuous_bernoulli; or bernoulli with binarize = 'threshold' or "
    "'dynamic' (given a code, BCE is the mean over the draws of 'dynamic'); or gaussian or discretized_logistic on "
    "pixels"
)


def lines(settings: Iterable[tuple[str, Setting]]) -> str:
    """Settings as the lines of a config.toml."""
    sections: dict[str, list[str]] = {}
    for section, (key, value) in settings:
        text = f'"{value}"' if isinstance(value, str) else repr(_rounded(value))
        sections.setdefault(section, [f"[{section}]"]).append(f"{key} = {text}")
    return "\n\n".join("\n".join(section) for section in sections.values())


def _rounded(value: float) -> float:
    """Without the rounding of the arithmetic: 784 and not 784.0000000000001."""
    return value if isinstance(value, int) else float(f"{value:.12g}")
