"""Explanations: which cells of a row are anomalous, and which values were expected there."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tests.kinds import NAMES, folded_rows, mixed_rows
from vaekit.bundle.manifest import FORMAT
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.runtime.explain.predict import predict
from vaekit.runtime.explain.surprises import surprise
from vaekit.scoring import publish_calibration
from vaekit.tabular import encode
from vaekit.tabular.explained_cells import named

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def of_kinds(mixed):
    with Model.load(mixed.folder, device="cpu") as model:
        yield model


def at(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values.reshape(len(values), -1), cells["feature"], axis=1)


def test_a_changed_cell_is_found_more_often_than_by_its_surprise_alone(breast_cancer, benign_rows):
    rng = np.random.default_rng(0)
    column, other = rng.integers(30, size=len(benign_rows)), rng.permutation(len(benign_rows))
    rows, each = benign_rows.copy(), np.arange(len(benign_rows))
    rows[each, column] = benign_rows[other, column]  # a value of another row, so within the column's range
    changed = np.abs(rows - benign_rows)[each, column] > benign_rows.std(axis=0)[column]
    found = breast_cancer.explain(rows[changed], top=1)
    z = np.abs(rows - benign_rows.mean(axis=0)) / benign_rows.std(axis=0)
    hits = (found.explanation["feature"][:, 0] == column[changed]).mean()
    by_excess = surprise(found, rows[changed]) - breast_cancer.surprises.features.middle
    assert hits > 0.7
    assert hits > (by_excess.argmax(axis=1) == column[changed]).mean()
    assert hits > 2 * (z[changed].argmax(axis=1) == column[changed]).mean()


def test_surprise_excess_and_p_value_belong_to_the_feature_of_the_cell(loaded, rows):
    found = loaded.explain(rows[:40], top=4)
    cells, held_out = found.explanation, loaded.surprises.features
    np.testing.assert_array_equal(cells["value"], at(rows[:40], cells))
    np.testing.assert_array_equal(cells["surprise"], -at(found.feature_log_likelihood, cells))
    np.testing.assert_array_equal(cells["excess"], cells["surprise"] - held_out.middle[cells["feature"]])
    np.testing.assert_array_equal(cells["p_value"], held_out.p_value(cells["surprise"], cells["feature"]))
    assert (np.diff(cells["relief"], axis=1) <= 0).all()


def test_explain_gives_the_same_bound_as_elbo(loaded, rows):
    want, got = loaded.surprise(rows[:40]), loaded.explain(rows[:40], top=1)
    for name, values in want.arrays().items():
        np.testing.assert_array_equal(getattr(got, name), values)
    np.testing.assert_array_equal(got.kl_p_value, loaded.surprises.kl.p_value(want.kl, np.zeros(40, int)))


def test_relief_is_the_fall_of_the_score_if_the_cell_is_missing_minus_the_usual_surprise(of_kinds):
    rows = encode(mixed_rows(60, seed=7), of_kinds.spec)
    found = of_kinds.explain(rows, top=5)
    for i, cell in [(i, cell) for i, cells in enumerate(found.explanation) for cell in cells]:
        d = cell["feature"]
        if d in (1, 3, 4):  # columns that may be missing
            without = rows[i : i + 1].copy()
            without[0, d] = np.nan
            want = of_kinds.elbo(without).elbo[0] - of_kinds.surprises.features.middle[d] - found.elbo[i]
            np.testing.assert_allclose(cell["relief"], want, **CLOSE)


def test_relief_replaces_an_aggregate_prior_with_a_normal_prior(folded):
    def bound(model, x):
        found, posterior = model.elbo(x), model.encode(x)
        q = Normal(torch.from_numpy(posterior.mu).double(), torch.from_numpy(posterior.sigma).double())
        kl = kl_divergence(q, Normal(torch.zeros((), dtype=torch.float64), 1.0)).sum(-1).numpy()  # (n, M)
        return found.log_likelihood - (posterior.weights * kl).sum(axis=1)

    with Model.load(folded.folder, device="cpu") as model:
        rows = encode(folded_rows(40, seed=7), model.spec)
        may = [d for d, column in enumerate(model.spec.columns) if column.may_be_missing]
        checked = 0
        for i, cells in enumerate(model.explain(rows, top=3).explanation):
            for cell in cells[np.isin(cells["feature"], may)]:
                without = rows[i : i + 1].copy()
                without[0, cell["feature"]] = np.nan
                fall = (bound(model, without) - bound(model, rows[i : i + 1]))[0]
                np.testing.assert_allclose(
                    cell["relief"], fall - model.surprises.features.middle[cell["feature"]], **CLOSE
                )
                checked += 1
        assert checked > 10


def test_the_expected_value_of_a_cell_does_not_depend_on_the_cell(of_kinds, breast_cancer, benign_rows):
    rows = encode(mixed_rows(20, seed=7), of_kinds.spec)
    far = rows.copy()
    far[:, 0] += 50.0
    here, there = (of_kinds.explain(x, top=5).explanation for x in (rows, far))
    for name in ("expected", "low", "high"):
        np.testing.assert_allclose(*(c[name][c["feature"] == 0] for c in (here, there)), err_msg=name, **CLOSE)
    anomalous = benign_rows[:1].copy()
    anomalous[0, 3] = 1e300
    (cell,) = breast_cancer.explain(anomalous, top=1).explanation[0]
    assert cell["feature"] == 3
    assert cell["low"] < benign_rows[0, 3] < cell["high"]


def test_missing_cells_are_not_in_the_explanation(of_kinds):
    rows = encode(mixed_rows(60, seed=7), of_kinds.spec)
    found = of_kinds.explain(rows, top=5).explanation
    missing = np.isnan(rows)
    assert missing.any()
    np.testing.assert_array_equal((found["feature"] < 0).sum(axis=1), missing.sum(axis=1))
    for cells, row in zip(named(found, of_kinds.spec), rows, strict=True):
        assert {cell["feature"] for cell in cells} == {NAMES[d] for d in np.flatnonzero(~np.isnan(row))}


def test_a_category_has_level_names_and_a_probability_but_no_interval(of_kinds):
    cells = named(of_kinds.explain(mixed_rows(20, seed=7), top=5).explanation, of_kinds.spec)
    flat = [cell for row in cells for cell in row]
    colours = [cell for cell in flat if cell["feature"] == "colour"]
    assert {cell["expected"] for cell in colours} <= {"red", "blue", "green, dark"}
    assert all(0 < cell["probability"] <= 1 and cell["low"] is None for cell in colours)
    others = [cell for cell in flat if cell["feature"] != "colour"]
    assert all(cell["low"] <= cell["high"] and cell["probability"] is None for cell in others)
    assert all(cell["low"] > 0 for cell in others if cell["feature"] == "size")
    assert all(cell["low"] == int(cell["low"]) >= 0 for cell in others if cell["feature"] == "stops")


@pytest.mark.parametrize("d", [0, 13, 29])
def test_an_interval_contains_nine_tenths_of_the_draws_of_the_model(breast_cancer, benign_rows, d):
    rows = benign_rows[:3]
    got = predict(breast_cancer, rows, np.full((3, 1), d))
    posterior, rng, n = breast_cancer.encode(rows), np.random.default_rng(0), 20_000
    for i in range(3):
        eps = np.tile(breast_cancer.draws(), (n // breast_cancer.manifest.draws.default, 1))
        noise = rng.standard_normal((len(eps), 30, 2)).astype(np.float32)
        x = breast_cancer.run("observe", {"z": posterior.mu[i] + posterior.sigma[i] * eps, "noise": noise})["x"][:, d]
        assert got.expected[i, 0] == pytest.approx(x.mean(), abs=5 * x.std() / n**0.5)
        assert 0.89 <= np.mean((x >= got.low[i, 0]) & (x <= got.high[i, 0])) <= 0.94


def test_predictions_weight_the_members_by_their_posterior_weights(several):
    with Model.load(several.folder, device="cpu") as model:
        rows = model.sample(9, seed=0, observe=True).samples
        which = np.tile(np.arange(3), (9, 1))
        got = predict(model, rows, which)
        posterior, eps = model.encode(rows), model.draws()
        by_member = []
        for m in range(2):
            z = posterior.mu[:, m, None] + posterior.sigma[:, m, None] * eps
            mean = model.decode(z.reshape(-1, z.shape[-1]), np.full(9 * len(eps), m)).mean
            by_member.append(mean.reshape(9, len(eps), 3).mean(axis=1))
        want = np.einsum("nm,mnd->nd", posterior.weights, by_member)
        np.testing.assert_allclose(got.expected, want, rtol=1e-4)
        assert ((got.low < want) & (want < got.high)).all()


def test_an_explanation_does_not_depend_on_the_rows_around_it(loaded, rows, monkeypatch):
    together = loaded.explain(rows[:12], top=3)
    monkeypatch.setattr("vaekit.runtime.explain.explanation.points", lambda _: 10**9)  # explains one row at a time
    alone = loaded.explain(rows[:12], top=3)
    for name in together.explanation.dtype.names:
        np.testing.assert_allclose(together.explanation[name], alone.explanation[name], **CLOSE, err_msg=name)


@pytest.mark.parametrize("top", [0, -1, 31])
def test_top_outside_1_to_the_number_of_columns_is_refused(breast_cancer, benign_rows, top):
    with pytest.raises(InputError, match=f"explain: {top} is not between 1 and 30"):
        breast_cancer.explain(benign_rows[:2], top=top)


def test_a_bundle_of_format_1_0_scores_rows_but_cannot_explain_them(models_dir, benign_rows, breast_cancer, tmp_path):
    old = tmp_path / "breast-cancer" / "1"
    shutil.copytree(models_dir / "breast-cancer" / "1", old)
    manifest = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps({**manifest, "format": "1.0", "surprise": None}))
    (old / "surprise.npz").unlink()
    with Model.load(old, device="cpu") as model:
        np.testing.assert_allclose(model.elbo(benign_rows).elbo, breast_cancer.elbo(benign_rows).elbo, rtol=1e-6)
        with pytest.raises(InputError, match=r"explain: breast-cancer has no surprises .* vae calibrate adds them"):
            model.explain(benign_rows[:2])
        np.save(tmp_path / "rows.npy", benign_rows)
        assert publish_calibration(model, tmp_path / "rows.npy").format == FORMAT
    with Model.load(tmp_path / "breast-cancer", device="cpu") as new:
        assert new.explain(benign_rows[:2]).explanation.shape == (2, 3)


def test_float16_graphs_cannot_explain(half):
    with (
        Model.load(half.folder, device="cpu", precision="float16") as model,
        pytest.raises(
            InputError, match=r"explain: float16 graphs have no held-out surprises, only float32 graphs have them"
        ),
    ):
        model.explain(np.zeros((1, 3)))


def test_a_pixel_is_named_by_its_position(digits, digit_images):
    image = digit_images[:1].copy()
    image[0, 0, 7, 0] = 255  # this pixel is 0 in all digits
    ((cell,),) = named(digits.explain(image, top=1).explanation, digits.spec)
    assert cell["feature"] == "pixel (0, 7)"
    assert cell["expected"] < 20


def test_slices_of_a_result_are_joined_again(breast_cancer, benign_rows):
    whole: Any = breast_cancer.explain(benign_rows[:9], top=2)
    parts = [whole[:4], whole[4:]]
    again = type(whole).concatenate(parts).explanation
    for name in again.dtype.names:
        np.testing.assert_array_equal(again[name], whole.explanation[name])
