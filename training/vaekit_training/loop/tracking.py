"""The history of a run: validations, the best weights so far, and warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from torch import Tensor

from vaekit_training.sections import ObjectiveConfig
from vaekit_training.vae import VAE

ACTIVE = 0.01  # a latent dimension is active if Var_x[mu_j] exceeds it: Burda et al. (2016), section 5


@dataclass(frozen=True)
class Validation:
    """One measurement on validation rows during training, in nats, means over rows.

    With members, the objective and the KL by latent dimension are means over members; other values are the mixture's.
    """

    step: int
    beta: float
    train_objective: float  # mean over the steps since the last validation, at their beta
    objective: float  # the training loss on validation rows, at the final beta
    of_weights: float  # the objective without constant columns, which no weight changes; decides which is best
    elbo: float  # at beta = 1, for any objective
    log_likelihood: float
    kl: float
    log_evidence: float  # the importance-weighted bound with the draws of validation
    kl_by_latent: tuple[float, ...]  # KL(q(z_j|x) || N(0, 1)), (Z,)
    log_likelihood_by_feature: tuple[float, ...]  # (D,); missing cells count as 0
    active_units: float  # number of active latent dimensions; with members the mean over members
    elbo_standard_error: float = 0.0  # of the mean over rows with their own draws; 0 in older checkpoints


@dataclass(frozen=True)
class History:
    """All validations, the one whose weights were kept, and warnings about the run."""

    validations: tuple[Validation, ...]
    best: Validation  # of the kept weights, measured on all validation rows
    stopped_early: bool  # before the last step
    warnings: tuple[str, ...] = ()


def of_folds(histories: Sequence[History]) -> History:
    """Merges the histories of fold models: at each step the mean over the fold models that were validated there.

    The fold models share their validation rows, so their mean standard error is an upper limit of the mean's.
    """
    steps: dict[int, list[Validation]] = {}
    for validation in (validation for history in histories for validation in history.validations):
        steps.setdefault(validation.step, []).append(validation)
    return History(
        tuple(_mean(steps[step]) for step in sorted(steps)),
        _mean([history.best for history in histories]),
        any(history.stopped_early for history in histories),
        tuple(f"fold model {f}: {text}" for f, history in enumerate(histories) for text in history.warnings),
    )


def _mean(validations: Sequence[Validation]) -> Validation:
    """The mean of validations, field by field."""
    means: dict[str, Any] = {}
    for name in (field.name for field in fields(Validation)):
        value = np.mean([getattr(validation, name) for validation in validations], axis=0).tolist()
        means[name] = tuple(value) if isinstance(value, list) else value
    return Validation(**{**means, "step": round(means["step"])})


class BestWeights:
    """Keeps the weights of the best comparable validation, and decides when to stop."""

    def __init__(self, settled: int, patience: int) -> None:
        """
        Args:
            settled: the first step whose validation is comparable with later ones.
            patience: number of validations without a better one, after which training stops.
        """
        self._settled, self._patience = settled, patience
        self.validations: list[Validation] = []
        self.best: Validation | None = None
        self.weights: dict[str, Tensor] = {}

    def add(self, validation: Validation, vae: VAE) -> bool:
        """Add a validation of the VAE; returns true, to stop, after `patience` validations without a better one."""
        self.validations.append(validation)
        if validation.step < self._settled:
            return False
        if self.best is None or validation.of_weights < self.best.of_weights:
            self.best, self.weights = validation, {name: value.clone() for name, value in vae.state_dict().items()}
            return False
        return sum(later.step > self.best.step for later in self.validations) >= self._patience

    def state_dict(self) -> dict[str, Any]:
        validations = [asdict(validation) for validation in self.validations]
        return {"looks": validations, "best": None if self.best is None else asdict(self.best), "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.validations = [Validation(**validation) for validation in state["looks"]]
        self.best = None if state["best"] is None else Validation(**state["best"])
        self.weights = state["weights"]


def warnings_of(validation: Validation, objective: ObjectiveConfig, *, aggregate: bool) -> list[str]:
    """Warnings about the kept weights: another objective than the ELBO, posterior collapse.

    A list of betas up to 1, as in the default recipe, says how much detail the latents of each member carry; it is no
    reason to warn, because training converts such members to beta = 1.
    """
    found = []
    by_member = isinstance(objective.beta, tuple) and max(objective.betas) <= 1
    free = objective.free_bits
    if objective.name == "iwae":
        found.append(
            f"training minimised the importance-weighted bound of {objective.num_samples} draws, which is "
            f"{-validation.objective:.4g} nats; rows are scored by the ELBO, {validation.elbo:.4g} nats, for which the "
            "encoder was not trained"
        )
    elif (set(objective.betas) != {1.0} and not by_member) or any(kl < free for kl in validation.kl_by_latent):
        is_plain = set(objective.betas) == {1.0}
        what = f"objective.free_bits = {free:g}" if is_plain else f"objective.beta = {objective.shown_beta}"
        found.append(
            f"{what}: training ended at an objective of {validation.objective:.4g} nats; rows are scored by the ELBO, "
            f"{validation.elbo:.4g} nats; to train the ELBO itself, set beta = 1 and free_bits = 0"
        )
    count = len(validation.kl_by_latent)
    if validation.active_units < 0.5 * count:
        cures = ", ".join([*_cures(objective, aggregate=aggregate), "more training.steps"])
        found.append(
            f"posterior collapse: the decoder uses {validation.active_units:g} of {count} latent dimensions; try "
            f"{cures}, or a smaller network.latent_dim for the same ELBO"
        )
    return found


def _cures(objective: ObjectiveConfig, *, aggregate: bool) -> list[str]:
    """Settings that help against posterior collapse and that the run does not have yet."""
    if objective.name == "iwae":
        return ["objective.name = 'elbo', which has a warm-up"]
    cures = ["a longer objective.warmup"] if objective.schedule != "constant" else ["objective.schedule = 'linear'"]
    cures += ["objective.schedule = 'cyclical'"] if objective.schedule != "cyclical" else []
    return cures + (["objective.free_bits = 0.1"] if not (aggregate or objective.free_bits) else [])


def is_finite(validation: Validation) -> bool:
    """Whether the objectives of a validation are finite."""
    return math.isfinite(validation.objective) and math.isfinite(validation.train_objective)
