"""A step that is not finite is undone and its rows are named; after several the run fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.models import Case, case
from vaekit.errors import TrainingError
from vaekit_training.data.batch import NetworkRows
from vaekit_training.loop.fit import fit
from vaekit_training.loop.guard import BLOCK, Series
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.tracking import History
from vaekit_training.network_rows import network_rows

GAUSSIAN = "gaussian, scale from the network"
SETTINGS = [
    "training.steps=40", "training.evaluate_every=10", "training.batch_size=10", "likelihood.scale=1.0",
    "network.activation='relu'", "training.learning_rate=0.001",
]  # fmt: skip


def run(one: Case, rows: NetworkRows, hooks: Hooks) -> History:
    return fit(one.vae, rows.slice(0, 30), rows.slice(30, 40), one.config, hooks=hooks)


def with_a_bad_row(one: Case, row: int) -> NetworkRows:
    rows = network_rows(one.vae, one.rows.x)
    t = rows.t.clone()
    t[row, 2] = torch.nan
    return replace(rows, t=t)


def test_a_bad_row_is_named_by_step_and_number_after_every_rollback() -> None:
    one = case(GAUSSIAN, *SETTINGS, "training.rollbacks=2")
    said: list[str] = []
    numbers = np.arange(100, 130)
    with pytest.raises(TrainingError) as caught:
        run(one, with_a_bad_row(one, 17), Hooks(warn=said.append, rows=numbers))
    assert len(said) == 2
    for text in (*said, str(caught.value)):
        assert text.startswith(("step 1:", "step 2:", "step 3:"))  # an epoch has three steps
        assert "the loss is nan" in text
        assert "largest losses of its 10 rows: row 117 (nan)" in text
    assert "training continues from step 0 at half the learning rate" in said[0]
    assert "gave up after 2 rollbacks" in str(caught.value)


def test_a_temporary_fault_is_undone_at_half_the_learning_rate() -> None:
    """Weights become NaN once, at step 15: the run goes back to step 10, and then finishes."""
    one = case(GAUSSIAN, *SETTINGS)
    steps: list[int] = []
    said: list[str] = []

    def spoil(step: int) -> None:
        steps.append(step)
        if step == 15 and steps.count(15) == 1:
            with torch.no_grad():
                next(one.vae.encoder.parameters()).fill_(torch.nan)

    history = run(one, network_rows(one.vae, one.rows.x), Hooks(on_step=spoil, warn=said.append))
    assert steps == [*range(1, 21), *range(11, 41)]
    assert said[0].startswith("step 16: the loss is nan")
    assert said[0] in history.warnings
    assert [validation.step for validation in history.validations] == [10, 20, 30, 40]
    assert np.isfinite(history.best.elbo)


def test_a_rollback_halves_the_learning_rate() -> None:
    moves: dict[bool, float] = {}
    for spoiled in (False, True):
        one = case(GAUSSIAN, *SETTINGS, "training.weight_decay=0")
        places: dict[int, torch.Tensor] = {}
        times: list[int] = []

        def validator(
            step: int,
            one: Case = one,
            places: dict[int, torch.Tensor] = places,
            times: list[int] = times,
            spoiled: bool = spoiled,
        ) -> None:
            places[step] = next(one.vae.decoder.parameters()).detach().clone()
            times.append(step)
            if spoiled and step == 15 and times.count(15) == 1:
                next(one.vae.encoder.parameters()).data.fill_(torch.nan)

        run(one, network_rows(one.vae, one.rows.x), Hooks(on_step=validator))
        moves[spoiled] = float((places[11] - places[10]).norm())
    assert moves[True] == pytest.approx(0.5 * moves[False], rel=1e-4)


def test_a_non_finite_gradient_makes_a_bad_step() -> None:
    one = case(GAUSSIAN, *SETTINGS, "training.rollbacks=0")
    weight = next(one.vae.encoder.parameters())
    weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(TrainingError, match=r"step 1: the norm of the gradient is (inf|nan).*after 0 rollbacks"):
        run(one, network_rows(one.vae, one.rows.x), Hooks())


def test_a_non_finite_validation_makes_a_bad_step() -> None:
    one = case(GAUSSIAN, *SETTINGS, "training.rollbacks=0")
    rows = with_a_bad_row(one, 35)
    with pytest.raises(TrainingError, match="step 10: the objective on validation rows is nan"):
        run(one, rows, Hooks())


def test_records_of_a_thousand_steps_use_a_few_blocks_of_memory() -> None:
    series = Series()
    for step in range(1000):
        series.append(torch.tensor(float(step)))
    assert torch.stack(series.values()).tolist() == list(range(1000))
    assert len({value.untyped_storage().data_ptr() for value in series.values()}) <= -(-1000 // BLOCK)
    series.clear()
    series.append(torch.tensor(7.0))
    assert [float(value) for value in series.values()] == [7.0]
