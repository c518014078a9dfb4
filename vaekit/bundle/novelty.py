"""The manifest's entry on novel rows."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, PositiveInt

from vaekit.bundle.manifest_part import ManifestPart


class Novelty(ManifestPart):
    """What the graphs promise about novel rows: those unlike any training row.

    A cell with a level unseen in training, or outside the support of its column, is left out of the graphs and adds
    log 1 / (n + 1) to log p(x|z). All other values of these columns together have the probability n / (n + 1), which is
    inside the graphs, so that the density stays normalised.
    """

    rows: PositiveInt = Field(description="n: number of training rows; with folds, of the smallest fold model")
    most_missing: Annotated[int, Field(ge=0)] = Field(description="largest number of missing cells in a training row")

    @property
    def log_outside(self) -> float:
        """log 1 / (n + 1), nats."""
        return -math.log1p(self.rows)
