"""The report of a finished run: one page of HTML and a model card."""

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
    """Files of report/ by path; called when the manifest has its version, after all measuring and drawing."""
    facts = gather(run, model, manifest, held_out)
    below = sections(facts)

    def written(published: Manifest) -> dict[str, bytes]:
        return {PAGE: html(facts, below, published).encode(), CARD: card(facts, published).encode()}

    return written
