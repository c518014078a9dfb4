"""The page and the model card of a run: their statements, that they need no other files, and their charts."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.training.models import KINDS
from tests.training.reported import WARNING, facts_of, run_of
from vaekit.bundle.input_spec import Column
from vaekit_training.report import CARD, PAGE, render
from vaekit_training.report.page import card, html, markdown, sections
from vaekit_training.report.rows import histograms, scores
from vaekit_training.report.words import warnings

EVERYTHING = "members, mixed, missing cells"
OF_NETWORKS = {"training": "kernels", "reconstructions": "cells", "networks": None}  # with a kernel prior
EMPTY = {"meta", "img", "br"}  # elements without an end
ANCHORS = [
    "answer",
    "anomalies",
    "promise",
    "next",
    "figures",
    "scores",
    "training",
    "latent",
    "fit",
    "reconstructions",
    "samples",
    "inspection",
    "data",
    "networks",
    "again",
]


class Page(HTMLParser):
    """The contents of a page: elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words, self._open = "", []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page_of(kind: str, *overrides: str) -> str:
    facts = facts_of(kind, *overrides)
    return html(facts, sections(facts), facts.manifest)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_needs_no_other_files_and_describes_its_images(kind: str) -> None:
    text = page_of(kind)
    page = Page(text)
    wanted = [OF_NETWORKS.get(a, a) for a in ANCHORS] if kind.startswith("kernel prior") else ANCHORS
    assert [section["id"] for section in page.all("section")] == [anchor for anchor in wanted if anchor]
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in text
    assert "@import" not in text
    assert all((a["href"] or "").startswith("#") for a in page.all("a"))
    assert all((img["src"] or "").startswith("data:image/png;base64,") and img["alt"] for img in page.all("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    assert not re.search(r"\b(nan|inf)\b", " ".join(path["d"] or "" for path in page.all("path")))
    assert len(text) < 250_000


def test_names_that_look_like_html_are_text() -> None:
    run, model, manifest, held_out = run_of(EVERYTHING)
    name = "<script>alert('x')</script> & |\n#"
    columns = (manifest.input.columns[0].model_copy(update={"name": name}), *manifest.input.columns[1:])
    manifest = manifest.model_copy(update={"input": manifest.input.model_copy(update={"columns": columns})})
    run = replace(run, rows=replace(run.rows, columns=(name, *run.rows.columns[1:])))
    files = render(run, model, manifest, held_out)(manifest)
    assert not Page(files[PAGE].decode()).all("script")
    assert name.split("\n")[0] in Page(files[PAGE].decode()).words
    (line,) = [line for line in files[CARD].decode().splitlines() if "alert" in line and "real" in line]
    assert line.replace("\\|", "").count("|") == 5  # four cells


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)>"),
        ("</td><!-- a", "&lt;/td>&lt;!-- a"),
        ("![a](http://127.0.0.1/x.png)", "!\\[a\\](http://127.0.0.1/x.png)"),
        ("[a](javascript:alert(1))", "\\[a\\](javascript:alert(1))"),
        ("`a` | *b* \\", "\\`a\\` \\| \\*b\\* \\\\"),
        ("a\n# b", "a # b"),
        ("R&D &amp; co", "R&amp;D &amp;amp; co"),
        ("x < 3 & y", "x < 3 & y"),
    ],
)
def test_a_text_in_the_model_card_is_shown_as_it_is(name: str, shown: str) -> None:
    assert markdown(name) == shown
    facts = facts_of("gaussian, one scale")
    columns = (Column(name=name), *facts.manifest.input.columns[1:])  # type: ignore[union-attr]  # a vector model
    manifest = facts.manifest.model_copy(update={"input": facts.manifest.input.model_copy(update={"columns": columns})})
    written = card(replace(facts, manifest=manifest), manifest)
    assert f"| {shown} |" in written
    assert name == shown or name not in written


