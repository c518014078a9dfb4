"""The training loop: takes steps, validates, checkpoints, and restores the best weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from vaekit.errors import InputError, Interrupted, TrainingError
from vaekit_training.config import Config
from vaekit_training.data.batch import Batches, MemoryBatches, NetworkRows, RowTable
from vaekit_training.loop import checkpoint
from vaekit_training.loop.distributed import World
from vaekit_training.loop.guard import BadStep, StepRecord, worst
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.noise import Noise
from vaekit_training.loop.objective import Objective
from vaekit_training.loop.schedule import Schedule
from vaekit_training.loop.step import Step
from vaekit_training.loop.tracking import BestWeights, History, Validation, is_finite, warnings_of
from vaekit_training.loop.validation import Validator, most_rows
from vaekit_training.network_rows import refresh_prior
from vaekit_training.prior import Aggregate
from vaekit_training.vae import VAE

STOP_EVERY = 10  # with several ranks, number of steps between checks whether to stop


def fit(
    vae: VAE,
    train: RowTable | Batches,
    validation: NetworkRows,
    config: Config,
    *,
    components: RowTable | None = None,
    hooks: Hooks | None = None,
    world: World | None = None,
) -> History:
    """Minimise the config's objective over the training rows. Afterwards vae has the best weights.

    Validations are comparable once beta has its final value and the final prior is used. From then on the weights of
    the best validation are kept, and training stops after `patience` validations without a better one.

    Args:
        vae: the VAE to train, on the training device.
        train: training rows in model units, or batches of them.
        validation: validation rows in model units, on the training device.
        config: the run's config.
        components: rows of the training split, from which the aggregate prior takes its components; None: train.
        hooks: callbacks for progress, and where to save and resume.
        world: the ranks that share each batch.

    Returns:
        The validations, the best one measured on all validation rows, and warnings.

    Raises:
        TrainingError: a step was not finite, and all rollbacks are used up.
        Interrupted: `hooks.stop` returned true; the state is saved.
        InputError: the checkpoint is from a run with other data.
    """
    run = _Run(vae, train, validation, config, components, hooks or Hooks(), world or World())
    try:
        return run.finish()
    finally:
        run.release()


class _Run:
    """The state of one run, with everything that later steps depend on."""

    def __init__(
        self,
        vae: VAE,
        train: RowTable | Batches,
        validation: NetworkRows,
        config: Config,
        components: RowTable | None,
        hooks: Hooks,
        world: World,
    ) -> None:
        settings, device = config.training, next(vae.parameters()).device
        self._vae, self._config, self._hooks, self._world, self._device = vae, config, hooks, world, device
        self._components = train if components is None and not isinstance(train, Batches) else components
        self._batches: Batches = (
            train if isinstance(train, Batches) else MemoryBatches(train, settings.batch_size, settings.seed, device)
        )
        self._schedule = schedule = Schedule.of(config)
        shape = (self._batches.size, config.objective.num_samples, vae.latent_dim)
        self._noise = Noise(shape, settings.seed, device)
        most = most_rows(settings.evaluate_every, settings.batch_size)
        beta = schedule.final_beta
        self._validator = Validator(validation, config.objective, beta, vae.latent_dim, settings.seed, most)
        self._step = Step(vae, config, world)
        self._best = BestWeights(schedule.settled, settings.patience)
        self._record = StepRecord(world)
        self._steps_taken = 0
        self._is_done = False
        self._rollbacks = 0
        self._warnings: list[str] = []
        if hooks.resume:
            self._load()
        self._last_good = self._snapshot()

    def finish(self) -> History:
        """Take the remaining steps and restore the best weights."""
        while self._steps_taken < self._schedule.steps and not self._is_done:
            self._take_step()
            taken, settings = self._steps_taken, self._config.training
            validates = taken % settings.evaluate_every == 0 or taken == self._schedule.steps
            saves = self._hooks.checkpoint is not None and taken % settings.checkpoint_every == 0
            stops = self._stops()
            if validates or saves or stops:
                self._between_steps(validates=validates, saves=saves or stops)
            if stops:
                self._save()  # a rollback in _between_steps skips saving
                raise Interrupted(self._stopped_message())
        self._save()
        return self._history()

    def _stopped_message(self) -> str:
        where = self._hooks.checkpoint
        how = "" if where is None else f"; to resume: vae train --resume {where.parent}"
        return f"stopped after step {self._steps_taken} of {self._schedule.steps}{how}"

    def release(self) -> None:
        """Free the memory that only steps need."""
        self._step.flat.release()

    def _take_step(self) -> None:
        """Take the next step, and record its loss and gradient norm."""
        number = self._steps_taken + 1
        if self._schedule.uses_aggregate(number) and not self._schedule.uses_aggregate(self._steps_taken):
            self._refresh()
        batch = self._batch(number)
        rate = self._schedule.learning_rate(number) * 0.5**self._rollbacks
        loss, norm = self._step(batch, self._noise(number), self._schedule.beta(number), rate, number)
        mean_loss = loss if self._vae.members == 1 else loss / self._vae.members
        self._record.add(mean_loss, norm, self._step.objective.log_jacobian(batch))
        self._steps_taken = number
        if self._world.is_first:
            self._hooks.on_step(number)

    def _batch(self, number: int) -> NetworkRows:
        """The next batch; features that redraw draw its values again."""
        batch = next(self._batches)
        if not self._vae.features.redraws:
            return batch
        return replace(batch, t=self._vae.features.draw(batch.t, self._noise.of_features(number)))

    def _stops(self) -> bool:
        """Whether any rank must stop; with several ranks this is checked only every STOP_EVERY steps."""
        if self._world.size > 1 and self._steps_taken % STOP_EVERY:
            return False
        return self._world.any(self._hooks.stop(), self._device)

    def _between_steps(self, *, validates: bool, saves: bool) -> None:
        """Check the steps since the last call, then validate and save; roll back if a step was not finite."""
        bad = self._first_bad_step()
        if bad is None and validates:
            bad = self._validate()
        if bad is not None:
            self._roll_back(bad)
            return
        self._last_good = self._snapshot()
        if saves:
            self._save()

    def _first_bad_step(self) -> BadStep | None:
        is_fp16 = self._config.training.precision == "fp16"  # GradScaler itself skips steps with infinite gradients
        bad = self._record.first_bad(self._steps_taken, norms=not is_fp16)
        if bad is None and not self._step.is_finite():
            return BadStep(self._steps_taken, "a weight is not finite")
        return bad

    def _validate(self) -> BadStep | None:
        """Validate the weights that would be kept: the running mean, if there is one."""
        train_objective = self._record.objective()
        self._step.swap_weights()
        if self._schedule.uses_aggregate(self._steps_taken):
            self._refresh()
        step, beta = self._steps_taken, self._schedule.beta(self._steps_taken)
        validation = self._from_first_rank(lambda: self._validator.some(self._vae, step, beta, train_objective))
        good = is_finite(validation)
        if good:
            self._is_done = self._best.add(validation, self._vae)
        self._step.swap_weights()
        if not good:
            return BadStep(self._steps_taken, f"the objective on validation rows is {validation.objective}")
        self._record.clear()
        if self._world.is_first:
            if self._best.best is validation:
                self._hooks.on_best(validation)
            self._hooks.on_validation(validation)
        return None

    def _from_first_rank(self, measure: Callable[[], Validation]) -> Validation:
        validation: Validation = self._world.from_first(measure() if self._world.is_first else None)
        return validation

    def _refresh(self) -> None:
        """Update the aggregate prior with the current posteriors of its component rows."""
        assert self._components is not None
        refresh_prior(self._vae, self._components)

    def _roll_back(self, bad: BadStep) -> None:
        """Return to the last good state and halve the learning rate; raise after the last rollback."""
        since, left = self._last_good["at"], self._rollbacks < self._config.training.rollbacks
        what = f"step {bad.step}: {bad.reason}; {self._worst_rows(bad.step)}"
        if not left:
            raise TrainingError(
                f"{what}; gave up after {self._rollbacks} rollbacks: try a smaller training.learning_rate or a larger "
                "likelihood.scale_floor"
            )
        self._restore(self._last_good)
        self._rollbacks += 1
        self._warn(f"{what}; training continues from step {since} at half the learning rate")

    def _worst_rows(self, number: int) -> str:
        """Text that names the rows of a step's batch with the largest losses under the last good weights.

        It restores the last good state, and draws batches up to that step again.
        """
        self._restore(self._last_good)
        batch = self._batch(self._steps_taken + 1)
        for ahead in range(self._steps_taken + 2, number + 1):
            batch = self._batch(ahead)
        objective = Objective(self._vae, self._config.objective)
        eps, beta = self._noise(number), self._schedule.final_beta
        with torch.no_grad():
            each = [objective(batch.slice(i, i + 1), eps[i : i + 1], beta, 1.0) for i in range(len(batch))]
        return f"{worst(batch, torch.stack(each), self._hooks.rows)}, losses by the weights of step {self._steps_taken}"

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        if self._world.is_first:
            self._hooks.warn(text)

    def _snapshot(self) -> dict[str, Any]:
        """A copy of the state before the next step; all ranks must call this."""
        return {
            "at": self._steps_taken,
            "step": self._step.state_dict(),
            "batches": self._batches.state_dict(),
            "record": self._record.state_dict(),
        }

    def _restore(self, snapshot: dict[str, Any]) -> None:
        self._steps_taken = snapshot["at"]
        self._step.load_state_dict(snapshot["step"])
        self._batches.load_state_dict(snapshot["batches"])
        self._record.load_state_dict(snapshot["record"], self._device)

    def _save(self) -> None:
        """Write everything that the rest of the run depends on."""
        if self._hooks.checkpoint is None or not self._world.is_first:
            return
        more = {
            "signature": self._hooks.signature,
            "keeper": self._best.state_dict(),
            "done": self._is_done,
            "rollbacks": self._rollbacks,
            "warnings": self._warnings,
        }
        checkpoint.save(self._hooks.checkpoint, {**self._last_good, **more})

    def _load(self) -> None:
        assert self._hooks.checkpoint is not None
        state = checkpoint.load(self._hooks.checkpoint)
        if state["signature"] != self._hooks.signature:
            raise InputError(
                f"{self._hooks.checkpoint}: the run started with other data, sha256 {state['signature']}, not "
                f"{self._hooks.signature}: resume it with the data that it started with"
            )
        self._restore(state)
        self._best.load_state_dict(state["keeper"])
        self._is_done, self._rollbacks, self._warnings = state["done"], state["rollbacks"], state["warnings"]
        if self._best.best is not None and self._world.is_first:
            self._hooks.on_best(self._best.best)

    def _history(self) -> History:
        """Restore the best weights, and measure them on all validation rows."""
        best = self._best.best
        assert best is not None  # the last step is always validated, and is comparable
        self._vae.load_state_dict(self._best.weights)
        aggregate = isinstance(self._vae.prior, Aggregate)
        minimised = None
        if is_tempered := min(self._config.objective.betas) < 1:
            minimised = self._from_first_rank(lambda: self._validator.everything(self._vae, best)).objective
            self._vae.untemper(self._config.objective.betas)
        if aggregate and (is_tempered or self._schedule.switch is None):
            self._refresh()  # training used N(0, I), or the posteriors have just been converted to beta = 1
        scored = self._from_first_rank(lambda: self._validator.everything(self._vae, best))
        if minimised is not None:
            scored = replace(scored, objective=minimised)
        for text in warnings_of(scored, self._config.objective, aggregate=aggregate):
            self._warn(text)
        validations = tuple(self._best.validations)
        return History(validations, scored, validations[-1].step < self._schedule.steps, tuple(self._warnings))
