"""How a run goes: what is measured at a look at the validation rows, and what is to be said of it. Knows no optimiser.

N rows, D data dimensions, Z latent dimensions, K draws, a leading axis of M members where there are; nats, raw units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit_training.data.batch import Seen, generator
from vaekit_training.functional import log_mean_exp
from vaekit_training.loop.objective import relative_betas, total_log_jacobian
from vaekit_training.prior import kl_by_latent
from vaekit_training.sections import Objective
from vaekit_training.vae import VAE, Bound, codes, mixture

DRAWS = 8  # per row and look: enough that the choice of a stop is not one of luck
CELLS = 2**20  # N K D of one pass: large tensors now and then leave the heap larger than training needs it
ACTIVE = 0.01  # variance over rows of a latent dimension's mu above which it is in use: Burda et al. (2016), section 5
FEWEST_ROWS = 1000  # of a look, where there are so many
LOOK_SHARE = 16  # a look scores one row for so many rows trained on since the last


@dataclass(frozen=True)
class Look:
    """One look at the validation rows, means per row.

    With members, objective and the KL by latent dimension are means over members; the others are the mixture's.
    """

    step: int
    beta: float
    train_objective: float  # mean over the steps since the last look, at their beta
    objective: float  # validation rows, at the final beta: what training minimises
    of_weights: float  # the objective less what no weight changes: what looks are compared by
    elbo: float  # at beta = 1, whatever is minimised
    log_likelihood: float
    kl: float
    log_evidence: float  # the importance-weighted bound of the look's draws
    kl_by_latent: tuple[float, ...]  # KL(q(z_j|x) || N(0, 1)), (Z,)
    log_likelihood_by_feature: tuple[float, ...]  # (D,); a missing cell counts 0
    active_units: float  # latent dimensions in use; with members their mean


@dataclass(frozen=True)
class History:
    """Every look, the one whose weights were kept, and what a reader should know of the run."""

    looks: tuple[Look, ...]
    best: Look  # the kept weights, on all validation rows
    stopped_early: bool
    warnings: tuple[str, ...] = ()


def of_folds(histories: Sequence[History]) -> History:
    """Of fold models in one: at each step means over those that still trained, and those of the kept weights."""
    steps: dict[int, list[Look]] = {}
    for look in (look for history in histories for look in history.looks):
        steps.setdefault(look.step, []).append(look)
    return History(
        tuple(_mean(steps[step]) for step in sorted(steps)),
        _mean([history.best for history in histories]),
        any(history.stopped_early for history in histories),
        tuple(f"fold model {f}: {text}" for f, history in enumerate(histories) for text in history.warnings),
    )


def _mean(looks: Sequence[Look]) -> Look:
    """Their mean, field by field."""
    means: dict[str, Any] = {}
    for name in (field.name for field in fields(Look)):
        value = np.mean([getattr(look, name) for look in looks], axis=0).tolist()
        means[name] = tuple(value) if isinstance(value, list) else value
    return Look(**{**means, "step": round(means["step"])})


class Watch:
    """The validation rows and the draws they are scored with, the same at every look."""

    def __init__(self, rows: Seen, objective: Objective, beta: float, latent_dim: int, seed: int, most: int) -> None:
        """beta: the final one. most: rows of a look; `everything` takes them all."""
        self._rows, self._objective, self._beta = rows, objective, beta
        self._draws = max(DRAWS, objective.num_samples if objective.name == "iwae" else 1)
        self._latent_dim, self._seed, self._device = latent_dim, seed, rows.t.device
        self._some = rows
        if len(rows) > most:
            self._some = rows.take(torch.randperm(len(rows), generator=generator(seed, 5))[:most].sort().values)

    def look(self, vae: VAE, step: int, beta: float, train_objective: float) -> Look:
        """Score some of the rows, always the same."""
        return self._look(vae, self._some, step, beta, train_objective)

    def everything(self, vae: VAE, look: Look) -> Look:
        """That look of the kept weights, over all rows."""
        return self._look(vae, self._rows, look.step, look.beta, look.train_objective)

    @torch.no_grad()
    def _look(self, vae: VAE, rows: Seen, step: int, beta: float, train_objective: float) -> Look:
        eps = generator(self._seed, 4, device=self._device)
        size = max(1, CELLS // (self._draws * rows.t.shape[1] * vae.members))
        pieces = [self._score(vae, piece, eps) for piece in rows.split(size)]
        total = {name: torch.stack([piece[name] for piece in pieces]).sum(0) / len(rows) for name in pieces[0]}
        variance = total["mu_squared"] - total["mu"] ** 2  # (..., Z)
        log_likelihood, kl, by_latent = float(total["log_likelihood"]), float(total["kl"]), total["kl_by_latent"]
        return Look(
            step, beta, train_objective,
            objective=self._value(total, "member"),
            of_weights=self._value(total, "varying"),
            elbo=log_likelihood - kl,
            log_likelihood=log_likelihood,
            kl=kl,
            log_evidence=float(total["log_evidence"]),
            kl_by_latent=tuple(by_latent.reshape(-1, by_latent.shape[-1]).mean(0).tolist()),
            log_likelihood_by_feature=tuple(total["by_feature"].tolist()),
            active_units=float((variance > ACTIVE).double().sum(-1).mean()),
        )  # fmt: skip

    def _value(self, total: dict[str, Tensor], which: str) -> float:
        """The training objective at the final beta, mean over members; "varying": of columns that are not constant."""
        if self._objective.name == "iwae":
            return -float(total[f"{which}_bound"].mean())
        kl = total["member_kl"]  # (...)
        if free := self._objective.free_bits:
            kl = total["kl_by_latent"].clamp_min(free).sum(-1)
        if (relative := relative_betas(self._objective, kl)) is not None:
            kl = kl * relative[:, 0]
        return float((self._beta * kl - total[f"{which}_log_likelihood"]).mean())

    def _score(self, vae: VAE, rows: Seen, draws: torch.Generator) -> dict[str, Tensor]:
        """Sums over rows, float64.

        Those called varying leave constant columns out: a validation row whose value differs there is odd by up to
        10^18 nats whatever the weights are, and beside that what they decide would be lost.
        """
        shape = (len(rows), self._draws, self._latent_dim)
        eps = torch.randn(shape, generator=draws, device=self._device, dtype=rows.t.dtype)  # (N, K, Z)
        mu, sigma = vae.posterior(rows.t, rows.observed)  # each (..., N, Z)
        z = codes(mu, sigma, eps)  # (..., N, K, Z)
        per_feature = vae.log_prob(rows.t, z, rows.observed)  # (..., N, K, D)
        jacobian = vae.features.log_jacobian(rows.t)  # (D,) or (N, D)
        seen = per_feature.sum(-1).double()  # in the units that networks see
        log_p = seen + total_log_jacobian(jacobian, rows.observed)[..., None]  # (..., N, K)
        log_p_varying = seen  # (..., N, K)
        if not vae.features.all_active:
            log_p_varying = torch.where(vae.features.active, per_feature, 0.0).sum(-1).double()
        log_ratio = vae.prior.log_ratio(sigma, z, eps).double()  # (..., N, K)
        log_w = log_p + log_ratio
        drawn = slice(max(2, self._objective.num_samples))
        kl = vae.prior.kl(mu, sigma).double()  # (..., N)
        log_likelihood = log_p.mean(-1)  # (..., N)
        there = jacobian if rows.observed is None else torch.where(rows.observed, jacobian, 0.0)
        by_feature = per_feature.mean(-2).double() + there  # (..., N, D)
        bound = Bound(log_likelihood - kl, log_likelihood, kl, log_mean_exp(log_w), by_feature)
        whole = bound if vae.members == 1 else mixture(bound)
        mu = mu.double()
        return {
            "log_likelihood": whole.log_likelihood.sum(-1),
            "kl": whole.kl.sum(-1),
            "log_evidence": whole.log_evidence.sum(-1),
            "by_feature": whole.feature_log_likelihood.sum(-2),
            "member_log_likelihood": bound.log_likelihood.sum(-1),
            "varying_log_likelihood": log_p_varying.mean(-1).sum(-1),
            "member_kl": bound.kl.sum(-1),
            "member_bound": log_mean_exp(log_w[..., drawn]).sum(-1),
            "varying_bound": log_mean_exp((log_p_varying + log_ratio)[..., drawn]).sum(-1),
            "kl_by_latent": kl_by_latent(mu, sigma.double()).sum(-2),
            "mu": mu.sum(-2),
            "mu_squared": (mu * mu).sum(-2),
        }


class Keeper:
    """Keeps the weights of the best look once the objective is what it is at the end, and says when to stop."""

    def __init__(self, settled: int, patience: int) -> None:
        """settled: the first step whose looks compare; patience: looks without a better one before stopping."""
        self._settled, self._patience = settled, patience
        self.looks: list[Look] = []
        self.best: Look | None = None
        self.weights: dict[str, Tensor] = {}

    def is_done(self, look: Look, vae: VAE) -> bool:
        """Take in a look; true after `patience` looks without a better one."""
        self.looks.append(look)
        if look.step < self._settled:
            return False
        if self.best is None or look.of_weights < self.best.of_weights:
            self.best, self.weights = look, {name: value.clone() for name, value in vae.state_dict().items()}
            return False
        return sum(later.step > self.best.step for later in self.looks) >= self._patience

    def state_dict(self) -> dict[str, Any]:
        looks = [asdict(look) for look in self.looks]
        return {"looks": looks, "best": None if self.best is None else asdict(self.best), "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.looks = [Look(**look) for look in state["looks"]]
        self.best = None if state["best"] is None else Look(**state["best"])
        self.weights = state["weights"]


def warnings_of(look: Look, objective: Objective, *, aggregate: bool) -> list[str]:
    """What to say of the kept weights."""
    found = []
    free = objective.free_bits
    if objective.name == "iwae":
        found.append(
            f"training minimised the importance-weighted bound of {objective.num_samples} draws, which is "
            f"{-look.objective:.4g} nats; what is scored is the ELBO, {look.elbo:.4g} nats, which the encoder was not "
            "fitted to"
        )
    elif set(objective.betas) != {1.0} or any(kl < free for kl in look.kl_by_latent):
        is_plain = set(objective.betas) == {1.0}
        what = f"objective.free_bits = {free:g}" if is_plain else f"objective.beta = {objective.shown_beta}"
        found.append(
            f"{what}: training ended at an objective of {look.objective:.4g} nats and not at the ELBO, which is "
            f"{look.elbo:.4g} nats and is what is scored; beta = 1 and free_bits = 0 would train that"
        )
    count = len(look.kl_by_latent)
    if look.active_units < 0.5 * count:
        cures = ", ".join([*_cures(objective, aggregate=aggregate), "more training.steps"])
        found.append(
            f"posterior collapse: the decoder uses {look.active_units:g} of {count} latent dimensions; try {cures}, or "
            "a smaller network.latent_dim for the same ELBO"
        )
    return found


def _cures(objective: Objective, *, aggregate: bool) -> list[str]:
    """What lets codes be learned before they cost, and has not been tried."""
    if objective.name == "iwae":
        return ["objective.name = 'elbo', which can warm up"]
    cures = ["a longer objective.warmup"] if objective.schedule != "constant" else ["objective.schedule = 'linear'"]
    cures += ["objective.schedule = 'cyclical'"] if objective.schedule != "cyclical" else []
    return cures + (["objective.free_bits = 0.1"] if not (aggregate or objective.free_bits) else [])


def most_rows(evaluate_every: int, batch_size: int) -> int:
    """Rows of a look, so that looks stay a small part of the work whatever the number of validation rows."""
    return max(FEWEST_ROWS, evaluate_every * batch_size // LOOK_SHARE)


def is_finite(look: Look) -> bool:
    return math.isfinite(look.objective) and math.isfinite(look.train_objective)
