"""Computes the settings of vaekit that are equivalent to a foreign VAE loss: sigma, beta, a factor, constants.

D data dimensions, Z latent dimensions, B rows of a batch; E a row's error summed over D, KL a row's KL summed over Z.

    foreign = mean over rows of  a E + b KL                 all means, weights and halves are in a and b
    ours    = mean over rows of  -log p(x|z) + beta KL      nats
    foreign = factor (ours - constant)                      the gradients differ only by the factor

    E = SSE   -log p = SSE / (2 sigma^2) + (D/2) log(2 pi sigma^2)
              factor = 2 a sigma^2,  beta = b / (2 a sigma^2);  the exact ELBO, beta = 1, at sigma^2 = b / (2a)
    E = BCE   -log p = BCE where x is 0 or 1;  factor = a,  beta = b / a
    E = -log p of any other density:  factor = a,  beta = b / a
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vaekit.losses.foreign import ForeignLoss, Setting, log_normaliser


@dataclass(frozen=True)
class Equivalent:
    """One equivalent in vaekit's settings: foreign = factor (ours - constant)."""

    sigma: float | None  # of x in the loss's units; None if the likelihood has no fixed scale
    beta: float
    factor: float  # foreign gradient = factor x ours
    constant: float  # nats per row that the foreign loss leaves out; 0 if none
    settings: tuple[tuple[str, Setting], ...]  # (section, (key, value))

    only_if: str | None = None  # a further condition

    @property
    def config(self) -> str:
        """The settings as lines of a config.toml."""
        return lines(self.settings)


@dataclass(frozen=True)
class Explanation:
    """A foreign loss and its equivalents in vaekit's settings."""

    loss: ForeignLoss
    formula: str
    a: float
    b: float
    equivalents: tuple[Equivalent, ...]  # empty if the KL has no weight
    instead: str | None  # recommended lines of a config, if the loss is not that of an ELBO
    notes: tuple[str, ...]


def explain(loss: ForeignLoss) -> Explanation:
    """vaekit's settings with the gradient of a foreign loss up to a factor, and the constants that it leaves out."""
    a, b = loss.per_row
    equivalents: tuple[Equivalent, ...] = ()
    if b > 0:
        equivalents = tuple(_gaussians(loss)) if loss.is_squared else (_direct(loss),)
    return Explanation(loss, loss.formula, a, b, equivalents, _instead(loss), tuple(_notes(loss)))


def _gaussians(loss: ForeignLoss) -> Iterator[Equivalent]:
    """The equivalents at beta = 1, and at the loss's own scale, or 1 if it has none."""
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
    """Settings of a likelihood that is a density of the same data, at beta = 1; None if the loss has one."""
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
            "the KL has no weight, hence no gradient: this is an autoencoder with noise in its latents, and the ELBO "
            "of no likelihood. The limit sigma -> 0 is the nearest, but its density is unbounded"
        )
    if loss.is_squared and b > 0:
        yield from _notes_on_sigma(loss, math.sqrt(b / (2 * a)))
    if loss.error == "bce":
        yield _GREY if loss.grey else _BINARY
    if not loss.is_squared and b > 0 and not math.isclose(a, b):
        yield f"beta = {b / a:.6g}, and there is no scale to absorb it: not the ELBO of this likelihood"
    if loss.over_rows == loss.kl_over_rows == "sum" and loss.batch_size is None:
        yield "both terms are summed over the batch: multiply the factor by the number of rows in a batch"


def _notes_on_sigma(loss: ForeignLoss, sigma: float) -> Iterator[str]:
    yield (
        f"as an ELBO it assumes a root mean squared error of {sigma:.6g} in every column. If the error of the fit is "
        "smaller, the KL has too much weight; if it is larger, too little. "
        'likelihood.scale = "shared" learns the scale'
    )
    yield f"with a linear decoder, directions of the data with variance below sigma^2 = {sigma**2:.6g} get no latent"
    yield (
        "constants are in the units of the loss; in raw units the negative ELBO also contains the sum of the "
        "logarithms of the columns' standard deviations"
    )
    if loss.units in ("unit", "symmetric"):
        yield (
            "on uint8 images vaekit's gaussian is the mass of a pixel's bin, with open ends. This is a proper "
            "likelihood; it equals the squared error only if sigma is large against a bin and small against the range"
        )
    if loss.units == "raw":
        yield "vaekit's scale is in standard deviations of each column: the two are equal only if those are equal"


_BINARY = "if x is only 0 or 1, BCE is -log p(x|z), and nothing is left out; with grey values it is not a density"
_GREY = (
    "x lies between 0 and 1, so BCE is not -log p(x|z): it lacks a normaliser that depends on the decoder, and cannot "
    "fall below the entropy of the grey values. Use continuous_bernoulli; or bernoulli with binarize = 'threshold' or "
    "'dynamic' (given a latent, BCE is the mean over the draws of 'dynamic'); or gaussian or discretized_logistic on "
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
    """The value without rounding errors: 784, not 784.0000000000001."""
    return value if isinstance(value, int) else float(f"{value:.12g}")
