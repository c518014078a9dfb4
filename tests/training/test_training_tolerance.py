"""Tolerance rules in a training config: checked before training, written into the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kinds import MIXED, NAMES, TINY, mixed_rows
from vaekit.errors import ConfigError
from vaekit.runtime import Model
from vaekit.scoring import publish_calibration
from vaekit.tolerance_rules import ToleranceRule
from vaekit_training.config import Config, load_config, make_config
from vaekit_training.data.load import of_array
from vaekit_training.publish import publish_run
from vaekit_training.report import words
from vaekit_training.run import run

RULES = {"load": {"above": 5}, "size": {"above": 0.2, "below": "any"}}


def make(ignore: Any, *overrides: str) -> Config:
    return make_config({**MIXED, "ignore": ignore}, [*TINY, "network.hidden=[8]", *overrides])


def test_rules_of_a_config_are_in_the_manifest_and_in_force(tmp_path: Path) -> None:
    config = make(RULES)
    rows = of_array(mixed_rows(200), NAMES, config=config.data, likelihood=config.likelihood)
    manifest = publish_run(run(config, device="cpu", rows=rows), tmp_path, draws_report=False)
    expected = {"load": ToleranceRule(above=5.0), "size": ToleranceRule(above=0.2, below="any")}
    assert manifest.ignore == expected
    assert words.inputs(manifest).endswith(
        "tolerance rules: load up to 5 above the expected value; size up to 0.2 above and any below the expected value."
    )
    with Model.load(tmp_path / "mixed", device="cpu") as model:
        assert model.manifest.ignore == expected
        assert model.tolerated([[0.5, -0.1, 3, 1, "red"]], alpha=0.1).tolist() == [["size"]]
        assert model.tolerated([[0.5, -0.1, 3, 1, "red"]], alpha=0.1, ignore={}).tolist() == [[]]
        rows = tmp_path / "rows.csv"
        cells = [",".join("" if cell is None else f'"{cell}"' for cell in row) for row in mixed_rows(60, seed=5)]
        rows.write_text("\n".join([",".join(NAMES), *cells]) + "\n")
        assert publish_calibration(model, rows).ignore == expected  # vae calibrate keeps them


def test_a_config_with_rules_survives_its_own_toml(tmp_path: Path) -> None:
    config = make(RULES)
    (tmp_path / "c.toml").write_text(config.to_toml())
    assert load_config(tmp_path / "c.toml") == config


def test_rules_are_set_by_overrides_and_dictionaries_with_dots_in_a_column() -> None:
    assert make({}, "ignore.load.above=5").ignore == {"load": ToleranceRule(above=5)}
    assert make({}, 'ignore."a.b".below=any').ignore == {"a.b": ToleranceRule(below="any")}
    nested = make_config(MIXED, {"ignore": {"a.b": {"below": 2}}, "ignore.load": {"above": 1}})
    assert nested.ignore == {"a.b": ToleranceRule(below=2), "load": ToleranceRule(above=1)}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("ignore.load.above=-1", "config: ignore.load.above: -1: expected a number of at least 0"),
        ("ignore.load.above=nan", "config: ignore.load.above: nan: expected a number of at least 0"),
        ("ignore.load.over=1", "config: ignore.load.over: no such key; the keys are above, below"),
        ("ignore.load.above=0", "config: ignore.load: the rule tolerates nothing"),
        ("ignore.load=5", "config: ignore.load: "),
    ],
)
def test_an_invalid_rule_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make({}, override)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("lod", "ignore: column 'lod' is not a column of the model; its columns are load, size, stops, on, colour"),
        ("colour", "ignore: column 'colour' is a category"),
    ],
)
def test_a_rule_for_a_column_that_cannot_have_one_stops_the_run_before_training(column: str, said: str) -> None:
    config = make({column: {"above": 1}}, "training.steps=100000000")
    rows = of_array(mixed_rows(200), NAMES, config=config.data, likelihood=config.likelihood)
    with pytest.raises(ConfigError, match=said):
        run(config, device="cpu", rows=rows)


def test_a_rule_for_a_model_of_images_stops_the_run(digit_images: Any) -> None:
    config = make_config({"name": "m", "data": {"source": "memory"}, "ignore": {"a": {"above": 1}}})
    with pytest.raises(ConfigError, match="ignore: column 'a': the model takes images"):
        run(config, device="cpu", rows=of_array(digit_images[:60]))
