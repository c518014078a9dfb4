"""Validations, schedules, warnings, and the files of a run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.models import OF_NETWORKS, Case, case, raw_rows
from vaekit.errors import ConfigError
from vaekit_training.config import Config
from vaekit_training.data.batch import generator
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.loop import kernel_validation
from vaekit_training.loop.distributed import World
from vaekit_training.loop.fit import fit
from vaekit_training.loop.folder import CHECKPOINT, Events, Keep, resumed
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.schedule import Schedule
from vaekit_training.loop.tracking import BestWeights, Validation, warnings_of
from vaekit_training.loop.validation import DRAWS, REPORTING, Validator, most_rows
from vaekit_training.network_rows import network_rows

GAUSSIAN = "gaussian, scale from the network"


def validated(one: Case, most: int = 1000, beta: float = 1.0) -> Validation:
    validator = Validator(network_rows(one.vae, one.rows.x), one.config.objective, beta, one.latent_dim, 7, most)
    return validator.some(one.vae, 10, 0.5, 3.0)


@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_a_validation_has_the_terms_of_the_bound(kind: str) -> None:
    one = case(kind)
    validation = validated(one)
    x, observed = raw_rows(one.vae, one.x)
    eps = torch.randn(len(x), DRAWS, one.latent_dim, generator=generator(7, 4))
    bound = one.vae.bound(x, eps, observed)
    assert validation.elbo == pytest.approx(float(bound.elbo.detach().mean()), rel=1e-4)
    assert validation.kl == pytest.approx(float(bound.kl.detach().mean()), rel=1e-4, abs=1e-4)
    assert validation.log_evidence == pytest.approx(float(bound.log_evidence.detach().mean()), rel=1e-4)
    by_feature = bound.feature_log_likelihood.detach().mean(0)
    assert validation.log_likelihood_by_feature == pytest.approx(by_feature.tolist(), rel=1e-3, abs=1e-3)
    assert sum(validation.log_likelihood_by_feature) == pytest.approx(validation.log_likelihood, rel=1e-5)
    if one.vae.members == 1 and one.config.prior.name == "normal":
        assert sum(validation.kl_by_latent) == pytest.approx(validation.kl, rel=1e-5)
        assert validation.objective == pytest.approx(-validation.elbo, rel=1e-6)


def test_a_validation_of_some_rows_uses_the_same_rows_each_time() -> None:
    one = case(GAUSSIAN)
    some = [validated(one, most=10) for _ in range(2)]
    assert some[0] == some[1]
    assert some[0].elbo != validated(one).elbo


def test_a_validation_of_kernels_in_parts_is_that_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = case("kernel prior")
    assert isinstance(one.vae, KernelVAE)
    whole = kernel_validation.validation(one.vae, one.rows.x, 3)
    monkeypatch.setattr(kernel_validation, "CELLS", 3 * one.vae.prior.values)
    parts = kernel_validation.validation(one.vae, one.rows.x, 3)
    assert (parts.elbo, parts.log_evidence) == pytest.approx((whole.elbo, whole.log_evidence), rel=1e-6)
    assert parts.log_likelihood_by_feature == pytest.approx(whole.log_likelihood_by_feature, rel=1e-5)


def test_a_validation_is_a_small_part_of_the_work() -> None:
    assert most_rows(50, 128) == 1000
    assert most_rows(500, 1024) == 32_000


def test_a_latent_dimension_is_active_if_its_mean_varies_between_rows() -> None:
    one = case(GAUSSIAN)
    head = list(one.vae.encoder.parameters())[-2]
    with torch.no_grad():
        head[:3] *= 10.0
    assert validated(one).active_units == 3
    with torch.no_grad():
        head[1] *= 0.0  # the second dimension's mu is the same for every row
    assert validated(one).active_units == 2


def settings(**sections: dict[str, object]) -> Config:
    base = case(GAUSSIAN).config
    return Config.model_validate({**base.model_dump(), **sections})


def test_each_schedule_gives_its_beta() -> None:
    steps: dict[str, object] = {"steps": 100}
    constant = Schedule.of(settings(training=steps, objective={"schedule": "constant", "beta": 0.5}))
    assert {constant.beta(s) for s in (1, 50, 100)} == {0.5}
    assert constant.settled == 1
    linear = Schedule.of(settings(training=steps, objective={"beta": 2, "warmup": 0.2}))
    assert [linear.beta(s) for s in (1, 10, 20, 21, 100)] == pytest.approx([0.1, 1.0, 2.0, 2.0, 2.0])
    assert linear.settled == 20
    cyclical = Schedule.of(settings(training=steps, objective={"schedule": "cyclical", "cycles": 4, "warmup": 0.4}))
    assert [cyclical.beta(s) for s in (1, 10, 25, 26, 35, 76, 85, 100)] == pytest.approx([0.1, 1, 1, 0.1, 1, 0.1, 1, 1])
    assert cyclical.settled == 85


def test_the_objective_settles_once_the_aggregate_prior_is_in_use() -> None:
    prior: dict[str, object] = {"name": "aggregate", "start": 0.5}
    schedule = Schedule.of(settings(training={"steps": 100}, prior=prior))
    assert [schedule.uses_aggregate(s) for s in (1, 50, 51, 100)] == [False, False, True, True]
    assert schedule.settled == 51
    assert Schedule.of(settings(training={"steps": 100}, prior={**prior, "start": 1})).switch is None
    assert Schedule.of(settings(training={"steps": 100}, prior={**prior, "start": 0})).uses_aggregate(1)


def test_the_final_prior_is_computed_with_the_kept_weights() -> None:
    for start in ("0.5", "1"):
        one = case("aggregate prior", "training.steps=40", "training.evaluate_every=10", f"prior.start={start}")
        rows = network_rows(one.vae, one.rows.x)
        history = fit(one.vae, rows, rows.slice(30, 40), one.config)
        prior = one.vae.prior
        with torch.no_grad():
            mu, _ = one.vae.posterior(rows.take(prior.row).t)
        assert torch.allclose(prior.mu.float(), mu, atol=1e-5)
        eps = torch.randn(10, DRAWS, 3, generator=generator(0, REPORTING))
        assert history.best.elbo == pytest.approx(float(one.vae.bound(one.x[30:], eps).elbo.detach().mean()), rel=1e-5)


def some_validation(**changes: object) -> Validation:
    facts: dict[str, object] = {
        "step": 1, "beta": 1.0, "train_objective": 5.0, "objective": 5.0, "of_weights": 5.0, "elbo": -5.0,
        "log_likelihood": -3.0, "kl": 2.0, "log_evidence": -4.5, "kl_by_latent": (1.0, 1.0),
        "log_likelihood_by_feature": (-3.0,), "active_units": 2.0,
    }  # fmt: skip
    return Validation(**{**facts, **changes})  # type: ignore[arg-type]  # each has the type of its field


@pytest.mark.parametrize(
    ("objective", "validation", "said"),
    [
        ({}, {}, None),
        (
            {"beta": 0.5},
            {"objective": 4.0},
            r"objective.beta = 0.5: training ended at an objective of 4 nats; rows are scored by the ELBO",
        ),
        ({"beta": [1.0, 0.3162, 0.1]}, {"objective": 4.0}, None),  # of the default recipe
        ({"beta": [2.0, 1.0, 1.0]}, {"objective": 4.0}, r"objective.beta = 2, 1, 1: training ended"),
        ({"free_bits": 0.5}, {"kl_by_latent": (1.9, 0.1)}, r"objective.free_bits = 0.5: training ended"),
        ({"free_bits": 0.5}, {}, None),
        ({"name": "iwae", "num_samples": 5}, {}, r"bound of 5 draws, which is -5 nats; rows are scored by the ELBO"),
        ({}, {"active_units": 0.0}, r"posterior collapse: the decoder uses 0 of 2.*warmup.*cyclical.*free_bits"),
    ],
)
def test_each_situation_gives_its_warning(
    objective: dict[str, object], validation: dict[str, object], said: str | None
) -> None:
    config = settings(objective=objective, **({"network": {"members": 3}} if "beta" in objective else {}))
    found = warnings_of(some_validation(**validation), config.objective, aggregate=False)
    assert bool(found) == (said is not None)
    if said is not None:
        assert re.search(said, found[0])


@pytest.mark.parametrize(
    ("objective", "offered", "not_offered"),
    [
        ({"name": "iwae", "num_samples": 5}, "objective.name = 'elbo'", ("longer", "cyclical", "free_bits")),
        ({"schedule": "constant"}, "objective.schedule = 'linear'", ("longer",)),
        ({"schedule": "cyclical"}, "objective.free_bits = 0.1", ("cyclical",)),
        ({"free_bits": 0.2}, "a longer objective.warmup", ("free_bits",)),
    ],
)
def test_a_warning_suggests_only_settings_that_would_change_something(
    objective: dict[str, object], offered: str, not_offered: tuple[str, ...]
) -> None:
    config = settings(objective=objective)
    found = warnings_of(some_validation(active_units=0.0), config.objective, aggregate=False)[-1]
    assert found.startswith("posterior collapse")
    assert offered in found
    assert not any(word in found for word in not_offered)


def test_warnings_are_reported_and_kept_in_the_history() -> None:
    one = case(GAUSSIAN, "training.steps=20", "objective.beta=0.1")
    rows, told = network_rows(one.vae, one.rows.x), list[str]()
    history = fit(one.vae, rows, rows, one.config, hooks=Hooks(warn=told.append))
    assert "objective.beta = 0.1: training ended" in history.warnings[0]
    assert tuple(told) == history.warnings


def test_the_last_validation_that_is_the_best_so_far_is_the_one_whose_weights_are_kept() -> None:
    one = case(GAUSSIAN, "training.steps=60", "training.evaluate_every=10")
    rows, best, seen = network_rows(one.vae, one.rows.x), list[Validation](), list[Validation]()
    hooks = Hooks(on_validation=seen.append, on_best=best.append)
    history = fit(one.vae, rows, rows, one.config, hooks=hooks)
    assert best[-1].step == history.best.step
    assert {validation.step for validation in best} < {validation.step for validation in seen}  # not in the warm-up
    values = [validation.of_weights for validation in best]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", ["elbo", "iwae"])
def test_an_anomalous_constant_column_does_not_affect_which_validation_is_best(name: str) -> None:
    one = case("gaussian, a constant column", f'objective.name="{name}"', "objective.num_samples=3")
    usual = validated(one)
    odd = one.rows.x.copy()
    odd[7, -1] = 1e9  # 7.0 in every training row
    changed = validated(replace(one, rows=replace(one.rows, x=odd)))
    assert changed.objective > usual.objective + 1e10
    assert changed.of_weights == usual.of_weights
    other = validated(one, beta=0.5)
    assert usual.of_weights - usual.objective == pytest.approx(other.of_weights - other.objective, rel=1e-5)


def test_training_stops_after_patience_validations_of_the_final_objective() -> None:
    vae = case(GAUSSIAN).vae
    best_weights = BestWeights(settled=30, patience=2)
    done = [
        best_weights.add(some_validation(step=s, of_weights=o), vae)
        for s, o in ((10, 0.0), (20, 0.5), (30, 3.0), (40, 2.0), (50, 2.5), (60, 2.1))
    ]
    assert done == [False, False, False, False, False, True]
    assert best_weights.best is not None
    assert best_weights.best.step == 40


def test_events_can_be_read_by_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = Events(tmp_path)
    for step in (10, 20):
        events.write(some_validation(step=step, elbo=-step / 2, kl_by_latent=(0.25, 0.5)))
    events.close()
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in read.Scalars("elbo")] == [(10, -5.0), (20, -10.0)]
    assert [e.value for e in read.Scalars("kl_by_index/1")] == [0.5, 0.5]


def test_run_folders_are_numbered_and_refuse_a_second_run(tmp_path: Path) -> None:
    config = case(GAUSSIAN).config
    first, second = (Keep(tmp_path / "runs", numbered=True).prepare(config, World()) for _ in range(2))
    assert [first.name, second.name] == ["1", "2"]
    with pytest.raises(ConfigError, match=r"checkpoint\.pt does not exist"):
        resumed(first)
    (first / CHECKPOINT).touch()
    assert resumed(first) == config
    with pytest.raises(
        ConfigError, match=f"--run {first}: the folder already contains a run; resume it with --resume {first}"
    ):
        Keep(first).prepare(config, World())
    with pytest.raises(ConfigError, match=r"config\.toml does not exist"):
        resumed(tmp_path / "none")
