"""The size and colours of all figures that scoring draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00")  # apart for the colour-blind too (Okabe and Ito)


def new_figure(width: float) -> Figure:
    """An empty figure, so many inches wide."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, 3.8), dpi=100, layout="constrained")
