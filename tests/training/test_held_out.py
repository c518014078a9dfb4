"""Held-out rows are novel by the same rule as new rows: relative to the rows that their model was trained on."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit import Detector
from vaekit.bundle import Calibration, FoldCalibration
from vaekit.runtime import Bound, Model
from vaekit_training import held_out
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import Splits
from vaekit_training.held_out import calibrated

LEVELS = ("a", "b", "c")


class FakeModel:
    """Scores a row by its first column; a row with a level after the last is novel."""

    def __init__(self, folds: int = 0) -> None:
        self._folds = folds
        self.seen: list[NDArray[Any]] = []

    def bound(self, x: NDArray[Any]) -> Bound:
        self.seen.append(x)
        elbo, zero = -x[:, 0], np.zeros(len(x))
        by_fold = np.repeat(elbo[:, None], self._folds, axis=1) if self._folds else None
        return Bound(elbo=elbo, log_likelihood=elbo, kl=zero, novel=x[:, 1] == len(LEVELS), fold_elbo=by_fold)


def rows_of(x: list[list[float]], **more: Any) -> Rows:
    columns = {"kinds": ("real", "category", "real"), "levels": (None, LEVELS, None), "may_be_missing": (True,) * 3}
    return Rows(np.array(x), ("x", "c", "y"), np.zeros(len(x), dtype=bool), **{**columns, **more})


def splits_of(train: list[int], calibration: list[int], folds: tuple[list[int], ...] = ()) -> Splits:
    none = np.arange(0)
    return Splits(
        np.array(train), none, np.array(calibration, dtype=np.intp), none, none, folds=tuple(np.array(f) for f in folds)
    )


def of(model: FakeModel, rows: Rows, splits: Splits) -> Calibration:
    found = calibrated(cast(Model, model), rows, splits)
    assert isinstance(found, Calibration)
    return found


def test_a_calibration_row_with_a_level_that_no_training_row_has_is_novel() -> None:
    x = [[0.0, 0, 0.5], [np.nan, 1, 0.5], [2.0, 0, 0.5], [3.0, 2, 0.5], [4.0, np.nan, 0.5]]
    found = of(model := FakeModel(), rows_of(x), splits_of([0, 1], [2, 3, 4]))
    assert found.novel_scores.tolist() == [3.0]
    assert found.scores.tolist() == [2.0, 4.0]
    np.testing.assert_array_equal(model.seen[0][:, 1], [0, len(LEVELS), np.nan])


def test_a_row_of_a_fold_is_novel_relative_to_the_other_folds() -> None:
    nan = np.nan
    x = [[0.0, 0, 0.5], [1.0, 0, nan], [2.0, 1, 0.5], [3.0, nan, nan], [4.0, 0, 0.5], [5.0, 0, 0.5]]
    rows, splits = rows_of(x), splits_of(list(range(6)), [], ([0, 1], [2, 3], [4, 5]))
    found = calibrated(cast(Model, FakeModel(folds=3)), rows, splits)
    assert isinstance(found, FoldCalibration)
    # in fold 1 one row has a level of its own, and the other more missing cells than any row of the other folds
    assert [fold.novel_scores.tolist() for fold in found.folds] == [[], [2.0, 3.0], []]


@pytest.mark.parametrize(
    ("inferred", "train", "novel"),
    [
        (True, [0.0, 1.0, np.nan], [3.0]),
        (False, [0.0, 1.0, np.nan], []),  # the kind was given, so that no row is outside
        (True, [0.0, 1.0, 0.5], []),  # real by the training rows too
        (True, [0.0, 0.0, 0.0], []),
    ],
)
def test_a_calibration_row_outside_the_kind_that_training_rows_alone_would_give_is_novel(
    inferred: bool, train: list[float], novel: list[float]
) -> None:
    x = [[0.0, 0, y] for y in train] + [[2.0, 0, 1.0], [3.0, 0, 2.0]]
    found = of(FakeModel(), rows_of(x, inferred=(False, False, inferred)), splits_of([0, 1, 2], [3, 4]))
    assert found.novel_scores.tolist() == novel


def test_new_rows_are_flagged_at_most_alpha_where_any_of_many_columns_may_show_a_first_new_value() -> None:
    """100 columns of 0 and 1, and rarely 2. A new row with a 2 is novel where no row of the data has one."""
    alpha, n, d, rate, runs, rng = 0.05, 300, 100, 1 / 400, 200, np.random.default_rng(0)
    splits, names = splits_of(list(range(240)), list(range(240, n))), tuple(map(str, range(d + 1)))
    flagged = []
    for _ in range(runs):
        cells = rng.choice([0.0, 1.0, 2.0], p=[0.5, 0.5 - rate, rate], size=(n + 20, d))
        x = np.column_stack([rng.normal(size=n + 20), cells])
        binary = (x[:n] != 2).all(axis=0)
        kinds = ("real", *("binary" if one else "real" for one in binary[1:]))
        rows = Rows(x[:n], names, np.zeros(n, dtype=bool), kinds=kinds, inferred=(True,) * (d + 1))
        novel = (x[n:, binary] == 2).any(axis=1)
        flagged.append((of(FakeModel(), rows, splits).p_value(x[n:, 0], novel) <= alpha).mean())
    assert np.mean(flagged) <= alpha + 4 * np.std(flagged) / np.sqrt(runs)


def test_the_surprises_of_a_kernel_prior_come_from_some_rows_of_each_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is compared with all exemplars for each column, which takes long for many rows."""
    monkeypatch.setattr(held_out, "CELLS", 1)
    monkeypatch.setattr(held_out, "FEWEST_ROWS", 10)
    x = np.random.default_rng(0).standard_normal((150, 2))
    found = Detector(folds=3).fit(x).model_
    assert found.manifest.prior.name == "kernel"
    assert found.manifest.surprise is not None
    assert 20 <= found.manifest.surprise.n <= 30
