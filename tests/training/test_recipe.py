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
from vaekit_training.recipe import FEW
from vaekit_training.run import run


def auto(*settings: str) -> Config:
    tree = {"name": "x", "data": {"source": "rows.csv"}, "likelihood": {"name": "auto"}}
    return make_config(tree, settings)


def test_a_config_from_auto_survives_its_own_toml() -> None:
    config = auto()
    assert (config.likelihood.name, config.prior.name, config.prior.start) == ("student_t", "aggregate", 1.0)
    assert len(config.objective.betas) == config.network.members > 1
    again = make_config(config.model_dump(mode="json", exclude_none=True))
    assert again.model_dump() == config.model_dump()
    assert again.sized(10) == again  # settings from a file do not depend on the number of rows


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
    config = auto().sized(FEW - 1)
    assert (config.likelihood.scale, config.likelihood.scale_floor) == ("feature", 0.01)
    assert config.objective.betas == pytest.approx([1.0, 0.1**0.5, 0.1], abs=1e-4)
    assert config.training.learning_rate < auto().training.learning_rate
    kept = auto("training.learning_rate=1e-4", "likelihood.scale=network", "network.members=2").sized(10)
    assert kept.training.learning_rate == 1e-4
    assert (kept.likelihood.scale, kept.likelihood.scale_floor) == ("network", 0.1)
    assert kept.objective.betas == (1.0, 0.1)
    assert auto('objective.name="iwae"', "objective.num_samples=4").sized(10).objective.betas == (1.0,)


def test_auto_is_mixed_if_a_column_is_not_real() -> None:
    assert auto("data.kinds.a=positive").likelihood.name == "student_t"
    config = auto("data.kinds.a=positive", "data.kinds.b=category")
    assert (config.likelihood.name, config.likelihood.real) == ("mixed", "student_t")


def test_with_many_rows_members_differ_in_beta_and_in_the_source_of_their_scale() -> None:
    config = auto("network.members=4")
    assert config.objective.beta == (0.3162, 0.1, 0.1, 0.3162)
    assert config.likelihood.scale == ("network", "feature", "network", "network")
    assert config.likelihood.scale_floor == (0.1, 0.01, 0.1, 0.1)
    assert config.sized(FEW) == config
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
    assert config_of(np.zeros((3, 8, 8), np.uint8)).likelihood.name == "gaussian"
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
