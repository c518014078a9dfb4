"""The report of a finished run: an HTML page and a model card."""

from __future__ import annotations

from collections.abc import Callable

from vaekit.bundle import AnyCalibration
from vaekit.bundle.manifest import Manifest
from vaekit.runtime import Model
from vaekit_training.report.facts import gather
from vaekit_training.report.page import card, html, sections
from vaekit_training.trained import Trained

PAGE, CARD = "report/report.html", "report/model-card.md"


def render(
    run: Trained, model: Model, manifest: Manifest, held_out: AnyCalibration
) -> Callable[[Manifest], dict[str, bytes]]:
    """Measure and draw everything; returns a function that gives the report's files by path.

    The function takes the published manifest, because the version is known only then.
    """
    facts = gather(run, model, manifest, held_out)
    page_sections = sections(facts)

    def written(published: Manifest) -> dict[str, bytes]:
        return {PAGE: html(facts, page_sections, published).encode(), CARD: card(facts, published).encode()}

    return written
