"""Tolerance rules remove an alarm that tolerated deviations explain, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kinds import NAMES, Published, mixed_rows
from vaekit.bundle import GroupedCalibration
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.runtime.explain import tolerance
from vaekit.tabular.groups import RowGroups
from vaekit.tolerance_rules import parse_rules

COLUMN, OTHER, SECOND = 3, 7, 20  # of breast-cancer
ANY = {"above": "any", "below": "any"}


@pytest.fixture(scope="module")
def normal(breast_cancer: Model, benign_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """40 rows without an alarm."""
    return benign_rows[~alarms(breast_cancer, benign_rows)][:40]


@pytest.fixture(scope="module")
def sd(benign_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return benign_rows.std(axis=0)


def alarms(model: Model, rows: Any) -> NDArray[np.bool_]:
    calibration = model.calibration()
    assert not isinstance(calibration, str)
    found = calibration.verdict(model.bound(rows), 0.05).is_anomaly
    assert found is not None
    return found


def moved(rows: NDArray[np.float64], *changes: tuple[int, float]) -> NDArray[np.float64]:
    rows = rows.copy()
    for column, by in changes:
        rows[:, column] += by
    return rows


def name(model: Model, column: int) -> str:
    return str(model.spec.names[column])  # type: ignore[union-attr]  # a model of columns


def test_an_alarm_that_a_tolerated_deviation_causes_is_removed_and_names_its_rule(
    breast_cancer: Model, normal: NDArray[np.float64], sd: NDArray[np.float64]
) -> None:
    rows, rule = moved(normal, (COLUMN, 6 * sd[COLUMN])), {"above": 9 * sd[COLUMN]}
    assert alarms(breast_cancer, rows).all()
    found = breast_cancer.tolerated(rows, ignore={name(breast_cancer, COLUMN): rule})
    assert found.tolist() == [["mean area"]] * len(rows)


@pytest.mark.parametrize(
    ("by", "rule"),
    [(6, {"above": 3}), (6, {"below": 9}), (6, {"below": "any"}), (-6, {"below": 3}), (-6, {"above": "any"})],
)
def test_a_deviation_that_is_larger_or_in_the_other_direction_keeps_its_alarm(
    breast_cancer: Model, normal: NDArray[np.float64], sd: NDArray[np.float64], by: float, rule: dict[str, Any]
) -> None:
    rows = moved(normal, (OTHER, by * sd[OTHER]))
    assert alarms(breast_cancer, rows).all()
    sized = {side: size if size == "any" else size * sd[OTHER] for side, size in rule.items()}
    found = breast_cancer.tolerated(rows, ignore={name(breast_cancer, OTHER): sized})
    assert not any(found)
    opposite = {"above": "any"} if by > 0 else {"below": "any"}
    assert sum(map(bool, breast_cancer.tolerated(rows, ignore={name(breast_cancer, OTHER): opposite}))) > 35


def test_an_alarm_that_another_cell_causes_stays_even_if_everything_else_is_tolerated(
    breast_cancer: Model, normal: NDArray[np.float64], sd: NDArray[np.float64]
) -> None:
    rows = moved(normal, (OTHER, 6 * sd[OTHER]))
    rules = {column: ANY for d, column in enumerate(breast_cancer.spec.names) if d != OTHER}  # type: ignore[union-attr]  # a model of columns
    assert alarms(breast_cancer, rows).all()
    assert sum(map(bool, breast_cancer.tolerated(rows, ignore=rules))) <= 2


def test_the_counterfactual_row_is_what_counts_if_a_tolerated_and_another_cell_deviate(
    breast_cancer: Model, normal: NDArray[np.float64], sd: NDArray[np.float64]
) -> None:
    rules = {name(breast_cancer, COLUMN): ANY}
    rows = moved(normal, (COLUMN, 6 * sd[COLUMN]), (OTHER, 6 * sd[OTHER]))
    assert not any(breast_cancer.tolerated(rows, ignore=rules))


def test_several_tolerated_cells_are_replaced_one_after_the_other(
    breast_cancer: Model, normal: NDArray[np.float64], sd: NDArray[np.float64]
) -> None:
    rows = moved(normal, (COLUMN, 6 * sd[COLUMN]), (SECOND, 6 * sd[SECOND]))
    one, two = name(breast_cancer, COLUMN), name(breast_cancer, SECOND)
    assert not any(breast_cancer.tolerated(rows, ignore={one: ANY}))
    found = breast_cancer.tolerated(rows, ignore={two: ANY, one: ANY}).tolist()
    assert found.count([one, two]) > 30
    assert set(map(tuple, found)) <= {(one, two), ()}


def test_rules_of_the_bundle_apply_unless_the_call_has_its_own(
    breast_cancer: Model, normal: NDArray[np.float64], sd: NDArray[np.float64]
) -> None:
    assert not any(breast_cancer.tolerated(moved(normal, (COLUMN, 6 * sd[COLUMN]))))  # it has none
    assert not any(breast_cancer.tolerated(normal, ignore={name(breast_cancer, COLUMN): ANY}))  # no alarms


@pytest.fixture(scope="module")
def model(mixed: Published) -> Iterator[Model]:
    with Model.load(mixed.folder, device="cpu") as loaded:
        yield loaded


def with_cells(rows: NDArray[Any], cells: dict[str, Any]) -> NDArray[Any]:
    rows = rows.copy()
    for column, cell in cells.items():
        rows[:, NAMES.index(column)] = cell
    return rows


@pytest.mark.parametrize(
    ("cells", "removed"),
    [
        ({"size": -0.1}, True),  # outside its column's kind, but a number whose deviation is tolerated
        ({"size": -0.1, "stops": -1}, True),
        ({"on": 2}, False),  # a number outside its column's kind without a rule
        ({"size": -0.1, "on": 2}, False),
        ({"colour": "pink"}, False),  # an unseen level has no deviation
        ({"size": -0.1, "colour": "pink"}, False),
        ({"size": None, "on": None, "colour": None}, False),  # more missing cells than any training row
    ],
)
def test_the_alarm_of_a_novel_row_goes_only_if_every_novel_cell_is_a_tolerated_number(
    model: Model, cells: dict[str, Any], removed: bool
) -> None:
    rows = mixed_rows(60, seed=9)
    rows = rows[~alarms(model, rows)]
    novel = with_cells(rows, cells)
    assert alarms(model, novel).all()
    found = model.tolerated(novel, ignore={"size": ANY, "stops": {"below": 10}, "load": {"above": 1e-9}})
    if removed:  # all but rows that are close to an alarm anyway
        assert found.tolist().count(list(cells)) > 0.9 * len(rows)
    else:
        assert not any(found)


def test_a_missing_cell_and_a_row_without_a_cell_with_a_rule_keep_the_alarm(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = with_cells(mixed_rows(20, seed=9), {"load": 40.0, "size": None})
    rows = rows[alarms(model, rows)]
    assert len(rows)
    explained: list[Any] = []
    monkeypatch.setattr(tolerance, "_rules_of", lambda *given: explained.append(given))
    assert not any(model.tolerated(rows, ignore={"size": ANY}))
    assert not explained  # nothing to compare, so no work


def test_replaced_cells_are_whole_numbers_where_the_column_has_only_these(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[NDArray[Any]] = []
    judge = tolerance._is_anomaly
    monkeypatch.setattr(tolerance, "_is_anomaly", lambda m, x, *more: seen.append(x.copy()) or judge(m, x, *more))
    found = model.tolerated(with_cells(mixed_rows(20, seed=9), {"stops": 400}), ignore={"stops": ANY})
    assert any(found)
    counts = np.concatenate(seen)[:, NAMES.index("stops")]
    np.testing.assert_array_equal(counts, np.rint(counts))
    assert (counts < 50).all()


def test_fold_models_and_ensembles_take_rules(folded: Published, several: Published) -> None:
    for published in (folded, several):
        with Model.load(published.folder, device="cpu") as loaded:
            rows = np.random.default_rng(5).standard_normal((30, 3)) * [1.0, 1e-3, 1e5]
            rows = rows[~alarms(loaded, rows)]
            rows[:, 1] += 0.05
            flagged = alarms(loaded, rows)
            assert flagged.any()
            found = [bool(names) for names in loaded.tolerated(rows, ignore={"b": {"above": 0.1}})]
            assert sum(found) > 0.8 * flagged.sum()
            assert not any(loaded.tolerated(rows, ignore={"b": {"above": 0.01}, "a": ANY, "c": ANY}))


def test_float16_graphs_take_rules(half: Published) -> None:
    with Model.load(half.folder, device="cpu", precision="float16") as loaded:
        rows = np.array([[0.0, 0.05, 0.0], [0.0, 0.0, 0.0]])
        assert loaded.tolerated(rows, ignore={"b": {"above": 0.1}}).tolist() == [["b"], []]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"lod": ANY}, "ignore: column 'lod' is not a column of the model; its columns are load, size"),
        ({"colour": ANY}, "ignore: column 'colour' is a category"),
        ({"load": {"above": -1}}, "ignore: column 'load': above: -1"),
    ],
)
def test_rules_that_do_not_fit_are_refused(model: Model, rules: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.tolerated(mixed_rows(2), ignore=rules)


def test_a_bundle_without_held_out_surprises_refuses_rules() -> None:
    old = Path(__file__).parents[1] / "old" / "sensors"
    with Model.load(old, device="cpu") as loaded:
        row = [25.0, 3, "blue"]
        with pytest.raises(InputError, match="sensors has no surprises of held-out rows; vae calibrate adds them"):
            loaded.tolerated([row], ignore={"load": ANY})
        assert loaded.tolerated([row], ignore={}).tolist() == [[]]


def test_a_row_stays_in_its_calibration_group_while_its_cells_are_replaced(
    grouped: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    verdict = GroupedCalibration.verdict

    def spy(self: GroupedCalibration, scored: Any, alpha: float | None = None) -> Any:
        compared.extend(scored.group_node)
        return verdict(self, scored, alpha)

    with Model.load(grouped.folder, device="cpu") as model:
        row = grouped.trained.rows.x[:1].copy()
        row[0, 0] = 40.0  # load
        monkeypatch.setattr(RowGroups, "nodes", lambda _, rows: np.where(rows[:, 0] == 40.0, 1, 2))
        monkeypatch.setattr(GroupedCalibration, "verdict", spy)
        tolerances = tolerance.tolerances_of(model, parse_rules({"load": ANY}))
        assert tolerances is not None
        tolerance.tolerated(model, row, tolerances=tolerances, alpha=0.1)
    assert compared
    assert set(compared) == {1}
