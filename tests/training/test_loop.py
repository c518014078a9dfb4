"""The training loop: which weights it keeps, when it stops, and that it is repeatable."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.training.models import Case, case, table
from vaekit_training.build import build
from vaekit_training.data.batch import generator
from vaekit_training.loop.fit import fit
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.tracking import History
from vaekit_training.network_rows import network_rows

GAUSSIAN = "gaussian, scale from the network"


def run(one: Case, hooks: Hooks | None = None) -> History:
    train, validation = network_rows(one.vae, one.rows.x, stored=True), network_rows(one.vae, one.rows.x)
    return fit(one.vae, train.slice(0, 30), validation.slice(30, 40), one.config, components=train, hooks=hooks)


def weights(one: Case) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in one.vae.parameters()])


@pytest.mark.parametrize("kind", [GAUSSIAN, "bernoulli, grey images"])
def test_the_same_seed_gives_the_same_bits(kind: str) -> None:
    first, second, other = (case(kind, "training.steps=60", f"training.seed={s}") for s in (3, 3, 4))
    for one in (first, second, other):
        run(one)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_training_raises_the_elbo() -> None:
    rows = table(600)
    one = case(GAUSSIAN, "training.steps=600", "training.learning_rate=0.01", "network.hidden=[16]")
    vae = build(one.config, rows, np.arange(500))
    t = network_rows(vae, rows.x)
    history = fit(vae, t.slice(0, 500), t.slice(500, 600), one.config)
    assert history.best.elbo > history.validations[0].elbo + 1


def test_the_best_weights_are_restored() -> None:
    one = case(GAUSSIAN, "training.steps=600", "training.learning_rate=0.02", "training.evaluate_every=20")
    history = run(one)
    assert history.best.step < history.validations[-1].step
    after = min(
        (validation for validation in history.validations if validation.step >= 120),
        key=lambda validation: validation.objective,
    )
    assert history.best == after
    eps = torch.randn(10, 8, one.latent_dim, generator=generator(one.config.training.seed, 4))
    mean = float(one.vae.bound(one.x[30:], eps).elbo.detach().mean())
    assert mean == pytest.approx(history.best.elbo, rel=1e-5)


def test_training_stops_after_patience_but_not_before_the_warm_up_ends() -> None:
    one = case(
        GAUSSIAN, "training.steps=4000", "training.learning_rate=0.05", "training.evaluate_every=10",
        "training.patience=3", "objective.warmup=0.05",
    )  # fmt: skip
    history = run(one)
    assert history.stopped_early
    assert history.best.step >= 200
    assert history.validations[-1].step == history.best.step + 30


def test_beta_grows_to_its_final_value_over_the_warm_up() -> None:
    validations = run(case(GAUSSIAN, "training.steps=200", "objective.beta=0.5", "objective.warmup=0.5")).validations
    assert [validation.beta for validation in validations] == pytest.approx([0.25, 0.5, 0.5, 0.5])


def test_the_objective_at_the_final_beta_and_the_elbo_are_both_reported() -> None:
    validation = run(case(GAUSSIAN, "training.steps=50", "objective.beta=0.25")).validations[0]
    assert validation.objective == pytest.approx(0.25 * validation.kl - validation.log_likelihood)
    assert validation.elbo == pytest.approx(validation.log_likelihood - validation.kl)
    assert validation.objective != pytest.approx(-validation.elbo)
    assert validation.log_evidence > validation.elbo


def test_a_vae_has_the_configured_number_of_latent_dimensions() -> None:
    assert case(GAUSSIAN).vae.latent_dim == 3


def _moved(*settings: str) -> torch.Tensor:
    """Weights after a few steps with these settings."""
    one = case(GAUSSIAN, "training.steps=20", "training.evaluate_every=20", "objective.warmup=0", *settings)
    run(one)
    return weights(one)


def test_the_last_steps_are_much_smaller_than_the_first() -> None:
    one = case(GAUSSIAN, "training.steps=20", "training.weight_decay=0", "training.learning_rate=0.01")
    passed: list[torch.Tensor] = []
    run(one, Hooks(on_step=lambda _: passed.append(weights(one).clone())))
    moves = [float((b - a).abs().max()) for a, b in pairwise(passed)]
    assert moves[0] > 0.005
    assert moves[-1] < 0.1 * moves[0]


def test_long_gradients_are_clipped() -> None:
    """If the norm is almost 0, Adam's epsilon dominates the gradient and the weights do not change."""
    start = weights(case(GAUSSIAN))
    still = _moved("training.clip_norm=1e-12", "training.weight_decay=0")
    assert float((still - start).abs().max()) < 1e-4
    assert float((_moved("training.weight_decay=0") - start).abs().max()) > 1e-3


def test_weight_decay_shrinks_matrices_only() -> None:
    with_decay, without = (_moved(f"training.weight_decay={d}", "training.clip_norm=1e-12") for d in (20, 0))
    one = case(GAUSSIAN)
    matrix = torch.cat([torch.full((p.numel(),), p.ndim > 1) for p in one.vae.parameters()])
    assert with_decay[matrix].norm() < 0.95 * without[matrix].norm()
    assert torch.allclose(with_decay[~matrix], without[~matrix], atol=1e-4)
