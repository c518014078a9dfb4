"""Describes in one sentence the loss that a vaekit run minimised, in its own terms and in common conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vaekit.losses.foreign import log_normaliser

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Manifest

Scale = str | float | None


def sentence(
    *,
    likelihood: str,
    dim: int,
    latent_dim: int,
    scale: Scale = None,
    beta: float | Sequence[float] = 1.0,
    objective: str = "elbo",
    num_samples: int = 1,
    free_bits: float = 0.0,
    members: int = 1,
    mass: bool = False,
) -> str:
    """The minimised loss of a row, and its form in common conventions.

    Args:
        likelihood: name of the likelihood.
        dim: D.
        latent_dim: Z.
        scale: "network", "feature", "shared" or a fixed number, as in the config; None if there is none.
        beta: weight of the KL at the end of training, one for all members or one for each.
        objective: "elbo" or "iwae".
        num_samples: K of training.
        free_bits: nats of KL per latent dimension that cost nothing.
        members: M.
        mass: the likelihood is a probability of bins, pixels or levels, not a density.
    """
    rows = "" if members == 1 else f"for each of {members} members "
    rows += "the mean over rows of "
    if objective == "iwae":
        return (
            f"Minimised was {rows}-log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x) with K = {num_samples}, in nats, "
            f"{_error(likelihood, dim)}: the importance-weighted bound, which is never below the ELBO in expectation, "
            "and equals no weighting of a reconstruction error and a KL."
        )
    betas = [float(beta)] if isinstance(beta, int | float) else list(beta)
    factor = _times(betas[0]) if len(set(betas)) == 1 else f"beta ({', '.join(f'{b:g}' for b in betas)} by member) "
    terms = f"-log p(x|z) + {factor}KL(q(z|x) || p(z))"
    over = f"{latent_dim} latent dimension{'s' if latent_dim > 1 else ''}"
    said = f"Minimised was {rows}{terms} in nats, {_error(likelihood, dim)} and the KL over {over}: "
    return said + _what(likelihood, scale, min(betas), dim, mass) + _free(free_bits, latent_dim) + "."


def sentence_of(manifest: Manifest) -> str:
    """The sentence for the run that made a bundle, from the config in its manifest."""
    config = manifest.provenance.config
    if manifest.prior.name == "kernel":
        return (
            "Nothing was minimised by steps: z is the standardised row, p(x|z) is fixed, and the kernels of the prior "
            "were chosen by the log density of training rows that were left out."
        )
    if not {"likelihood", "objective"} <= set(config):
        return "What was minimised is not recorded in the bundle."
    objective = config["objective"]
    return sentence(
        likelihood=manifest.likelihood.name,
        dim=manifest.input.dim,
        latent_dim=manifest.latent_dim,
        scale=config["likelihood"].get("scale"),
        beta=objective.get("beta", 1.0),
        objective=objective.get("name", "elbo"),
        num_samples=objective.get("num_samples", 1),
        free_bits=objective.get("free_bits", 0.0),
        members=manifest.members,
        mass=manifest.likelihood.mass,
    )


def _error(likelihood: str, dim: int) -> str:
    return f"the {likelihood.replace('_', ' ')} likelihood summed over {dim} dimension{'s' if dim > 1 else ''}"


def _what(likelihood: str, scale: Scale, beta: float, dim: int, mass: bool) -> str:
    if likelihood == "gaussian" and isinstance(scale, float | int) and not mass:
        return _fixed(float(scale), beta, dim)
    if likelihood == "bernoulli":
        return f"as summed binary cross-entropy + {_times(beta)}KL on x of 0 and 1" + _bound(beta)
    if likelihood == "gaussian" and not mass:
        learned = {"network": "from the decoder", "feature": "one a column", "shared": "one for all columns"}
        return (
            f"no fixed weighting of squared error and KL, because the scale s is learned "
            f"({learned.get(str(scale), scale)}) and log s is part of the loss; for a constant s, mean squared error + "
            f"{2 * beta / dim:.6g} s^2 KL" + _bound(beta)
        )
    kind = "probability" if mass else "density"
    return f"no squared error or cross-entropy, but the full negative log-{kind}" + _bound(beta)


def _fixed(sigma: float, beta: float, dim: int) -> str:
    """SSE / (2 sigma^2) + beta KL, in common forms."""
    weight = 2 * sigma**2 * beta / dim
    forms = f"as mean squared error + {weight:.6g} KL, or 0.5 SSE + {sigma**2 * beta:.6g} KL"
    constant = f"plus a constant of {log_normaliser(dim, sigma):.6g} nats, with columns in their standard deviations"
    if beta == 1:
        return f"{forms}, {constant}; the exact negative ELBO"
    return f"{forms}, {constant}; the optimum of the exact negative ELBO at a scale of {sigma * beta**0.5:.6g}"


def _bound(beta: float) -> str:
    if beta == 1:
        return "; the exact negative ELBO"
    side = "a looser bound than the ELBO" if beta > 1 else "above the ELBO and not a bound"
    return f"; its negative is {side} unless the KL is 0, so the ELBO at beta = 1 is reported as well"


def _free(free_bits: float, latent_dim: int) -> str:
    if not free_bits:
        return ""
    return (
        f"; but up to {free_bits:g} nats of KL in each latent dimension, {free_bits * latent_dim:g} in all, cost "
        "nothing, and while that applies the loss is not the ELBO"
    )


def _times(beta: float) -> str:
    return "" if beta == 1 else f"{beta:g} "
