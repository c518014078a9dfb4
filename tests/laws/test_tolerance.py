"""Over random rows and random rules: rules only remove alarms, change no score or p-value, and act row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kinds import Published, as_json, folded_rows, mixed_rows
from tests.live import serving
from vaekit import Client
from vaekit.bundle import VectorSpec
from vaekit.runtime import Model
from vaekit.scoring.remote import RemoteScorer
from vaekit.scoring.scorers import LocalScorer, Scores
from vaekit.tabular import encode
from vaekit.tolerance_rules import ToleranceRule

KINDS = ["breast_cancer", "mixed", "several", "folded"]
ALPHA, TRIALS = 0.1, 4
SAME = ("elbo", "log_likelihood", "kl", "score", "p_value", "p_value_tail", "observed_count", "novel")


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, models_dir: Path) -> Iterator[Model]:
    if request.param == "breast_cancer":
        folder = models_dir / "breast-cancer"
    else:
        published: Published = request.getfixturevalue(request.param)
        folder = published.folder
    with Model.load(folder, device="cpu") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def normal(model: Model, benign_rows: NDArray[np.float64]) -> NDArray[Any]:
    """Rows like those of training, checked."""
    by_name = {
        "breast-cancer": lambda: benign_rows[:120],
        "mixed": lambda: mixed_rows(120, seed=11),
        "several": lambda: np.random.default_rng(11).standard_normal((120, 3)) * [1.0, 1e-3, 1e5],
        "folded": lambda: folded_rows(120, seed=11),
    }
    return encode(by_name[model.manifest.name](), model.spec.lenient)


def numbers(model: Model) -> list[int]:
    """The columns that may have a rule."""
    assert isinstance(model.spec, VectorSpec)
    return [d for d, column in enumerate(model.spec.columns) if column.kind != "category"]


def random_rows(rng: np.random.Generator, model: Model, normal: NDArray[Any]) -> NDArray[Any]:
    """Normal rows in which some cells are moved, far out or not, out of their range or not; some cells are missing."""
    x, spread = normal.copy(), np.nanstd(normal, axis=0)
    for row in x[rng.random(len(x)) < 0.8]:
        d = rng.choice(numbers(model))
        row[d] += rng.choice([-1, 1]) * spread[d] * rng.choice([2.0, 6.0, 1e3])
    return x


def random_rules(rng: np.random.Generator, model: Model, normal: NDArray[Any]) -> dict[str, ToleranceRule]:
    columns = rng.choice(numbers(model), rng.integers(1, len(numbers(model)) + 1), replace=False)
    spread = np.nanstd(normal, axis=0)
    sizes: list[Any] = [0.0, 1.0, 4.0, 20.0, "any"]

    def rule(d: int) -> ToleranceRule:
        above, below = (sizes[rng.integers(len(sizes))] for _ in range(2))
        above, below = (size if size == "any" else size * float(spread[d]) for size in (above, below))
        return ToleranceRule(above=above or "any", below=below)

    assert isinstance(model.spec, VectorSpec)
    return {model.spec.names[d]: rule(d) for d in columns}


def check_law(plain: Scores, ruled: Scores, rules: dict[str, ToleranceRule]) -> int:
    """The law for one set of rows; returns the number of alarms that were removed."""
    for name in SAME:
        np.testing.assert_array_equal(getattr(ruled, name), getattr(plain, name), err_msg=name)
    assert plain.is_anomaly is not None
    assert ruled.is_anomaly is not None
    assert ruled.rules is not None
    assert plain.rules is None
    assert not (ruled.is_anomaly & ~plain.is_anomaly).any()
    removed = plain.is_anomaly & ~ruled.is_anomaly
    assert [bool(names) for names in ruled.rules] == removed.tolist()
    assert {name for names in ruled.rules for name in names} <= set(rules)
    return int(removed.sum())


def test_rules_only_remove_alarms_and_change_no_score(model: Model, normal: NDArray[Any]) -> None:
    rng, removed, alarms = np.random.default_rng(0), 0, 0
    for _ in range(TRIALS):
        x, rules = random_rows(rng, model, normal), random_rules(rng, model, normal)
        plain = LocalScorer(model, alpha=ALPHA).score(x)
        removed += check_law(plain, LocalScorer(model, alpha=ALPHA, ignore=rules).score(x), rules)
        assert plain.is_anomaly is not None
        alarms += int(plain.is_anomaly.sum())
    assert 0 < removed < alarms  # the law is not empty


def test_a_row_keeps_its_verdict_at_every_batch_size(model: Model, normal: NDArray[Any]) -> None:
    rng = np.random.default_rng(1)
    x, rules = random_rows(rng, model, normal), random_rules(rng, model, normal)
    scorer = LocalScorer(model, alpha=ALPHA, ignore=rules)
    whole = scorer.score(x)
    assert any(whole.rules.tolist())  # type: ignore[union-attr]  # there are rules
    for size in (1, 7, 32):
        parts = Scores.concatenate([scorer.score(x[at : at + size]) for at in range(0, len(x), size)])
        np.testing.assert_array_equal(parts.is_anomaly, whole.is_anomaly)
        assert parts.rules.tolist() == whole.rules.tolist()  # type: ignore[union-attr]  # there are rules
    at_once = LocalScorer(model, alpha=ALPHA, ignore=rules, at_once=2).score(x)
    assert at_once.rules.tolist() == whole.rules.tolist()  # type: ignore[union-attr]  # there are rules


def test_rows_of_extreme_and_missing_values_are_judged_too(model: Model, normal: NDArray[Any]) -> None:
    rng, x = np.random.default_rng(7), normal[:40].copy()
    extremes = np.array([1e300, -1e300, 1e150, -1e9, 0.0, -0.0, 5e-324, 1e18, 2.5, -1.0, 1.7e308, np.nan])
    for row in x:
        cells = [d for d in numbers(model) if rng.random() < 0.4]
        row[cells] = rng.choice(extremes, len(cells))
    names = [model.spec.names[d] for d in numbers(model)]  # type: ignore[union-attr]  # a model of columns
    rules = dict.fromkeys(names, ToleranceRule(above="any", below="any"))
    plain, ruled = (LocalScorer(model, alpha=ALPHA, ignore=given).score(x) for given in (None, rules))
    check_law(plain, ruled, rules)


@pytest.mark.parametrize("kind", ["mixed", "folded"])
def test_the_rules_act_the_same_over_http(kind: str, request: pytest.FixtureRequest) -> None:
    published: Published = request.getfixturevalue(kind)
    rng = np.random.default_rng(2)
    with (
        Model.load(published.folder, device="cpu") as model,
        serving(published.root, default_model=kind) as url,
        Client(url) as client,
    ):
        rows = mixed_rows(120, seed=11) if kind == "mixed" else folded_rows(120, seed=11)
        x = encode(rows, model.spec.lenient)
        x = random_rows(rng, model, x)
        names = [model.spec.names[d] for d in numbers(model)[:-1]]  # type: ignore[union-attr]  # a model of columns
        rules = dict.fromkeys(names, ToleranceRule(above="any", below="any"))
        here = LocalScorer(model, alpha=ALPHA, ignore=rules).score(x)
        there = RemoteScorer(client, kind, alpha=ALPHA, ignore=rules).score(x)
        as_text = client.elbo(as_json(x, model.spec), alpha=ALPHA, ignore=rules)
        alone = [client.elbo(x[i : i + 1], alpha=ALPHA, ignore=rules).tolerated for i in range(0, len(x), 7)]
        plain = RemoteScorer(client, kind, alpha=ALPHA).score(x)
    assert here.rules is not None
    assert there.rules is not None
    assert any(here.rules.tolist())
    assert there.rules.tolist() == here.rules.tolist() == as_text.tolerated
    assert [names[0] for names in alone if names] == here.rules.tolist()[::7]
    check_law(plain, there, rules)
