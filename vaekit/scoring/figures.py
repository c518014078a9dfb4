"""Size and colours of the figures of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00")  # distinct for colour-blind readers too (Okabe and Ito)


def new_figure(width: float) -> Figure:
    """An empty figure; `width` in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, 3.8), dpi=100, layout="constrained")
