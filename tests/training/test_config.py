"""What a run can be told, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from training.config import Config, load_config, make_config, slug
from vaekit.errors import ConfigError

BASE = {"name": "m", "data": {"source": "digits"}}


def make(*overrides: str) -> Config:
    return make_config({"name": "m", "data": {"source": "digits"}}, overrides)


def test_a_config_survives_its_own_toml(tmp_path: Path) -> None:
    config = make("training.steps=7", 'likelihood.scale="feature"', "data.exclude=['a', 'b']", "draws.default=8")
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert load_config(path) == config


def test_a_bare_word_is_a_string() -> None:
    assert make("data.split=time:when").data.split == "time:when"


def test_a_source_beside_the_config_is_found(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    (tmp_path / "c.toml").write_text('name = "m"\n[data]\nsource = "rows.csv"\n')
    assert load_config(tmp_path / "c.toml").data.source == str(tmp_path / "rows.csv")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.step=1", "training.step: no such key"),
        ("nosuch.key=1", "nosuch: no such key"),
        ("likelihood.name=poisson", "likelihood.name: 'poisson'"),
        ("likelihood.scale=-1", "likelihood.scale"),
        ("likelihood.scale=row", "likelihood.scale: 'row' is not 'network', 'feature', 'shared' or a number above 0"),
        ("training.steps=many", "training.steps"),
        ("training.steps=0", "training.steps"),
        ("objective.beta=nan", "objective.beta"),
        ("data.fractions.train=0.9", "add up to 1.3, not 1"),
        ("data.split=weekly", "data.split"),
        ("draws.default=1", "draws.default"),
        ("draws.default=300", "above maximum"),
        ("name=No Such Name", "name"),
        ("training", "expected section.key=value"),
        ("name.deeper=1", "is no section"),
    ],
)
def test_a_refused_value_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        make(override)


@pytest.mark.parametrize(("text", "said"), [("name = ", "not TOML"), ("\xff", "not TOML|name")])
def test_a_broken_file_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=said):
        load_config(tmp_path / "c.toml")


def test_a_section_that_is_no_section_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('name = "m"\ndata = 3\n')
    with pytest.raises(ConfigError, match="config: data"):
        load_config(tmp_path / "c.toml")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")


def undescribed(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Settings without a description; sections have their own docstring."""
    found = []
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += undescribed(section, f"{prefix}{name}.")
        elif not field.description:
            found.append(f"{prefix}{name}")
    return found


def test_every_field_is_described() -> None:
    assert undescribed(Config) == []


def test_slug_makes_names() -> None:
    assert slug("Pump 7 (north)") == "pump-7-north"
    assert slug("___") == "model"
