"""Size and colours of the figures of this package."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.chart_style import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (LIGHT["c1"], LIGHT["c2"])  # normal, anomalous; distinct for colour-blind readers too (Okabe and Ito)


def new_figure(width: float) -> Figure:
    """An empty figure; `width` in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, 3.8), dpi=100, layout="constrained")


def log_axis(ax: Axes, ticks: Iterable[float]) -> None:
    """Make the x axis logarithmic, with these ticks as plain numbers: matplotlib's own labels are math text."""
    ax.set_xscale("log")
    at = list(ticks)
    ax.set_xticks(at, [f"{tick:g}" for tick in at])
    ax.minorticks_off()


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; names of columns appear letter by letter, those that the font lacks as boxes."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a name may have dollar signs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, format="png")
