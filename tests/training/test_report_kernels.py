"""The page and the model card of models with a kernel prior."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.models import levels, of_levels, table
from tests.training.reported import facts_of
from tests.training.test_report import Page
from vaekit.errors import InputError
from vaekit.losses import sentence_of
from vaekit.runtime import Model
from vaekit_training.config import make_config
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import split
from vaekit_training.folds import FoldModels
from vaekit_training.kernels.search import WIDTHS
from vaekit_training.kernels.trials import Trial
from vaekit_training.publish import publish_run
from vaekit_training.report import CARD, PAGE, kernels
from vaekit_training.report.facts import Facts
from vaekit_training.report.latent import _range as axis_of
from vaekit_training.report.latent import leading
from vaekit_training.report.latent import section as latent_section
from vaekit_training.report.page import card, html, sections
from vaekit_training.report.rows import predictions
from vaekit_training.report.words import data
from vaekit_training.run import run, train

KERNELS, CONSTANT = "kernel prior", "kernel prior, a constant column, a positive one"
OF_NETWORKS = (
    "Reconstructions",
    "Traversal",
    "KL spectrum",
    "decision when to stop",
    "weights",
    "etworks do not get",
    "step 0",
    "at step",
)


def rows_of(x: NDArray[np.float64], anomalies: int = 0) -> Rows:
    """Rows with columns c0, c1, ..., of which the first ones are anomalies."""
    return Rows(x, tuple(f"c{d}" for d in range(x.shape[1])), np.arange(len(x)) < anomalies)


def normals(n: int, dim: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((n, dim))


def page_of(facts: Facts) -> Page:
    return Page(html(facts, sections(facts), facts.manifest))


MIXED = ["prior.name=kernel", "likelihood.name=mixed"]
TABLES: dict[str, tuple[Rows, list[str]]] = {
    "one column": (rows_of(normals(60, 1)), []),
    "two columns": (rows_of(normals(60, 2)), []),
    "300 columns": (rows_of(normals(60, 300)), []),
    "a constant column": (table(n=60, constant=True), []),
    "one column that varies": (rows_of(np.column_stack([normals(60, 1), np.ones(60)])), []),
    "25 rows": (rows_of(normals(25, 4)), []),
    "nothing left out": (rows_of(normals(25, 4)), ["data.fractions.train=0.3", "data.fractions.test=0.4"]),
    "folds": (rows_of(normals(75, 3)), ["data.folds=3"]),
    "folds, a constant column": (table(n=75, constant=True), ["data.folds=3"]),
    "anomalies": (rows_of(normals(80, 3) + 9.0 * (np.arange(80) < 10)[:, None], anomalies=10), []),
    "categories and a binary column": (of_levels(80), MIXED),
    "categories and a binary column, missing cells": (of_levels(80, missing=True), MIXED),
    "categories alone": (levels(80), MIXED),
    "folds, categories alone": (levels(80), [*MIXED, "data.folds=3"]),
    "repeated values": (rows_of(np.round(normals(80, 3))), []),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_numbers_gets_a_page_and_a_card_without_words_on_networks(name: str, tmp_path: Path) -> None:
    rows, overrides = TABLES[name]
    config = make_config({"name": "k", "data": {"source": "table"}, "likelihood": {"name": "auto"}}, overrides)
    manifest = publish_run(run(config, device="cpu", rows=rows), tmp_path)
    assert manifest.prior.name == "kernel"
    folder = tmp_path / "k" / "1"
    text, written = (folder / PAGE).read_text(), (folder / CARD).read_text()
    page = Page(text)
    assert not re.search(r"\b(nan|inf)\b", " ".join(path["d"] or "" for path in page.all("path")))
    for shown in (page.words.replace(config.to_toml(), ""), written):
        assert not [words for words in OF_NETWORKS if words in shown]
        assert "its prior has a kernel around each of them" in shown
    found = {section["id"] for section in page.all("section")}
    assert "kernels" in found
    assert ("cells" in found) == ("one column" not in name)
    assert ("Latent map" in page.words) == ("one column" not in name and "categories alone" not in name)
    assert ("Search by number of clusters" in page.words) == (name != "nothing left out")
    assert ("fold model 1" in page.words) == ("folds" in name)
    assert "best_step" not in manifest.metrics
    assert "validation_objective" not in manifest.metrics


def test_the_table_of_kernels_has_those_of_the_prior() -> None:
    facts = facts_of(KERNELS)
    prior = facts.run.one.prior
    lines = dict(kernels.tables(facts)[0].lines)
    best = max(prior.trials, key=lambda one: one.log_density)
    assert lines["training rows in the prior (M)"] == f"{prior.count} of {len(facts.run.splits.train)}"
    assert lines["clusters (K)"].split(";")[0] == str(prior.clusters)
    assert lines["width of kernels (h)"] == f"{best.h:g}"
    assert lines["degrees of freedom (nu)"].split()[0] == ("infinity" if best.nu == np.inf else f"{best.nu:g}")
    for text in (page_of(facts).words, card(facts, facts.manifest)):
        assert lines["covariances"] in text
        assert f"among {len(prior.trials)} combinations" in text
        assert sentence_of(facts.manifest).split(":")[0] in text


@pytest.mark.parametrize(
    ("kind", "names"), [(KERNELS, "K h nu"), ("kernel prior, mixed", "K h nu a"), ("kernel prior, categories", "K a")]
)
def test_only_settings_that_the_kernels_use_are_shown(kind: str, names: str) -> None:
    facts = facts_of(kind)
    prior = facts.run.one.prior
    assert list(kernels.settings(prior)) == names.split()
    assert kernels.settings(prior).get("a", f"{prior.keep:.4g}") == f"{prior.keep:.4g}"
    vae, rows = facts.run.one, facts.run.splits.train
    run_of_folds = replace(
        facts.run, vae=FoldModels([vae, vae]), splits=replace(facts.run.splits, folds=(rows[::2], rows[1::2]))
    )
    folds = replace(facts, run=run_of_folds)
    assert kernels.tables(folds)[1].head[2:-1] == tuple(names.split())


def test_the_widths_of_kernels_are_the_roots_of_their_variances() -> None:
    facts = facts_of(KERNELS)
    prior = facts.run.one.prior
    shares = np.bincount(prior.cluster, minlength=prior.clusters) / prior.count
    covariance = np.linalg.inv(
        np.einsum("kij,kil->kjl", *[prior.numbers.inverse.double().numpy()] * 2)
    )  # (A A^T)^-1, A = (A^T)^T
    want = shares @ np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    np.testing.assert_allclose(kernels._scales(prior), want)
    lowest = min(np.sqrt(np.linalg.eigvalsh(one)[0]) for one in covariance)
    assert kernels._narrowest(prior) == pytest.approx(lowest)


def test_the_search_has_a_line_for_each_number_of_clusters_and_marks_the_chosen_one() -> None:
    prior = facts_of(KERNELS).run.one.prior
    best = Trial(3, 0.4, 10.0, -1.0, 0.9)
    others = [Trial(k, h, nu, -2.0 - k - h, 0.9) for k in (1, 3, 8) for h in WIDTHS for nu in (3.0, 10.0)]
    prior.trials = (*(one for one in others if one[:3] != best[:3]), best)
    figure = kernels.search(prior)
    assert [text for css, text in figure.keys if css.startswith("line")] == ["1 cluster", "3 clusters", "8 clusters"]
    assert figure.body.count('class="line') == 3
    assert figure.body.count('class="dots s6 large"') == 1
    assert figure.keys[-1][1] == "chosen: h = 0.4, nu = 10, K = 3"
    assert "3 clusters -1 at h = 0.4" in figure.body
    by_nu = kernels.search_by_nu(prior)
    assert [text for _, text in by_nu.keys[:-1]] == ["nu = 3", "nu = 10"]
    assert "With 3 clusters." in by_nu.caption


def test_a_search_with_very_bad_trials_shows_the_best_ones() -> None:
    good, bad = np.linspace(-9.0, -5.0, 10), np.linspace(-1e6, -1e5, 10)
    assert -9.0 <= kernels._lowest([good, bad]) <= -7.0
    assert kernels._lowest([good]) == pytest.approx(-7.0)
    assert kernels._lowest([good, good - 1.0]) == pytest.approx(-7.0)
    assert kernels._lowest([good, good - 3.0]) == pytest.approx(-8.9)


def test_the_map_names_the_columns_and_leaves_out_constant_ones() -> None:
    facts = facts_of(CONSTANT)
    assert facts.traversals == []
    (figure,) = next(section for section in sections(facts) if section.anchor == "latent").figures
    names = {column.name for column in facts.manifest.input.columns if column.constant is None}
    labels = re.findall(r">([^<]+), standardised<", figure.body)
    assert len(set(labels)) == 2
    assert set(labels) <= names


def test_a_map_has_no_codes_of_levels() -> None:
    facts = facts_of("kernel prior, mixed")
    columns = {column.name: column.kind for column in facts.manifest.input.columns}
    (figure,) = latent_section(facts).figures
    shown = re.findall(r">([^<]+), standardised<", figure.body)
    assert [columns[name] in ("real", "positive") for name in shown] == [True, True]
    assert "binary" in columns.values()
    assert not latent_section(facts_of("kernel prior, categories")).figures


def test_rows_and_draws_far_out_do_not_widen_a_map() -> None:
    facts = facts_of(KERNELS)
    z = facts.draws.latents[:, 0]
    far = np.where(np.arange(len(z)) == 0, 1e6, z)
    draws = replace(facts.draws, latents=np.stack([far, *facts.draws.latents.T[1:]], axis=1))
    scale = axis_of(replace(facts, draws=draws), 0, 0, draws.latents)
    assert scale.low < z.min()
    assert np.ptp(z) < scale.high - scale.low < 4 * np.ptp(z)


def test_long_names_on_the_axes_of_a_map_are_shortened() -> None:
    facts = facts_of(KERNELS)
    columns = tuple(c.model_copy(update={"name": 40 * f"{d}"}) for d, c in enumerate(facts.manifest.input.columns))
    spec = facts.manifest.input.model_copy(update={"columns": columns})
    named = replace(facts, manifest=facts.manifest.model_copy(update={"input": spec}))
    labels = re.findall(r">([^<]+), standardised<", latent_section(named).figures[0].body)
    assert [len(label) for label in labels] == [28, 28]


def test_the_columns_of_a_map_lead_the_first_two_components() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 500))
    z = np.stack([0.1 * rng.standard_normal(500), 3.0 * a, 2.0 * a, b], axis=1)
    assert leading(z) == (1, 3)
    assert leading(z[:1, :2]) == (0, 1)


def test_each_column_is_compared_with_its_prediction_from_the_others() -> None:
    facts = facts_of(KERNELS)
    assert facts.bound.feature_expected is not None
    section = next(section for section in sections(facts) if section.anchor == "cells")
    error = np.sqrt(np.mean(((facts.test - facts.bound.feature_expected) / facts.test.std(axis=0)) ** 2, axis=0))
    assert f"{facts.manifest.input.columns[error.argmax()].name} {error.max():.3g}" in section.figures[1].body
    for high, share in ((-1e300, "0.0%"), (1e300, "100.0%")):
        ends = {"feature_low": np.full_like(facts.test, -1e300), "feature_high": np.full_like(facts.test, high)}
        text = predictions(replace(facts, bound=replace(facts.bound, **ends))).text[0]
        assert f"holds {share} of the test cells" in text


def test_texts_say_what_rows_are_used_for() -> None:
    facts = facts_of(KERNELS)
    page, written = page_of(facts).words, card(facts, facts.manifest)
    for text in (page, written):
        assert "A kernel density over training rows with an exact ELBO, which needs no training steps" in text
        assert "its prior is a kernel density around" in text
        assert "kernels and standardisation" in text
        assert "The prior is made of training rows." in text
    assert "The prior has a kernel around each of its training rows" in page
    for folds, validation in (((), "they do not decide when to stop"), ((np.arange(4),), "never used for training")):
        of_folds = replace(facts, run=replace(facts.run, splits=replace(facts.run.splits, folds=folds)))
        uses = {name: use for name, _, use in data(of_folds).lines}
        assert validation in uses["validation"]
        assert ("each fold also for p-values" in uses["train"]) == bool(folds)


def test_a_model_scores_its_test_rows_in_the_report_as_the_runtime_does(tmp_path: Path) -> None:
    rows, _ = TABLES["two columns"]
    config = make_config({"name": "k", "data": {"source": "table"}, "likelihood": {"name": "auto"}})
    trained = run(config, device="cpu", rows=rows)
    publish_run(trained, tmp_path)
    with Model.load(tmp_path / "k" / "1", device="cpu") as model:
        found = model.cells_checked(rows.x[trained.splits.test])
        np.testing.assert_array_equal(found.elbo, model.elbo(rows.x[trained.splits.test]).elbo)


def test_a_test_row_far_from_all_others_is_published_and_decoded(tmp_path: Path) -> None:
    """z is the standardised row, so it may be larger than the latents of any network's encoder."""
    x = normals(120, 2)
    config = make_config({"name": "far", "data": {"source": "memory"}}, ['likelihood.name="auto"'])
    rows = rows_of(x)
    far = split(rows, config.data, config.training.seed).test[0]
    x[far, 1] = 1e14
    train(config, tmp_path, rows=rows)
    with Model.load(tmp_path / "far", device="cpu") as model:
        assert model.manifest.prior.name == "kernel"
        z = model.encode(x[[far]]).mu
        assert z[0, 1] > 1e13
        np.testing.assert_allclose(model.decode(z).mean, x[[far]], rtol=1e-6, atol=1e-6)
        with pytest.raises(InputError, match=r"not within \+-1e\+30"):
            model.decode(1e31 * np.ones((1, 2)))
