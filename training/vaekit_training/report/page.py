"""Renders the facts as one HTML page and as the model card."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import jinja2
from markupsafe import Markup

from vaekit.bundle.manifest import Manifest
from vaekit.losses import sentence_of
from vaekit_training.report import curves, fit, latent, promises, rows, words
from vaekit_training.report.facts import Facts
from vaekit_training.report.parts import Section


def sections(facts: Facts) -> list[Section]:
    """All sections of the page, in order; they do not depend on the version."""
    run, manifest = facts.run, facts.manifest
    spec = manifest.input
    changing = {d: c.name for d, c in enumerate(spec.columns) if not c.constant} if spec.kind == "vector" else {}
    training = curves.section(run.history, run.config, changing)
    return [
        Section("figures", "Figures", (words.scores(manifest),), tables=(words.figures(manifest),)),
        rows.scores(facts.scores, facts.threshold, aggregate=manifest.prior.name == "aggregate"),
        Section(training.anchor, training.title, (sentence_of(manifest), *training.text), training.figures),
        latent.section(facts),
        fit.section(facts),
        rows.reconstructions(facts),
        rows.samples(facts),
        _data(facts),
        Section("networks", "Networks", tables=(words.networks(facts),)),
        Section(
            "again",
            "How to repeat the run",
            ("Run vae train config.toml with the same rows; config.toml is beside the manifest, and below.",),
            tables=(words.origin(manifest),),
            folded=(("config.toml", run.config.to_toml()),),
        ),
    ]


def _data(facts: Facts) -> Section:
    manifest = facts.manifest
    text = [words.inputs(manifest), words.binarised(manifest), words.constants(manifest), words.p_value(facts)]
    if facts.is_image:
        text.append("This page shows images of the test split: everyone who has the page can see them.")
    entry = promises.entry_of(manifest)
    tables, chart = [words.data(facts), words.columns(facts), promises.table(entry)], promises.figure(entry)
    return Section(
        "data",
        "Data, and what a p-value assumes",
        (*(said for said in text if said), promises.tail(entry)),
        (chart,) if chart else (),
        tuple(table for table in tables if table),
    )


def html(facts: Facts, below: list[Section], manifest: Manifest) -> str:
    """The page of a version; `below` is the result of sections()."""
    lead = [text for text in (facts.run.config.description, words.model(manifest)) if text]
    made = f"version {manifest.version}, {manifest.created:%Y-%m-%d %H:%M} UTC"
    return document(manifest.name, made, lead, below, words.warnings(facts))


def document(
    heading: str, beside: str, lead: Sequence[str], sections: Sequence[Section], warnings: Sequence[str] = ()
) -> str:
    """One HTML page without external files."""
    css = resources.files("vaekit_training").joinpath("templates", "report.css").read_text(encoding="utf-8")
    template = _environment(escape=True).get_template("report.html.j2")
    return template.render(
        css=Markup(css), heading=heading, beside=beside, lead=lead, sections=sections, warnings=warnings
    )


def card(facts: Facts, manifest: Manifest) -> str:
    """The model card, Markdown."""
    template = _environment(escape=False).get_template("model-card.md.j2")  # Markdown from our own figures
    tells = {"words": words, "promises": promises, "summary": curves.summary}
    entry, loss = promises.entry_of(manifest), sentence_of(manifest)
    return template.render(facts=facts, manifest=manifest, entry=entry, loss=loss, **tells)


def _environment(*, escape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vaekit_training"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=escape,
    )
    environment.filters["cell"] = lambda text: text.replace("|", "\\|").replace("\n", " ")
    return environment
