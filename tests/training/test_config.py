"""The config of a run: what it accepts and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from vaekit.errors import ConfigError, InputError
from vaekit_training.config import Config, load_config, make_config, slug
from vaekit_training.unused import unused

BASE = {"name": "m", "data": {"source": "digits"}}


def make(*overrides: str) -> Config:
    return make_config({"name": "m", "data": {"source": "digits"}}, overrides)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # the second has a byte order mark, as from Notepad
def test_a_config_survives_its_own_toml(tmp_path: Path, encoding: str) -> None:
    config = make("training.steps=7", 'likelihood.scale="feature"', "data.exclude=['a', 'b']", "draws.default=8")
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding=encoding)
    assert load_config(path) == config


def test_a_bare_word_in_an_override_is_a_string() -> None:
    assert make("data.split=time:when").data.split == "time:when"


def test_a_source_is_relative_to_the_folder_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    (tmp_path / "c.toml").write_text('name = "m"\n[data]\nsource = "rows.csv"\n')
    assert load_config(tmp_path / "c.toml").data.source == str(tmp_path / "rows.csv")


def test_a_built_in_dataset_is_refused_beside_a_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('name = "m"\n[data]\nsource = "digits"\n')
    assert load_config(tmp_path / "c.toml").data.source == "digits"
    (tmp_path / "digits").mkdir()
    with pytest.raises(InputError, match="a built-in dataset, and also a folder or file in"):
        load_config(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text('name = "m"\n[data]\nsource = "./digits"\n')
    assert load_config(tmp_path / "c.toml").data.source == str(tmp_path / "digits")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.step=1", "training.step: no such key"),
        ("nosuch.key=1", "nosuch: no such key"),
        ("likelihood.name=poisson", "likelihood.name: 'poisson'"),
        ("likelihood.scale=-1", "likelihood.scale"),
        (
            "likelihood.scale=row",
            "likelihood.scale: 'row' is not 'network', 'feature', 'shared', a number from 1e-6 to 1e6",
        ),
        ("training.steps=many", "training.steps"),
        ("training.steps=0", "training.steps"),
        ("training.steps=true", "training.steps: Input should be a valid integer, not True"),
        ("training.batch_size='128'", "training.batch_size: Input should be a valid integer, not '128'"),
        ("likelihood.scale=1e-60", "likelihood.scale: 1e-60 is not"),
        ("likelihood.scale=true", "likelihood.scale: True is not"),
        ("network.latent_dim=22000", "network.latent_dim"),
        ("prior.components=1", "prior.components"),
        ("data.exclude=a", "data.exclude: 'a' is not a list: write ['a']"),
        ("=1", "expected section.key=value"),
        ("a b=1", "expected section.key=value"),
        ("objective.beta=nan", "objective.beta"),
        ("data.fractions.train=0.9", "add up to 1.3; they must add up to 1"),
        ("data.split=weekly", "data.split: 'weekly' is not 'random', 'time:<column>' or 'group:<column>'"),
        ("draws.default=1", "draws.default"),
        ("draws.default=300", "above maximum"),
        ("name=No Such Name", "name"),
        ("training", "expected section.key=value"),
        ("name.deeper=1", "is a value, not a section"),
    ],
)
def test_an_invalid_value_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        make(override)


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"^config: name: missing; this key is required\nconfig: data: missing; this key is required$"
    ):
        make_config({})


def test_a_column_name_with_a_dot_is_quoted_in_overrides() -> None:
    assert make('data.kinds."Sepal.Length"=real').data.kinds["Sepal.Length"] == "real"


@pytest.mark.parametrize("source", ["rows.csv", "breast-cancer", "parts", "digits"])
def test_a_network_for_images_is_refused_for_columns_before_they_are_read(source: str, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "one.parquet").write_bytes(b"never read")
    found = str(tmp_path / source) if source == "parts" else source
    tree = {"name": "m", "data": {"source": found, "read": "memory"}, "network": {"name": "conv"}}
    if source == "digits":
        make_config(tree)
        tree["data"]["read"] = "stream"  # type: ignore[index]  # a dict
    with pytest.raises(ConfigError, match=r"network\.name = 'conv' is for images"):
        make_config(tree)


@pytest.mark.parametrize("value", ["-1", "0", "row", "nan"])
def test_an_invalid_scale_is_refused_in_one_line(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(f"likelihood.scale={value}")
    assert str(caught.value).count("likelihood.scale") == 1


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.anomalies=[2]"], "data.anomalies = [2] has no effect: it needs data.label"),
        (["data.shuffle_buffer=9"], "data.shuffle_buffer = 9 has no effect: it needs data.read = 'stream'"),
        (
            ["network.name=conv", "network.hidden=[8]"],
            "network.hidden = [8] has no effect: it needs",
        ),
        (["network.name=resnet", "network.residual=true"], "network.residual = True"),
        (["network.name=conv", "network.layer_norm=true"], "network.layer_norm = True"),
        (["network.channels=[8]"], "network.channels = [8] has no effect: it needs network.name = 'conv' or"),
        (["network.name=conv", "network.blocks=3"], "network.blocks = 3"),
        (["likelihood.name=bernoulli", "likelihood.scale_floor=1"], "likelihood.scale_floor = 1.0"),
        (["likelihood.real=laplace"], "likelihood.real = 'laplace'"),
        (["likelihood.count=gaussian"], "likelihood.count = 'gaussian'"),
        (["likelihood.components=3"], "likelihood.components ="),
        (
            ["likelihood.name=mixed", "likelihood.count=gaussian", "likelihood.components=3"],
            "likelihood.components = 3",
        ),
        (["prior.components=9"], "prior.components = 9"),
        (["prior.start=0.3"], "prior.start = 0.3"),
        (
            ["privacy.show_exemplars=true"],
            "privacy.show_exemplars = True has no effect: it needs prior.name = 'kernel' without data.folds",
        ),
        (
            ["likelihood.name=auto", "prior.name=kernel", "data.folds=3", "privacy.show_exemplars=true"],
            "privacy.show_exemplars = True has no effect: it needs prior.name = 'kernel' without data.folds",
        ),
        (
            ["likelihood.name=auto", "training.steps=9", "privacy.show_exemplars=true"],
            "privacy.show_exemplars = True has no effect",
        ),
        (["objective.schedule=constant", "objective.warmup=0.1"], "objective.warmup = 0.1"),
        (["objective.name=iwae", "objective.num_samples=5", "objective.warmup=0"], "objective.warmup = 0.0"),
        (
            ["objective.name=iwae", "objective.num_samples=5", "objective.schedule=constant"],
            "objective.schedule =",
        ),
        (["objective.cycles=3"], "objective.cycles = 3"),
    ],
)
def test_a_setting_without_effect_is_named(overrides: list[str], said: str) -> None:
    (found,) = unused(make(*overrides))
    assert found.startswith(said)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data.label=y", "data.anomalies=[2]"],
        ["network.name=conv", "network.channels=[8]"],
        ["likelihood.name=mixed", "likelihood.components=3", "likelihood.scale=shared", "likelihood.real=laplace"],
        ["likelihood.name=discretized_logistic", "likelihood.components=3"],
        ["prior.name=aggregate", "prior.components=9", "prior.start=1"],
        ["objective.schedule=cyclical", "objective.cycles=3", "objective.warmup=0.5"],
        ["likelihood.name=auto", "prior.name=kernel", "privacy.show_exemplars=true"],
        ["likelihood.name=auto", "privacy.show_exemplars=true"],  # a table of numbers gets a kernel prior
    ],
    ids=" ".join,
)
def test_a_setting_with_an_effect_is_not_named(overrides: list[str]) -> None:
    assert unused(make(*overrides)) == []


@pytest.mark.parametrize(("text", "said"), [("name = ", "not TOML"), ("\xff", "not TOML|name")])
def test_an_invalid_config_file_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=said):
        load_config(tmp_path / "c.toml")


def test_a_section_that_is_not_a_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('name = "m"\ndata = 3\n')
    with pytest.raises(ConfigError, match="config: data"):
        load_config(tmp_path / "c.toml")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")


def undescribed(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Names of settings without a description; sections have a docstring instead."""
    found = []
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += undescribed(section, f"{prefix}{name}.")
        elif not field.description:
            found.append(f"{prefix}{name}")
    return found


def test_every_setting_has_a_description() -> None:
    assert undescribed(Config) == []


def test_slug_makes_valid_model_names() -> None:
    assert slug("Pump 7 (north)") == "pump-7-north"
    assert slug("___") == "model"
