"""Novel rows get a score, and rank above all rows that are not novel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds import NAMES, Published, mixed_rows
from vaekit.errors import InputError
from vaekit.runtime import Model

ROW = [0.5, 2.0, 3, 1, "red"]
NOVEL = {  # cell -> the names of the novel cells
    "an unseen level": ({"colour": "pink"}, ["colour"]),
    "a number that names no level": ({"colour": 7}, ["colour"]),
    "a number that is not above 0": ({"size": 0.0}, ["size"]),
    "a part of a count": ({"stops": 2.5}, ["stops"]),
    "a negative count": ({"stops": -1}, ["stops"]),
    "a binary 2": ({"on": 2}, ["on"]),
    "several": ({"size": -1.0, "on": 0.5, "colour": "pink"}, ["size", "on", "colour"]),
}


@pytest.fixture(scope="module")
def model(mixed: Published) -> Iterator[Model]:
    with Model.load(mixed.folder, device="cpu") as loaded:
        yield loaded


def row(cells: dict[str, Any]) -> list[Any]:
    return [cells.get(name, cell) for name, cell in zip(NAMES, ROW, strict=True)]


@pytest.mark.parametrize("case", NOVEL)
def test_a_novel_cell_is_left_out_and_adds_the_reserved_probability(model: Model, case: str) -> None:
    cells, names = NOVEL[case]
    assert model.manifest.novelty is not None
    x = np.array([[0.5, 2.0, 3.0, 1.0, model.spec.columns[4].levels.index("red")]])  # type: ignore[union-attr]  # a category
    x[0, [NAMES.index(name) for name in names]] = np.nan  # the graphs leave these cells out
    eps = model.draws()
    without = model.elbo_checked(x, eps=eps, features=True)
    got = model.elbo([row(cells)], eps=eps, features=True)
    added = len(names) * model.manifest.novelty.log_outside
    for term in ("elbo", "log_likelihood", "log_evidence"):
        np.testing.assert_allclose(getattr(got, term), getattr(without, term) + added, rtol=1e-6)
    np.testing.assert_allclose(got.kl, without.kl, rtol=1e-6)
    each = got.feature_log_likelihood
    assert each is not None
    novel = [NAMES.index(name) for name in names]
    np.testing.assert_allclose(each[0, novel], model.manifest.novelty.log_outside)
    assert got.novel is not None
    assert got.novel.tolist() == [True]


@pytest.mark.parametrize("case", NOVEL)
def test_a_novel_row_ranks_above_all_others_and_strict_refuses_it(model: Model, case: str) -> None:
    cells, names = NOVEL[case]
    far = [1e6, 1e9, 3, 1, "red"]  # with a far worse score
    calibration = model.calibration()
    assert not isinstance(calibration, str)
    p_value = calibration.verdict(model.elbo([row(cells), far, ROW])).p_value
    assert p_value[0] == calibration.smallest_alpha
    assert p_value[2] > p_value[1]
    with pytest.raises(InputError, match=f"row 1, feature '({'|'.join(names)})'"):
        model.elbo([ROW, row(cells)], strict=True)


@pytest.mark.parametrize("case", NOVEL)
def test_the_explanation_of_a_novel_row_begins_with_its_novel_cells(model: Model, case: str) -> None:
    cells, names = NOVEL[case]
    found = model.explain([row(cells)], top=3).explanation
    assert found is not None
    assert {NAMES[cell] for cell in found["feature"][0, : len(names)]} == set(names)
    calibrated = model.surprises
    assert calibrated is not None
    smallest = 1.0 / (1.0 + calibrated.features.n[found["feature"][0, : len(names)]])
    np.testing.assert_allclose(found["p_value"][0, : len(names)], smallest)


def test_a_row_with_more_missing_cells_than_any_training_row_is_novel(model: Model) -> None:
    most = max(sum(cell is None for cell in given) for given in mixed_rows(200))
    assert model.manifest.most_missing <= most
    few, many = [0.5, None, 3, 1, "red"], [0.5, None, 3, None, None]
    got = model.elbo([ROW, few, many, [None] * 5])
    assert got.novel is not None
    assert got.novel.tolist() == [False, False, True, True]
    assert np.isfinite(got.elbo).all()
    for ask in (model.elbo, model.bound, model.encode, model.explain):
        ask([ROW, few], strict=True)
        with pytest.raises(InputError, match=r"row 1: more missing cells than any training row, which had at most 2"):
            ask([ROW, many], strict=True)


def test_a_model_without_missing_cells_in_training_scores_a_row_with_one_as_novel(breast_cancer: Model) -> None:
    rows = np.ones((3, breast_cancer.spec.dim))
    rows[1, 4] = np.nan
    got = breast_cancer.elbo(rows)
    assert got.novel is not None
    assert got.novel.tolist() == [False, True, False]
    calibration = breast_cancer.calibration()
    assert not isinstance(calibration, str)
    assert calibration.verdict(got).p_value[1] == calibration.smallest_alpha


def test_a_result_does_not_depend_on_novel_rows_beside_it(model: Model) -> None:
    rows = [ROW, row(NOVEL["several"][0]), [None, *ROW[1:]], [1.0, 1.0, 2, 0, "blue"]]
    together = model.elbo(rows, features=True)
    for at, each in enumerate(rows):
        alone = model.elbo([each], features=True)
        for name, values in alone.arrays().items():
            if values is not None:
                np.testing.assert_allclose(together.arrays()[name][at : at + 1], values, rtol=1e-6, err_msg=name)


def test_a_novel_row_is_encoded_without_its_novel_cells(model: Model) -> None:
    got = model.encode([row({"colour": "pink"}), row({"colour": None})])
    np.testing.assert_allclose(got.mu[0], got.mu[1], rtol=1e-6)


def test_a_bundle_without_novelty_gives_a_novel_row_the_smallest_p_value_and_no_elbo(
    mixed: Published, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed" / "1"
    shutil.copytree(mixed.folder / "1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    counts = list(range(3, 6))
    manifest["calibration"]["entries"][0]["observed_counts"] = counts
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "1.2", "novelty": None}))
    with Model.load(folder, device="cpu") as old:
        got = old.elbo([ROW, row({"colour": "pink"}), [0.5, None, 3, None, None]])
        calibration = old.calibration()
        assert not isinstance(calibration, str)
        verdict = calibration.verdict(got, 0.1)
    assert got.novel is not None
    assert got.novel.tolist() == [False, True, True]
    assert np.isnan(got.elbo).tolist() == [False, True, False]  # missing cells can be left out, an unseen level cannot
    np.testing.assert_allclose(verdict.p_value[1], calibration.smallest_alpha)
    assert verdict.is_anomaly is not None
    assert verdict.is_anomaly[1:].all()


def test_pictures_are_never_novel(digits: Model, digit_images: Any) -> None:
    got = digits.elbo(digit_images[:2])
    assert got.novel is None
    calibration = digits.calibration()
    assert not isinstance(calibration, str)
    assert not np.isnan(calibration.verdict(replace(got)).p_value).any()
