"""Values that change from step to step: beta, the learning rate, and which prior is used."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vaekit_training.config import Config


@dataclass(frozen=True)
class Schedule:
    """The values of beta, learning rate and prior at steps 1, 2, ... of a run."""

    steps: int
    learning_rate_at_start: float
    final_beta: float  # the largest one if members differ
    cycle: float  # number of steps of a cycle; without cycles that of the run
    warm_up: int  # number of steps at the start of a cycle over which beta grows
    switch: int | None  # last step that uses N(0, I) before the aggregate prior; None: training never switches

    @classmethod
    def of(cls, config: Config) -> Schedule:
        """The schedule that a config defines."""
        steps, objective, prior = config.training.steps, config.objective, config.prior
        is_elbo = objective.name == "elbo"  # the importance-weighted bound has no beta
        cycle = steps / objective.cycles if is_elbo and objective.schedule == "cyclical" else float(steps)
        warm_up = round(objective.warmup * cycle) if is_elbo and objective.schedule != "constant" else 0
        switches = prior.name == "aggregate" and prior.start < 1
        switch = min(round(prior.start * steps), steps - 1) if switches else None
        beta = max(objective.betas) if is_elbo else 1.0
        return cls(steps, config.training.learning_rate, beta, cycle, warm_up, switch)

    def beta(self, step: int) -> float:
        """Weight of the KL: final_beta min(1, s / warm_up), where s is the number of the step within its cycle."""
        within = step - self._start_of_cycle(step)
        return self.final_beta * min(1.0, within / max(self.warm_up, 1))

    def learning_rate(self, step: int) -> float:
        """learning_rate_at_start (1 + cos(pi (step - 1) / steps)) / 2."""
        return self.learning_rate_at_start * 0.5 * (1.0 + math.cos(math.pi * (step - 1) / self.steps))

    @property
    def settled(self) -> int:
        """The first step with the final beta and prior; validations before it are not comparable with later ones."""
        last_cycle = self._start_of_cycle(self.steps)
        return max(last_cycle + self.warm_up, 1 if self.switch is None else self.switch + 1)

    def uses_aggregate(self, step: int) -> bool:
        """Whether this step uses the aggregate prior."""
        return self.switch is not None and step > self.switch

    def _start_of_cycle(self, step: int) -> int:
        """The last step before the cycle of this step."""
        return int(int((step - 1) / self.cycle) * self.cycle)
