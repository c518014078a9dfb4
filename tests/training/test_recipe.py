"""The settings that 'auto' fills in, without overriding the config."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.models import case
from vaekit.detector_training import config_of
from vaekit.errors import ConfigError
from vaekit_training import build
from vaekit_training.config import Config, make_config
from vaekit_training.data.load import of_array
from vaekit_training.data.rows import Rows
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.recipe import FEW
from vaekit_training.run import Listener, run
from vaekit_training.sections.model import MOST_LATENT
from vaekit_training.unused import unused


def auto(*settings: str) -> Config:
    tree = {"name": "x", "data": {"source": "rows.csv"}, "likelihood": {"name": "auto"}}
    return make_config(tree, settings)


def test_a_config_from_auto_survives_its_own_toml() -> None:
    config = auto()
    assert (config.likelihood.name, config.prior.name, config.prior.start) == ("student_t", "aggregate", 1.0)
    assert len(config.objective.betas) == config.network.members > 1
    again = make_config(config.model_dump(mode="json", exclude_none=True))
    assert again.model_dump() == config.model_dump()
    assert again.fitted(10, kernels=False) == again  # settings from a file do not depend on the number of rows


def test_auto_asks_for_kernels_where_they_can_model_the_table_and_nothing_else_is_asked_for() -> None:
    config = auto("training.seed=3", "prior.components=50", "draws.default=8")
    kernels = config.fitted(1000, kernels=True)
    assert (kernels.prior.name, kernels.prior.components, kernels.draws.default) == ("kernel", 50, 8)
    assert (kernels.likelihood.name, kernels.likelihood.scale, kernels.training.seed) == ("gaussian", 1e-4, 3)
    assert kernels.network.members == 1
    assert config.fitted(1000, kernels=False).prior.name == "aggregate"
    again = make_config(kernels.model_dump(mode="json", exclude_none=True))
    assert again == kernels
    assert again.fitted(1000, kernels=True) == again
    for asked in ("network.hidden=[8]", "training.steps=9", "prior.name=aggregate", "likelihood.scale=network",
                  "objective.beta=1", "data.kinds.a=count", "export.half=true"):  # fmt: skip
        assert auto(asked).fitted(1000, kernels=True).prior.name != "kernel"
    assert auto("data.kinds.a=positive").fitted(1000, kernels=True).prior.name == "kernel"
    mixed = auto("data.kinds.a=category").fitted(1000, kernels=True)
    assert (mixed.prior.name, mixed.likelihood.name, mixed.likelihood.real) == ("kernel", "mixed", "gaussian")


def test_a_kernel_prior_can_be_asked_for_and_has_no_networks() -> None:
    config = make_config({"name": "x", "data": {"source": "rows.csv"}, "prior": {"name": "kernel"}})
    assert (config.likelihood.name, config.likelihood.scale, config.prior.components) == ("gaussian", 1e-4, 3000)
    assert auto("prior.name=kernel").prior.name == "kernel"
    ignored = auto("prior.name=kernel", "training.steps=5", "training.seed=1", "network.hidden=[8]", "objective.beta=2")
    needs = "has no effect: it needs networks, and prior.name = 'kernel' has none"
    settings = ("network.hidden = [8]", "objective.beta = 2.0", "training.steps = 5")
    assert sorted(unused(ignored)) == [f"{one} {needs}" for one in settings]
    assert unused(auto("prior.name=kernel")) == unused(auto().fitted(1000, kernels=True)) == []
    mixed = auto("prior.name=kernel", "likelihood.name=mixed")
    assert (mixed.likelihood.real, mixed.likelihood.scale, mixed.prior.components) == ("gaussian", 1e-4, 3000)
    with pytest.raises(ConfigError, match=r"needs likelihood\.real = 'gaussian', not 'laplace'"):
        auto("prior.name=kernel", "likelihood.name=mixed", "likelihood.real=laplace")
    for wrong in ("likelihood.name=student_t", "network.members=2", "export.half=true"):
        with pytest.raises(ConfigError, match=r"prior\.name = 'kernel'"):
            auto("prior.name=kernel", wrong)
    with pytest.raises(ConfigError, match=r"a number as likelihood\.scale"):
        auto("prior.name=kernel", "likelihood.scale=network")


def test_making_a_config_does_not_change_the_given_tables() -> None:
    tree = {"name": "t", "data": {"source": "rows.csv"}, "likelihood": {"name": "auto"}}
    assert make_config(tree, ["training.steps=7"]) == make_config(tree, ["training.steps=7"])
    assert tree == {"name": "t", "data": {"source": "rows.csv"}, "likelihood": {"name": "auto"}}


def test_auto_does_not_override_given_settings() -> None:
    config = auto("network.members=1", "prior.name=normal", "draws.default=32", "likelihood.scale=network")
    assert config.network.members == 1
    assert config.objective.betas == (0.3162,)
    assert (config.prior.name, config.draws.default, config.likelihood.scale) == ("normal", 32, "network")
    assert config.likelihood.scale_floor == 0.1
    assert auto("objective.beta=1").objective.beta == 1
    assert auto('objective.name="iwae"', "objective.num_samples=4").objective.betas == (1.0,)


def test_auto_has_other_settings_for_few_rows() -> None:
    config = auto().fitted(FEW - 1, kernels=False)
    assert (config.likelihood.scale, config.likelihood.scale_floor) == ("feature", 0.01)
    assert config.objective.betas == pytest.approx([1.0, 0.1**0.5, 0.1], abs=1e-4)
    assert config.training.learning_rate < auto().training.learning_rate
    kept = auto("training.learning_rate=1e-4", "likelihood.scale=network", "network.members=2").fitted(
        10, kernels=False
    )
    assert kept.training.learning_rate == 1e-4
    assert (kept.likelihood.scale, kept.likelihood.scale_floor) == ("network", 0.1)
    assert kept.objective.betas == (1.0, 0.1)
    assert auto('objective.name="iwae"', "objective.num_samples=4").fitted(10, kernels=False).objective.betas == (1.0,)


def test_auto_is_mixed_if_a_column_is_not_real() -> None:
    assert auto("data.kinds.a=positive").likelihood.name == "student_t"
    config = auto("data.kinds.a=positive", "data.kinds.b=category")
    assert (config.likelihood.name, config.likelihood.real) == ("mixed", "student_t")


def test_with_many_rows_members_differ_in_beta_and_in_the_source_of_their_scale() -> None:
    config = auto("network.members=4")
    assert config.objective.beta == (0.3162, 0.1, 0.1, 0.3162)
    assert config.likelihood.scale == ("network", "feature", "network", "network")
    assert config.likelihood.scale_floor == (0.1, 0.01, 0.1, 0.1)
    assert config.fitted(FEW, kernels=False) == config
    with pytest.raises(ConfigError, match=r"likelihood.scale has 1 values, but network.members is 3"):
        auto('likelihood.scale=["feature"]')
    with pytest.raises(ConfigError, match=r"objective.beta has 2 values, but network.members is 3"):
        auto("network.members=3", "objective.beta=[1.0, 0.5]")
    with pytest.raises(ConfigError, match=r"likelihood.name: 'normal' is not 'auto', 'gaussian'"):
        auto("likelihood.name=normal")


def test_a_detector_uses_the_recipe_for_columns_only() -> None:
    rng = np.random.default_rng(0)
    assert config_of(rng.normal(size=(5, 2))).likelihood.name == "student_t"
    assert config_of(np.array([[1, "a"]], dtype=object)).likelihood.name == "mixed"
    assert config_of(np.array([["1", "a"]])).likelihood.name == "mixed"
    assert config_of(np.array([[1.0, None]], dtype=object)).likelihood.name == "student_t"
    assert config_of(np.full((3, 8, 8), 7, np.uint8)).likelihood.name == "gaussian"
    assert config_of(np.zeros((3, 8, 8), np.uint8)).likelihood.name == "bernoulli"
    assert config_of(np.zeros((3, 2)), likelihood="laplace").likelihood.name == "laplace"


def few() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(50, 4))


def wide() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 5)) @ rng.normal(size=(5, 1100))


def constant_and_twice() -> np.ndarray:
    x = few()
    return np.column_stack([x, x[:, 0], np.full(50, 3.0), np.zeros(50)])


def heavy() -> np.ndarray:
    return np.random.default_rng(0).standard_cauchy(size=(80, 3)) ** 3


def whole() -> np.ndarray:
    return np.random.default_rng(0).poisson(2.0, size=(80, 3)).astype(float)


@pytest.mark.parametrize("rows", [few, wide, constant_and_twice, heavy, whole])
def test_auto_trains_on_difficult_tables_without_further_settings(rows: object) -> None:
    x = rows()  # type: ignore[operator]  # one of the above
    settings = ["training.steps=120", "training.evaluate_every=40", "network.hidden=[16]"]
    config = config_of(x, settings=settings)
    trained = run(config, device="cpu", rows=of_array(x, config=config.data, likelihood=config.likelihood))
    assert trained.vae.latent_dim == build.dimension(config, trained.rows) == min(32, x.shape[1])
    assert np.isfinite(trained.history.best.elbo)
    assert not [text for text in trained.history.warnings if "training continues from step" in text]


@pytest.mark.parametrize("rows", [few, wide, constant_and_twice, heavy, whole])
def test_kernels_model_difficult_tables(rows: object) -> None:
    x = rows()  # type: ignore[operator]  # one of the above
    config = config_of(x)
    trained = run(config, device="cpu", rows=of_array(x, config=config.data, likelihood=config.likelihood))
    assert trained.config.prior.name == "kernel"
    assert trained.vae.latent_dim == int((np.ptp(x, axis=0) > 0).sum())
    assert np.isfinite(trained.history.best.elbo)


def test_fold_models_have_the_columns_that_vary_in_every_fold() -> None:
    x = np.column_stack([few(), np.full(50, 5.0)])
    x[7, 4] = 6.0  # in one fold
    config = config_of(x, folds=3)
    trained = run(config, device="cpu", rows=of_array(x, config=config.data, likelihood=config.likelihood))
    assert trained.config.prior.name == "kernel"
    assert trained.vae.latent_dim == 4
    bound = trained.vae.bound(torch.from_numpy(x), torch.zeros(50, 2, 4))
    assert torch.isfinite(bound.elbo).all()


def test_a_table_with_missing_cells_gets_kernels() -> None:
    for x in (few(), whole()):
        x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
        x = x[~np.isnan(x).all(axis=1)]
        config = config_of(x)
        trained = run(config, device="cpu", rows=of_array(x, config=config.data, likelihood=config.likelihood))
        assert trained.config.prior.name == "kernel"
        assert np.isfinite(trained.history.best.elbo)


def test_a_table_that_never_changes_gets_networks() -> None:
    x = np.full((40, 2), 3.0)
    config = config_of(x)
    loaded = of_array(x, config=config.data, likelihood=config.likelihood)
    assert build.kernel_columns(loaded, [np.arange(40)]) is None
    asked = config_of(x, settings=["prior.name=kernel"])
    with pytest.raises(ConfigError, match=r"prior\.name: 'kernel' is for columns of kind"):
        run(asked, device="cpu", rows=of_array(x, config=asked.data, likelihood=asked.likelihood))


def test_a_table_with_more_columns_than_the_draws_have_dimensions_gets_networks() -> None:
    x = np.random.default_rng(0).standard_normal((30, MOST_LATENT + 1))
    names = tuple(f"x{i}" for i in range(MOST_LATENT + 1))
    rows = Rows(x, names, np.zeros(30, dtype=bool))
    assert build.kernel_columns(rows, [np.arange(30)]) is None
    x[:, 7] = 1.0
    assert build.kernel_columns(rows, [np.arange(30)]) is not None  # one is constant


def test_each_member_has_the_configured_source_and_floor_of_its_scale() -> None:
    one = case("members, student_t, scales of their own")
    z = 5.0 * torch.randn(200, one.latent_dim, generator=torch.Generator().manual_seed(0))
    scale = one.vae.likelihood.scale(one.vae.decoder(z[:, None]))
    assert scale is not None
    network, feature = scale.squeeze(-2).detach()  # (N, D) each
    assert float(network.std(0).min()) > 1e-3
    torch.testing.assert_close(feature, feature[:1].expand_as(feature), rtol=1e-6, atol=0)
    assert float(network.min()) >= 0.3
    assert 0.01 <= float(feature.min()) != pytest.approx(0.3)


def test_a_search_for_kernels_says_what_it_tried() -> None:
    lines: list[str] = []
    threads: list[int] = []

    def say(line: str) -> None:
        lines.append(line)
        threads.append(torch.get_num_threads())

    before = torch.get_num_threads()
    config = config_of(whole())
    rows = of_array(whole(), config=config.data, likelihood=config.likelihood)
    trained = run(config, device="cpu", rows=rows, listener=Listener(say=say))
    assert threads[-1] == 1
    assert torch.get_num_threads() == before
    (first,) = [i for i, line in enumerate(lines) if line.endswith("higher is better")]
    tried = [line for line in lines[first + 1 :] if " nats per row (width h = " in line]
    assert isinstance(trained.vae, KernelVAE)
    assert len(tried) == len({one.clusters for one in trained.vae.prior.trials})
    best = max(trained.vae.prior.trials, key=lambda one: one.log_density)
    assert f"{best.named}: log density {best.log_density:.3g} nats per row (width" in " ".join(tried)
    (chosen,) = [line for line in lines if line.startswith("chosen: ")]
    assert chosen.startswith(f"chosen: {best.named} around ")


def test_the_memory_of_networks_is_not_asked_for_if_kernels_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit_training.memory.available", lambda _: 1)
    config = config_of(few())
    assert run(config, device="cpu", rows=of_array(few())).config.prior.name == "kernel"
    networks = config_of(few(), settings=["prior.name=normal"])
    with pytest.raises(ConfigError, match=r"network\.members: 3 need about"):
        run(networks, device="cpu", rows=of_array(few()))
