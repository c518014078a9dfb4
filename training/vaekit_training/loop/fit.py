"""The training loop: takes batches of rows, leaves the best weights."""

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
from vaekit_training.loop.guard import Bad, StepRecord, worst
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

STOP_EVERY = 10  # steps between two checks of all ranks whether to stop


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
    """Minimise the objective of config over the training rows; leaves the best weights in vae.

    Once beta has reached its final value and the prior is in use, validations are comparable: the weights of the best
    validation are kept, and training stops after `patience` validations without a better one.

    Args:
        vae: on the device to train on.
        train: rows as the networks see them, or a source of batches of them.
        validation: rows as the networks see them, on that device.
        config: steps, rates, seed.
        components: rows by their number in the training split, for the aggregate prior; if none, train.
        hooks: receive progress; where to save and resume.
        world: the ranks that share each batch.

    Raises:
        TrainingError: a step was not finite, and all rollbacks are used up.
        Interrupted: the run was told to stop; the state is saved.
        InputError: the checkpoint is from another run.
    """
    run = _Run(vae, train, validation, config, components, hooks or Hooks(), world or World())
    try:
        return run.finish()
    finally:
        run.release()


class _Run:
    """One run; its state holds everything that the next step depends on."""

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
        """Take the remaining steps, and restore the best weights."""
        while self._steps_taken < self._schedule.steps and not self._is_done:
            self._take_step()
            taken, settings = self._steps_taken, self._config.training
            validates = taken % settings.evaluate_every == 0 or taken == self._schedule.steps
            saves = self._hooks.checkpoint is not None and taken % settings.checkpoint_every == 0
            stops = self._stops()
            if validates or saves or stops:
                self._between_steps(validates=validates, saves=saves or stops)
            if stops:
                self._save()  # again, in case of a rollback
                raise Interrupted(self._stopped_message())
        self._save()
        return self._history()

    def _stopped_message(self) -> str:
        where = self._hooks.checkpoint
        how = "" if where is None else f"; to resume: vae train --resume {where.parent}"
        return f"stopped after step {self._steps_taken} of {self._schedule.steps}{how}"

    def release(self) -> None:
        """Free the memory used by steps."""
        self._step.flat.release()

    def _take_step(self) -> None:
        """One step."""
        number = self._steps_taken + 1
        if self._schedule.uses_aggregate(number) and not self._schedule.uses_aggregate(self._steps_taken):
            self._refresh()
        batch = self._batch(number)
        rate = self._schedule.learning_rate(number) * 0.5**self._rollbacks
        loss, norm = self._step(batch, self._noise(number), self._schedule.beta(number), rate, number)
        one = loss if self._vae.members == 1 else loss / self._vae.members
        self._record.add(one, norm, self._step.objective.log_jacobian(batch))
        self._steps_taken = number
        if self._world.leads:
            self._hooks.on_step(number)

    def _batch(self, number: int) -> NetworkRows:
        """The next batch; features that redraw give new values."""
        batch = next(self._batches)
        if not self._vae.features.redraws:
            return batch
        return replace(batch, t=self._vae.features.draw(batch.t, self._noise.of_features(number)))

    def _stops(self) -> bool:
        """Whether any rank was told to stop; several ranks check this only every STOP_EVERY steps."""
        if self._world.size > 1 and self._steps_taken % STOP_EVERY:
            return False
        return self._world.any(self._hooks.stop(), self._device)

    def _between_steps(self, *, validates: bool, saves: bool) -> None:
        """Check the steps since the last call, validate and save; roll back if a step was bad."""
        bad = self._first_bad_step()
        if bad is None and validates:
            bad = self._validate()
        if bad is not None:
            self._roll_back(bad)
            return
        self._last_good = self._snapshot()
        if saves:
            self._save()

    def _first_bad_step(self) -> Bad | None:
        scales = self._config.training.precision == "fp16"  # its loss scaling undoes steps by itself
        bad = self._record.bad(self._steps_taken, norms=not scales)
        if bad is None and not self._step.is_finite():
            return Bad(self._steps_taken, "a weight is not finite")
        return bad

    def _validate(self) -> Bad | None:
        """Score validation rows with the weights that would be kept."""
        train_objective = self._record.objective()
        self._step.swap()
        if self._schedule.uses_aggregate(self._steps_taken):
            self._refresh()
        step, beta = self._steps_taken, self._schedule.beta(self._steps_taken)
        validation = self._from_first_rank(lambda: self._validator.some(self._vae, step, beta, train_objective))
        good = is_finite(validation)
        if good:
            self._is_done = self._best.is_done(validation, self._vae)
        self._step.swap()
        if not good:
            return Bad(self._steps_taken, f"the objective is {validation.objective} on validation rows")
        self._record.clear()
        if self._world.leads:
            self._hooks.on_validation(validation)
        return None

    def _from_first_rank(self, measure: Callable[[], Validation]) -> Validation:
        validation: Validation = self._world.of_first(measure() if self._world.leads else None)
        return validation

    def _refresh(self) -> None:
        """Update the aggregate prior with the current posteriors of its rows."""
        assert self._components is not None
        refresh_prior(self._vae, self._components)

    def _roll_back(self, bad: Bad) -> None:
        """Return to the state before a bad step and halve the learning rate."""
        since, left = self._last_good["at"], self._rollbacks < self._config.training.rollbacks
        what = f"step {bad.step}: {bad.what}; {self._worst_rows(bad.step)}"
        if not left:
            raise TrainingError(
                f"{what}; gave up after {self._rollbacks} rollbacks: a smaller training.learning_rate or a larger "
                "likelihood.scale_floor may help"
            )
        self._restore(self._last_good)
        self._rollbacks += 1
        self._warn(f"{what}; went back to step {since}, at half the learning rate")

    def _worst_rows(self, number: int) -> str:
        """The rows of a step's batch with the largest losses under the last good weights, which are restored."""
        self._restore(self._last_good)
        batch = self._batch(self._steps_taken + 1)
        for ahead in range(self._steps_taken + 2, number + 1):
            batch = self._batch(ahead)
        objective = Objective(self._vae, self._config.objective)
        eps, beta = self._noise(number), self._schedule.final_beta
        with torch.no_grad():
            each = [objective(batch.slice(i, i + 1), eps[i : i + 1], beta, 1.0) for i in range(len(batch))]
        return f"by their loss at step {self._steps_taken}, {worst(batch, torch.stack(each), self._hooks.rows)}"

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        if self._world.leads:
            self._hooks.warn(text)

    def _snapshot(self) -> dict[str, Any]:
        """A copy of the state before the next step; a collective call of all ranks."""
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
        """Write everything that the remaining run depends on."""
        if self._hooks.checkpoint is None or not self._world.leads:
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
                f"{self._hooks.checkpoint}: the run began with other data: sha256 {state['signature']}, "
                f"not {self._hooks.signature}: resume with the data that the run began with"
            )
        self._restore(state)
        self._best.load_state_dict(state["keeper"])
        self._is_done, self._rollbacks, self._warnings = state["done"], state["rollbacks"], state["warnings"]

    def _history(self) -> History:
        """Restore the best weights, and score them on all validation rows."""
        best = self._best.best
        assert best is not None  # the last step is always validated
        self._vae.load_state_dict(self._best.weights)
        aggregate = isinstance(self._vae.prior, Aggregate)
        minimised = None
        if is_tempered := min(self._config.objective.betas) < 1:
            minimised = self._from_first_rank(lambda: self._validator.everything(self._vae, best)).objective
            self._vae.untemper(self._config.objective.betas)
        if aggregate and (is_tempered or self._schedule.switch is None):
            self._refresh()  # they may have been trained with N(0, I) or at another beta
        scored = self._from_first_rank(lambda: self._validator.everything(self._vae, best))
        if minimised is not None:
            scored = replace(scored, objective=minimised)
        for text in warnings_of(scored, self._config.objective, aggregate=aggregate):
            self._warn(text)
        validations = tuple(self._best.validations)
        return History(validations, scored, validations[-1].step < self._schedule.steps, tuple(self._warnings))
