"""Size and colours of the figures of this package."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00")  # distinct for colour-blind readers too (Okabe and Ito)


def new_figure(width: float) -> Figure:
    """An empty figure; `width` in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, 3.8), dpi=100, layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; names of columns appear letter by letter, those that the font lacks as boxes."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a name may have dollar signs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, format="png")
