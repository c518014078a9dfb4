"""The loop: what it keeps, when it stops, that it repeats."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.training.models import Case, case, table
from training.build import build
from training.loop import History, Look, _batches, fit, negative_objective
from vaekit.errors import TrainingError

GAUSSIAN = "gaussian, scale from the network"


def run(one: Case, looks: list[Look] | None = None) -> History:
    t = one.vae.features(one.x).to(one.vae.dtype)
    return fit(one.vae, t[:30], t[30:], one.config, on_look=(looks if looks is not None else []).append)


def weights(one: Case) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in one.vae.parameters()])


@pytest.mark.parametrize("kind", [GAUSSIAN, "bernoulli, grey pictures"])
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
    t = vae.features(torch.from_numpy(rows.x)).to(vae.dtype)
    history = fit(vae, t[:500], t[500:], one.config)
    assert history.best.elbo > history.looks[0].elbo + 1


def test_the_best_weights_are_restored() -> None:
    one = case(GAUSSIAN, "training.steps=600", "training.learning_rate=0.02", "training.evaluate_every=20")
    history = run(one)
    assert history.best.step < history.looks[-1].step
    after = min((look for look in history.looks if look.step >= 120), key=lambda look: look.objective)
    assert history.best == after
    t = one.vae.features(one.x).to(one.vae.dtype)[30:]
    eps = torch.randn(len(t), 8, one.latent_dim, generator=torch.Generator().manual_seed(one.config.training.seed))
    mean = float(one.vae.bound(one.x[30:], eps).elbo.detach().mean())
    assert mean == pytest.approx(history.best.elbo, rel=1e-5)


def test_it_stops_after_patience_and_not_before_the_warm_up_ends() -> None:
    one = case(
        GAUSSIAN, "training.steps=4000", "training.learning_rate=0.05", "training.evaluate_every=10",
        "training.patience=3", "objective.warmup=0.05",
    )  # fmt: skip
    history = run(one)
    assert history.stopped_early
    assert history.best.step >= 200
    assert history.looks[-1].step == history.best.step + 30


def test_beta_warms_up_to_its_end() -> None:
    looks: list[Look] = []
    run(case(GAUSSIAN, "training.steps=200", "objective.beta=0.5", "objective.warmup=0.5"), looks)
    assert [look.beta for look in looks] == pytest.approx([0.25, 0.5, 0.5, 0.5])


def test_the_objective_at_the_final_beta_and_the_elbo_are_both_reported() -> None:
    looks: list[Look] = []
    run(case(GAUSSIAN, "training.steps=50", "objective.beta=0.25"), looks)
    look = looks[0]
    assert look.objective == pytest.approx(0.25 * look.kl - look.log_likelihood)
    assert look.elbo == pytest.approx(look.log_likelihood - look.kl)
    assert look.objective != pytest.approx(-look.elbo)


def test_the_objective_at_beta_1_is_the_negative_elbo() -> None:
    one = case(GAUSSIAN)
    t = one.vae.features(one.x).to(one.vae.dtype)
    got = negative_objective(one.vae, t, 1.0, torch.Generator().manual_seed(5))
    eps = torch.randn(len(t), one.latent_dim, generator=torch.Generator().manual_seed(5))
    assert float(got.detach()) == pytest.approx(
        -float(one.vae.bound(one.x, eps[:, None]).elbo.detach().mean()), rel=1e-5
    )


def test_an_objective_that_runs_away_is_an_error() -> None:
    one = case(GAUSSIAN, "training.steps=50")
    with torch.no_grad():
        next(one.vae.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="step 50: the objective is nan"):
        run(one)


def test_every_epoch_sees_every_row_once() -> None:
    rows = torch.arange(10.0)[:, None]
    batches = _batches(rows, 4, seed=0)
    seen = torch.cat([next(batches) for _ in range(5)]).flatten()
    assert sorted(seen.tolist()) == sorted([*range(10), *range(10)])


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    assert sorted(next(_batches(torch.arange(3.0)[:, None], 128, seed=0)).flatten().tolist()) == [0, 1, 2]


def test_latent_dim_is_the_decoders() -> None:
    assert case(GAUSSIAN).vae.latent_dim == 3


def _moved(*settings: str) -> torch.Tensor:
    """Weights after a few steps under these settings."""
    one = case(GAUSSIAN, "training.steps=20", "training.evaluate_every=20", "objective.warmup=0", *settings)
    run(one)
    return weights(one)


def test_the_learning_rate_falls_to_nothing_at_the_last_step() -> None:
    one = case(GAUSSIAN, "training.steps=20", "training.weight_decay=0", "training.learning_rate=0.01")
    seen: list[torch.Tensor] = []
    t = one.vae.features(one.x).to(one.vae.dtype)
    fit(one.vae, t[:30], t[30:], one.config, on_step=lambda _: seen.append(weights(one).clone()))
    moves = [float((b - a).abs().max()) for a, b in pairwise(seen)]
    assert moves[0] > 0.005
    assert moves[-1] < 0.1 * moves[0]


def test_long_gradients_are_shortened() -> None:
    """With a norm of almost nothing Adam's epsilon outweighs the gradient, and the weights stay."""
    start = weights(case(GAUSSIAN))
    still = _moved("training.clip_norm=1e-12", "training.weight_decay=0")
    assert float((still - start).abs().max()) < 1e-4
    assert float((_moved("training.weight_decay=0") - start).abs().max()) > 1e-3


def test_weight_decay_shrinks_matrices_alone() -> None:
    with_decay, without = (_moved(f"training.weight_decay={d}", "training.clip_norm=1e-12") for d in (20, 0))
    one = case(GAUSSIAN)
    matrix = torch.cat([torch.full((p.numel(),), p.ndim > 1) for p in one.vae.parameters()])
    assert with_decay[matrix].norm() < 0.95 * without[matrix].norm()
    assert torch.allclose(with_decay[~matrix], without[~matrix], atol=1e-4)
