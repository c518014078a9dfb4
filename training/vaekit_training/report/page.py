"""Renders the data of a report as an HTML page and as a model card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources

import jinja2
from markupsafe import Markup

from vaekit.bundle.manifest import Manifest
from vaekit.chart_style import css_variables
from vaekit.losses import sentence_of
from vaekit_training.report import curves, fit, guarantees, kernels, latent, rows, words
from vaekit_training.report.answer import anomalies, next_steps, opening, promise
from vaekit_training.report.facts import Facts
from vaekit_training.report.parts import Section


def sections(facts: Facts) -> list[Section]:
    """All sections of the page, in order. They do not depend on the version, which is not known yet."""
    run, manifest = facts.run, facts.manifest
    diagnostics = [
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
    answer = [opening.section(facts), anomalies.section(facts), promise.section(facts), next_steps.section(facts)]
    return answer + [replace(section, is_folded=True) for section in diagnostics if section is not None]


def _training(facts: Facts) -> Section:
    """The section on the training of networks."""
    run, spec = facts.run, facts.manifest.input
    varying = {d: c.name for d, c in enumerate(spec.columns) if not c.constant} if spec.kind == "vector" else {}
    training = curves.section(run.history, run.config, varying)
    return Section(training.anchor, training.title, (sentence_of(facts.manifest), *training.text), training.figures)


def _data(facts: Facts) -> Section:
    manifest = facts.manifest
    text = [words.inputs(manifest), words.binarised(manifest), words.constants(manifest), words.privacy(manifest)]
    if facts.is_image and facts.run.config.privacy.report_rows:
        text.append("This page shows images of the test split, so everyone who gets the page can see them.")
    tables = [words.data(facts), words.columns(facts)]
    return Section(
        "data",
        "Data and privacy",
        tuple(paragraph for paragraph in text if paragraph),
        tables=tuple(table for table in tables if table),
    )


def html(facts: Facts, page_sections: list[Section], manifest: Manifest) -> str:
    """The HTML page of a published version; page_sections: the result of `sections`."""
    intro = [text for text in (facts.run.config.description,) if text]
    numbered = [_numbered(section, manifest) for section in page_sections]
    made = f"version {manifest.version}, {manifest.created:%Y-%m-%d %H:%M} UTC"
    return document(manifest.name, made, intro, numbered, about=[words.model(manifest)])


def _numbered(section: Section, manifest: Manifest) -> Section:
    """The section with the version in its commands."""
    commands = [
        replace(one, line=one.line.replace(next_steps.VERSION, str(manifest.version))) for one in section.commands
    ]
    return replace(section, commands=tuple(commands))


def document(
    heading: str, subtitle: str, intro: Sequence[str], sections: Sequence[Section], about: Sequence[str] = ()
) -> str:
    """An HTML page that needs no other files.

    Args:
        heading: title of the page.
        subtitle: shown after the title.
        intro: paragraphs at the top.
        sections: the sections of the page; those that are folded are diagnostics and come last.
        about: paragraphs at the head of the diagnostics.
    """
    rules = resources.files("vaekit_training").joinpath("templates", "report.css").read_text(encoding="utf-8")
    template = _environment(escape=True).get_template("report.html.j2")
    return template.render(
        css=Markup(css_variables() + rules),
        heading=heading,
        subtitle=subtitle,
        intro=intro,
        sections=sections,
        about=about,
    )


def card(facts: Facts, manifest: Manifest) -> str:
    """The model card of a published version, as Markdown."""
    template = _environment(escape=False).get_template("model-card.md.j2")  # the template escapes Markdown itself
    modules = {
        "words": words,
        "opening": opening,
        "next_steps": next_steps,
        "guarantees": guarantees,
        "kernels": kernels,
        "summary": curves.summary,
    }
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