def test_page_and_card_repeat_what_was_seen_in_the_data() -> None:
    facts = facts_of("gaussian, one scale")
    seen = "column '<b>load</b>': 5 cells of -999 lie far outside"
    for found, shown, written in (
        ((), "Nothing looks wrong.", "Nothing looks wrong."),
        ((seen,), seen, seen.replace("<", "&lt;")),
    ):
        with_found = replace(facts, run=replace(facts.run, inspection=found))
        page = Page(html(with_found, sections(with_found), facts.manifest)).words
        assert f"What was seen in the data\n{shown}" in re.sub(r"\n+", "\n", page)
        assert f"- {written}\n" in card(with_found, facts.manifest)


def test_the_version_is_the_one_that_is_published() -> None:
    run, model, manifest, held_out = run_of("gaussian, one scale")
    written = render(run, model, manifest, held_out)(manifest.model_copy(update={"version": 41}))
    assert "version 41" in Page(written[PAGE].decode()).words
    assert written[CARD].decode().startswith("# case, version 41\n")


def test_card_and_page_describe_the_model_and_its_warnings() -> None:
    facts = facts_of(EVERYTHING, 'prior.name="aggregate"', "prior.components=7")
    written = card(facts, facts.manifest)
    shown = Page(html(facts, sections(facts), facts.manifest)).words
    for said in (
        "mixed likelihood",
        "prior: mean of the posteriors of 7 training rows per member",
        "an ensemble of 2 VAEs",
        "This bundle contains latents of training rows",
        "the ELBO is over the observed columns",
        "There are only 8 calibration rows; alpha = 0.05 needs at least 19.",
        "smallest p-value is 0.1111",
        "Minimised was for each of 2 members",
        WARNING,
    ):
        assert said in unescape(written), said
        assert said in shown, said
    assert "The prior consists of posteriors of training rows" in shown
    assert "a sign of overfitting" not in shown
    assert f"of {2 * facts.manifest.latent_dim} latent dimensions of all members together are active" in shown
    assert "by member:dimension, mean over test rows" in shown
    observed = ~np.isnan(facts.run.rows.x[facts.run.splits.train, 1])
    assert f"| m1 | category: red, green, blue | categorical | {1 - observed.mean():.1%} |" in written
    assert "| m0 | real | gaussian | never |" in written
    assert "| elbo | -12.5 | ± 0.25 | 8 | nats |" in written
    assert f"{facts.encoder.parameters:,}" in written


def test_the_card_of_a_plain_model_has_no_other_warnings() -> None:
    facts = facts_of("gaussian, a constant column")
    written = card(facts, facts.manifest)
    assert "prior N(0, I)" in written
    assert "Constant in the training rows: c5." in written
    for absent in ("latents of training rows", "ensemble", "missing", "binarise"):
        assert absent not in written
    assert warnings(facts)[0] == WARNING


def test_the_report_has_the_scores_of_each_split() -> None:
    run, model, _, held_out = run_of("gaussian, scale from the network")
    facts = facts_of("gaussian, scale from the network")
    assert list(facts.scores) == ["train", "validation", "calibration", "test", "anomalies"]
    for name, found in facts.scores.items():
        x = run.rows.x[getattr(run.splits, name)]
        np.testing.assert_allclose(np.sort(found), np.sort(model.elbo(x).score))
    assert facts.threshold is None  # 8 rows are too few for alpha = 0.05
    np.testing.assert_array_equal(facts.scores["calibration"], held_out.scores)


def test_the_threshold_is_drawn_if_there_is_one() -> None:
    parts = {"test": np.arange(50.0), "anomalies": np.arange(50.0, 60.0)}
    assert histograms(parts, 45.0).count("s6 dash") == 2
    assert histograms(parts, None).count("s6 dash") == 0


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (("train", "calibration", "test"), ("overfitting. Calibration and test rows",)),
        (("train", "test"), ("are a sign of overfitting.",)),
        (("test", "anomalies"), ()),
    ],
)
def test_the_scores_are_described_by_the_splits_that_are_shown(splits: tuple[str, ...], said: tuple[str, ...]) -> None:
    section = scores({name: np.arange(20.0) for name in splits}, threshold=None)
    assert len(section.text) == len(said)
    assert all(part in text for part, text in zip(said, section.text, strict=True))
