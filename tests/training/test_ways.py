"""Training options: own components, redrawn values, averaged weights, start of the prior, incompatible settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.models import Case, case, standard_eps
from vaekit.errors import ConfigError
from vaekit_training.build import build, check
from vaekit_training.config import make_config
from vaekit_training.data.batch import MemoryBatches, NetworkRows
from vaekit_training.data.rows import Rows
from vaekit_training.likelihoods import Laplace
from vaekit_training.loop.fit import fit
from vaekit_training.loop.folder import Keep
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.noise import Noise
from vaekit_training.loop.objective import Objective, draw_latents
from vaekit_training.loop.schedule import Schedule
from vaekit_training.loop.step import EMA_START
from vaekit_training.loop.tracking import History
from vaekit_training.network_rows import network_rows
from vaekit_training.prior import Aggregate
from vaekit_training.run import train

GAUSSIAN = "gaussian, scale from the network"


def run(one: Case, hooks: Hooks | None = None) -> History:
    train, validation = network_rows(one.vae, one.rows.x, stored=True), network_rows(one.vae, one.rows.x)
    return fit(one.vae, train.slice(0, 30), validation.slice(30, 40), one.config, components=train, hooks=hooks)


def weights(one: Case) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in one.vae.parameters()])


@pytest.mark.parametrize("name", ["elbo", "iwae"])
def test_a_rows_own_component_is_left_out_of_the_training_objective(name: str) -> None:
    draws = 1 if name == "elbo" else 4
    one = case("aggregate prior", f'objective.name="{name}"', f"objective.num_samples={draws}")
    assert isinstance(one.vae.prior, Aggregate)
    rows = network_rows(one.vae, one.rows.x)
    batch = NetworkRows(rows.t[one.vae.prior.row], None, one.vae.prior.row)  # every row is a component
    eps = standard_eps(draws, one.latent_dim, len(batch))
    mu, sigma = one.vae.posterior(batch.t)
    z = draw_latents(mu, sigma, eps)
    log_p, prior = one.vae.log_prob(batch.t, z).sum(-1), one.vae.prior  # (N, K)
    log_w = log_p + prior.log_ratio(sigma, z, eps, batch.train_index)
    evidence = torch.logsumexp(log_w, -1) - torch.tensor(float(draws)).log()
    terms = evidence if name == "iwae" else log_p.mean(-1) - prior.kl(mu, sigma, batch.train_index)
    loss = Objective(one.vae, one.config.objective)
    share = 1.0 / len(batch)
    assert float(loss(batch, eps, 1.0, share).detach()) == pytest.approx(-float(terms.mean().detach()), rel=1e-5)
    forgotten = float(loss(NetworkRows(batch.t), eps, 1.0, share).detach())
    assert abs(forgotten + float(terms.mean().detach())) > 1e-3


def test_dynamic_binarisation_draws_values_again_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    one = case("bernoulli, dithered images", "training.steps=6", "training.evaluate_every=6")
    drawn: list[torch.Tensor] = []
    real = one.vae.features.draw

    def draw(t: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        drawn.append(real(t, generator))
        return drawn[-1]

    monkeypatch.setattr(one.vae.features, "draw", draw)
    run(one)
    assert len(drawn) == 6
    assert all(torch.isin(t, torch.tensor([0.0, 1.0])).all() for t in drawn)


def test_the_running_mean_of_the_weights_is_validated_and_kept() -> None:
    one = case(GAUSSIAN, "training.steps=12", "training.evaluate_every=12", "training.ema=0.9")
    mean = weights(one)
    passed: list[torch.Tensor] = []
    run(one, Hooks(on_step=lambda _: passed.append(weights(one).clone())))
    for number, now in enumerate(passed, 1):
        keep = min(0.9, (1 + number) / (EMA_START + number))
        mean = keep * mean + (1 - keep) * now
    torch.testing.assert_close(weights(one), mean, rtol=1e-5, atol=1e-6)
    assert float((passed[-1] - mean).abs().max()) > 1e-4


def test_the_aggregate_prior_has_components_from_the_first_step_after_the_switch() -> None:
    one = case(
        GAUSSIAN, 'prior.name="aggregate"', "prior.components=5", "prior.start=0.5", "training.steps=8",
        "training.evaluate_every=8",
    )  # fmt: skip
    prior = one.vae.prior
    assert isinstance(prior, Aggregate)
    prior.filled.fill_(False)
    prior.load_state_dict(prior.state_dict())
    before: list[bool] = []
    run(one, Hooks(on_step=lambda _: before.append(bool(prior.filled))))
    assert before == [False] * 4 + [True] * 4


def test_the_training_objective_is_in_raw_units() -> None:
    one = case(GAUSSIAN, "training.steps=1", "training.evaluate_every=1", "training.batch_size=30")
    settings, rows = one.config.training, network_rows(one.vae, one.rows.x).slice(0, 30)
    objective = Objective(one.vae, one.config.objective)
    batch = next(MemoryBatches(rows, settings.batch_size, settings.seed))
    eps = Noise((30, 1, one.latent_dim), settings.seed)(1)
    expected = float((objective(batch, eps, 1.0, 1 / 30) - one.vae.features.log_jacobian().sum()).detach())
    assert run(one).validations[0].train_objective == pytest.approx(expected, rel=1e-5)


def test_validations_are_compared_by_an_objective_with_free_bits() -> None:
    one = case(GAUSSIAN, "objective.free_bits=0.5", "training.steps=5", "training.evaluate_every=5")
    validation = run(one).validations[0]
    free = sum(max(0.5, kl) for kl in validation.kl_by_latent)
    assert validation.objective == pytest.approx(free - validation.log_likelihood, rel=1e-6)
    assert validation.objective > -validation.elbo + 1e-3


def test_training_uses_every_draw_of_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    one = case(GAUSSIAN, 'objective.name="iwae"', "objective.num_samples=7", "training.steps=2")
    seen_draws: list[int] = []
    real = Objective.__call__

    def call(self: Objective, batch: NetworkRows, eps: torch.Tensor, *rest: object) -> torch.Tensor:
        seen_draws.append(eps.shape[1])
        return real(self, batch, eps, *rest)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(Objective, "__call__", call)
    run(one)
    assert seen_draws == [7, 7]


def test_the_importance_weighted_bound_has_no_warm_up() -> None:
    schedule = Schedule.of(case(GAUSSIAN, 'objective.name="iwae"', "objective.num_samples=3").config)
    assert (schedule.beta(1), schedule.settled) == (1.0, 1)


def test_a_nearly_constant_channel_does_not_raise_the_scale_floor_of_the_others() -> None:
    x = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 4), dtype=np.uint8)
    x[..., 3] = 255
    x[0, 0, 0, 3] = 254
    config = make_config({"name": "a", "data": {"source": "x"}, "likelihood": {"name": "laplace"}}, [])
    vae = build(config, Rows(x, (), np.zeros(50, dtype=bool)), np.arange(50))
    assert isinstance(vae.likelihood, Laplace)
    floor = vae.likelihood.floor.reshape(4, 4, 4)
    assert torch.allclose(floor[..., :3], torch.tensor(0.1))
    assert torch.allclose(floor[..., 3], torch.tensor(1.0))


def test_counts_that_float32_cannot_distinguish_are_refused_by_name() -> None:
    x = np.random.default_rng(0).integers(0, 2_000_000_000, (50, 1)).astype(float)
    rows = Rows(x, ("octets",), np.zeros(50, dtype=bool), kinds=("count",))
    config = make_config({"name": "a", "data": {"source": "x"}, "likelihood": {"name": "discretized_logistic"}}, [])
    with pytest.raises(ConfigError, match=r"data\.kinds\.octets: the counts vary too much for float32"):
        build(config, rows, np.arange(50))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (['likelihood.name="discretized_logistic"', "likelihood.scale=0.3"], "likelihood.scale = 0.3 is not used by"),
        (['likelihood.name="continuous_bernoulli"', 'network.scaling="symmetric"'], "needs values from 0 to 1"),
        (["training.cuda_graphs=true", 'prior.name="aggregate"'], "training.cuda_graphs replays the same step"),
    ],
)
def test_incompatible_settings_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_config({"name": "a", "data": {"source": "x"}}, settings)


def test_a_scaling_for_pixels_is_refused_for_columns() -> None:
    one = case(GAUSSIAN)
    config = make_config(one.config.model_dump(), ["network.scaling=unit"])
    with pytest.raises(
        ConfigError,
        match=r"network\.scaling: 'unit' is for images, but the rows are columns, which are always standardised",
    ):
        check(one.rows, config)


def test_cuda_graphs_on_a_cpu_are_refused_before_data_is_read_or_a_folder_is_created(tmp_path: Path) -> None:
    config = make_config({"name": "m", "data": {"source": str(tmp_path / "none.csv")}}, ["training.cuda_graphs=true"])
    with pytest.raises(ConfigError, match="cuda_graphs: needs a single CUDA device"):
        train(config, tmp_path / "models", device="cpu", keep=Keep(tmp_path / "runs", numbered=True))
    assert not (tmp_path / "runs").exists()
