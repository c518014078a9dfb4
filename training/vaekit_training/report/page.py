"""Renders the data of a report as an HTML page and as a model card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

import jinja2
from markupsafe import Markup

from vaekit.bundle.manifest import Manifest
from vaekit.chart_style import css_variables
from vaekit.losses import sentence_of
from vaekit_training.report import curves, fit, guarantees, kernels, latent, rows, words
from vaekit_training.report.facts import Facts
from vaekit_training.report.parts import Section


def sections(facts: Facts) -> list[Section]:
    """All sections of the page, in order. They do not depend on the version, which is not known yet."""
    run, manifest = facts.run, facts.manifest
    found = [
        Section("figures", "Figures", (words.scores(manifest),), tables=(words.figures(manifest),)),
        rows.scores(facts.scores, facts.threshold, prior=manifest.prior.name),
        kernels.section(facts) if facts.has_kernels else _training(facts),
        latent.section(facts),
        fit.section(facts),
        rows.predictions(facts) if facts.has_kernels else rows.reconstructions(facts),
        rows.samples(facts),
        Section("inspection", words.INSPECTION, words.inspection(facts)),
        _data(facts),
        None if facts.has_kernels else Section("networks", "Networks", tables=(words.networks(facts),)),
        Section(
            "again",
            "How to repeat the run",
            (
                "Run vae train config.toml with the same rows. config.toml is beside the manifest; it is also "
                "shown below.",
            ),
            tables=(words.origin(manifest),),
            folded=(("config.toml", run.config.to_toml()),),
        ),
    ]
    return [section for section in found if section is not None]


def _training(facts: Facts) -> Section:
    """The section on the training of networks."""
    run, spec = facts.run, facts.manifest.input
    varying = {d: c.name for d, c in enumerate(spec.columns) if not c.constant} if spec.kind == "vector" else {}
    training = curves.section(run.history, run.config, varying)
    return Section(training.anchor, training.title, (sentence_of(facts.manifest), *training.text), training.figures)


def _data(facts: Facts) -> Section:
    manifest = facts.manifest
    text = [words.inputs(manifest), words.binarised(manifest), words.constants(manifest), words.p_value(facts)]
    text.append(words.privacy(manifest))
    if facts.is_image:
        text.append("This page shows images of the test split, so everyone who gets the page can see them.")
    entry = guarantees.entry_of(manifest)
    tables, chart = (
        [words.data(facts), words.columns(facts), guarantees.table(entry), guarantees.groups(entry)],
        guarantees.figure(entry),
    )
    return Section(
        "data",
        "Data, and what a p-value assumes",
        (*(paragraph for paragraph in text if paragraph), guarantees.tail(entry)),
        (chart,) if chart else (),
        tuple(table for table in tables if table),
    )


def html(facts: Facts, page_sections: list[Section], manifest: Manifest) -> str:
    """The HTML page of a published version; page_sections: the result of `sections`."""
    intro = [text for text in (facts.run.config.description, words.model(manifest)) if text]
    made = f"version {manifest.version}, {manifest.created:%Y-%m-%d %H:%M} UTC"
    return document(manifest.name, made, intro, page_sections, words.warnings(facts))


def document(
    heading: str, subtitle: str, intro: Sequence[str], sections: Sequence[Section], warnings: Sequence[str] = ()
) -> str:
    """An HTML page that needs no other files.

    Args:
        heading: title of the page.
        subtitle: shown after the title.
        intro: paragraphs at the top.
        sections: the sections of the page.
        warnings: shown as a list below the introduction.
    """
    rules = resources.files("vaekit_training").joinpath("templates", "report.css").read_text(encoding="utf-8")
    template = _environment(escape=True).get_template("report.html.j2")
    return template.render(
        css=Markup(css_variables() + rules),
        heading=heading,
        subtitle=subtitle,
        intro=intro,
        sections=sections,
        warnings=warnings,
    )


def card(facts: Facts, manifest: Manifest) -> str:
    """The model card of a published version, as Markdown."""
    template = _environment(escape=False).get_template("model-card.md.j2")  # the template escapes Markdown itself
    modules = {"words": words, "guarantees": guarantees, "kernels": kernels, "summary": curves.summary}
    entry, loss = guarantees.entry_of(manifest), sentence_of(manifest)
    return template.render(facts=facts, manifest=manifest, entry=entry, loss=loss, **modules)


def _environment(*, escape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vaekit_training"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=escape,
    )
    environment.filters["md"] = markdown
    return environment


def markdown(text: str) -> str:
    """A text as Markdown that shows it: names of columns may hold HTML, links or the bars of a table."""
    shown = re.sub(r"&(?=[A-Za-z#])", "&amp;", " ".join(text.splitlines()))
    shown = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", shown)
    return re.sub(r"([\\`*\[\]|])", r"\\\1", shown)
