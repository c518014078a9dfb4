"""Tolerance rules: what is accepted, what a refusal names, and which deviations a rule permits."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.bundle.manifest import Manifest
from vaekit.bundle.read import read_manifest
from vaekit.bundle.tolerance import Tolerances
from vaekit.errors import BundleError, InputError
from vaekit.tolerance_rules import ToleranceRule, parse_rules

SPEC = VectorSpec(columns=(Column(name="load"), Column(name="city", kind="category", levels=("a",)), Column(name="on")))
IMAGES = ImageSpec(height=2, width=2, channels=1)
REFUSED = {  # rules -> what the message says
    "no rules at all": ([1], "ignore: expected rules by column name, such as"),
    "a number in place of a rule": ({"load": 3}, "ignore: column 'load': 3: expected above and below"),
    "an unknown key": ({"load": {"abve": 1}}, "ignore: column 'load': abve: no such key; the keys are above and below"),
    "a negative size": ({"load": {"above": -1}}, "column 'load': above: -1: expected a number of at least 0"),
    "NaN": ({"load": {"below": math.nan}}, "column 'load': below: nan: expected a number of at least 0"),
    "infinity": ({"load": {"below": math.inf}}, "column 'load': below: inf: expected .* or 'any'"),
    "a boolean": ({"load": {"above": True}}, "column 'load': above: True: expected a number"),
    "a text": ({"load": {"above": "5"}}, "column 'load': above: '5': expected a number"),
    "a number of hundreds of digits": ({"load": {"above": 10**400}}, "column 'load': above: 1000"),
    "nothing": ({"load": {}}, "column 'load': the rule tolerates nothing: give above, below or both"),
    "zeros": ({"load": {"above": 0, "below": 0.0}}, "column 'load': the rule tolerates nothing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_the_column_the_key_and_the_value(case: str) -> None:
    rules, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        parse_rules(rules)


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("lod", SPEC, "ignore: column 'lod' is not a column of the model; its columns are load, city, on"),
        ("city", SPEC, "ignore: column 'city' is a category"),
        ("load", IMAGES, "ignore: column 'load': the model takes images"),
    ],
)
def test_a_rule_for_a_column_that_cannot_have_one_is_refused(name: str, spec: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tolerances.of(parse_rules({name: {"above": 1}}), spec)


def test_a_rule_permits_deviations_up_to_its_size_in_each_direction() -> None:
    rules = parse_rules({"on": {"above": np.float32(0.5)}, "load": {"above": 2, "below": "any"}})
    found = Tolerances.of(rules, SPEC)
    assert found is not None
    assert (found.names, found.columns) == (("load", "on"), (0, 2))  # in the model's order
    load = {d: found.permits(0, d) for d in (-1e300, -1.0, 0.0, 2.0, 2.001, math.nan)}
    assert list(load.values()) == [True, True, True, True, False, False]
    assert [found.permits(1, d) for d in (-1e-9, 0.0, 0.5, 0.6)] == [False, True, True, False]
    assert Tolerances.of({}, SPEC) is None


def test_the_rules_of_a_manifest_survive_json_and_are_absent_by_default(models_dir: Any) -> None:
    manifest = read_manifest(models_dir / "breast-cancer" / "1")
    assert manifest.ignore is None
    rules = parse_rules({"mean area": {"above": "any", "below": 3}})
    with_rules = manifest.model_copy(update={"ignore": rules})
    assert Manifest.model_validate_json(with_rules.to_json()).ignore == rules


@pytest.mark.parametrize("rules", [{"area": {"above": 1}}, {"mean area": {"above": -1}}, {"mean area": {"if": 1}}])
def test_a_manifest_whose_rules_do_not_fit_is_refused(models_dir: Any, tmp_path: Any, rules: Any) -> None:
    text = (models_dir / "breast-cancer" / "1" / "manifest.json").read_text()
    changed = json.dumps({**json.loads(text), "ignore": rules})
    with pytest.raises(ValidationError):
        Manifest.model_validate_json(changed)
    (tmp_path / "manifest.json").write_text(changed)
    with pytest.raises(BundleError, match="ignore"):
        read_manifest(tmp_path)


def test_a_rule_is_a_value() -> None:
    assert ToleranceRule(above=1) == ToleranceRule(above=1.0)
    assert hash(ToleranceRule(above="any")) == hash(ToleranceRule(above="any"))
