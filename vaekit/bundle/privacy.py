"""The manifest's entry on the training rows in a bundle."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vaekit.bundle.manifest_part import ManifestPart


class Privacy(ManifestPart):
    """The training rows that the bundle contains; the figures are in metrics."""

    training_rows: Annotated[int, Field(ge=0)] = Field(
        description="number of training rows in the graphs: their latents (aggregate prior), or the rows themselves, "
        "shrunk towards the mean of their cluster (kernel prior)"
    )
    allow_low_temperature: bool = Field(
        False, description="whether samples may be drawn at temperatures below 1 from a prior made of training rows"
    )
    show_exemplars: bool = Field(
        False,
        description="format 1.5: whether the bundle holds the training rows of a kernel prior in raw units, to show "
        "those that are most similar to a row",
    )
