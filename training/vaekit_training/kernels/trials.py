"""One trial of the search for kernels, and how the search says it."""

from __future__ import annotations

import math
from typing import NamedTuple

from vaekit_training.kernels.levels import Points


class Trial(NamedTuple):
    """Kernels that the search tried."""

    clusters: int  # K
    h: float
    nu: float
    log_density: float  # mean over the rows left out, nats, model units; higher is better
    keep: float  # a; without columns of levels it is not used

    @property
    def named(self) -> str:
        """The number of clusters as text."""
        return f"{self.clusters} cluster{'s' * (self.clusters > 1)}"

    def sentence(self, points: Points) -> str:
        """What was tried on these points, and the log density that it has."""
        return f"{self.named}: log density {self.log_density:.3g} nats per row ({self.settings(points)})"

    def settings(self, points: Points) -> str:
        """The values that these points use, as text."""
        tails = "normal tails" if math.isinf(self.nu) else f"Student-t tails nu = {self.nu:g}"
        of_numbers = [f"width h = {self.h:g}", tails] if points.real.shape[1] else []
        return ", ".join([*of_numbers, *([f"own level a = {self.keep:.3g}"] if points.counts else [])])
