"""Cells of rows of a linear-Gaussian model, whose conditionals are known, explained by a model with a kernel prior."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit import Detector
from vaekit.runtime import Model

D, N = 6, 1500


def covariance() -> NDArray[np.float64]:
    root = np.random.default_rng(1).standard_normal((D, 3))
    return root @ root.T + np.diag(np.linspace(0.1, 1.0, D))


def linear(n: int, seed: int) -> NDArray[np.float64]:
    rows = np.random.default_rng(seed).multivariate_normal(np.zeros(D), covariance(), n)
    return rows * np.logspace(-3, 3, D) + np.arange(D)


@pytest.fixture(scope="module")
def model() -> Model:
    return Detector(random_state=0, device="cpu").fit(linear(N, 2)).model_


def cells(model: Model, rows: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The fields of all cells of the rows, (n, D) each, by column."""
    found = model.explain(rows, top=D).explanation
    assert found is not None
    by_column = np.take_along_axis(found, np.argsort(found["feature"], axis=1), axis=1)
    return {name: by_column[name] for name in found.dtype.names}


def test_the_expected_values_are_the_regressions_on_the_other_cells(model: Model) -> None:
    rows = linear(400, 3)
    q = np.linalg.inv(covariance())
    t = (rows - np.arange(D)) / np.logspace(-3, 3, D)
    expected = t - t @ q / np.diagonal(q)
    explained = cells(model, rows)
    usual = (explained["p_value"] > 0.05).all(axis=1)  # no cell was removed
    found = ((explained["expected"] - np.arange(D)) / np.logspace(-3, 3, D))[usual]
    spread = np.sqrt(1.0 / np.diagonal(q))  # the standard deviation of a cell given the others
    assert usual.mean() > 0.6
    assert (np.sqrt(np.square((found - expected[usual]) / spread).mean(axis=0)) < 0.3).all()


def test_the_intervals_cover_nine_tenths_of_the_cells_of_every_column(model: Model) -> None:
    rows = linear(3000, 4)
    found = cells(model, rows)
    covered = ((found["low"] <= rows) & (rows <= found["high"])).mean(axis=0)
    assert (covered > 0.85).all()
    assert (covered < 0.95).all()
    q = np.linalg.inv(covariance())
    width = (found["high"] - found["low"]) / np.logspace(-3, 3, D) / np.sqrt(1.0 / np.diagonal(q))
    np.testing.assert_allclose(np.median(width, axis=0), 2 * 1.645, rtol=0.15)


def test_a_cell_that_is_broken_comes_first_and_its_value_does_not_matter(model: Model) -> None:
    rows = linear(200, 5)
    at = np.arange(200) % D
    broken = rows.copy()
    broken[np.arange(200), at] += 12.0 * np.logspace(-3, 3, D)[at]
    found = model.explain(broken, top=1).explanation
    assert found is not None
    assert (found["feature"][:, 0] == at).mean() > 0.97
    whole = cells(model, rows)["expected"][np.arange(200), at]
    unit = np.logspace(-3, 3, D)[at]
    assert np.median(np.abs(found["expected"][:, 0] - whole) / unit) < 0.05


def test_the_second_of_two_broken_cells_is_explained_without_the_first(model: Model) -> None:
    rows, unit = linear(300, 8), np.logspace(-3, 3, D)
    both = np.argsort(np.random.default_rng(0).random((300, D)), axis=1)[:, :2]
    broken = rows.copy()
    for j, size in enumerate((40.0, 8.0)):
        broken[np.arange(300), both[:, j]] += size * unit[both[:, j]]
    found = model.explain(broken, top=2).explanation
    assert found is not None
    assert (found["feature"] == both).all(axis=1).mean() > 0.9
    right = found["feature"][:, 1] == both[:, 1]
    q = np.linalg.inv(covariance())
    off = (found["expected"][:, 1] - rows[np.arange(300), both[:, 1]]) / unit[both[:, 1]]
    assert np.median(np.abs(off[right])) < 1.5 * np.sqrt(1 / np.diagonal(q)).max()


def test_no_cell_is_listed_twice(model: Model) -> None:
    rows = linear(500, 9)
    rows[np.arange(500), np.arange(500) % D] += 4.0 * np.logspace(-3, 3, D)[np.arange(500) % D]
    found = model.explain(rows, top=D).explanation
    assert found is not None
    np.testing.assert_array_equal(np.sort(found["feature"], axis=1), np.tile(np.arange(D), (500, 1)))


def test_the_relief_of_a_cell_is_its_surprise_above_the_usual_one(model: Model) -> None:
    found = cells(model, linear(50, 6))
    np.testing.assert_allclose(found["relief"], found["excess"])
    assert model.surprises is not None
    assert model.surprises.factor.shape == (D,)


def test_a_missing_cell_is_not_explained_and_the_others_are(model: Model) -> None:
    rows = linear(5, 7)
    rows[:, 2] = np.nan
    scored = model.elbo(rows)
    assert np.isfinite(scored.elbo).all()
    assert scored.novel is not None
    assert scored.novel.all()
    found = cells(model, rows)
    assert (found["feature"] == -1).sum() == 5
    assert np.isfinite(found["expected"][:, 1:]).all()
