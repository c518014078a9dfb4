"""The figures of this package: panels below each other under a headline that states the finding.

They are as wide as a column of text and as a phone held upright, on a light page also in dark mode, so that they can be
printed and put into a document.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.chart_style import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (LIGHT["c1"], LIGHT["c2"])  # normal, anomalous; distinct for colour-blind readers too (Okabe and Ito)
WIDTH = 4.8  # inches
DPI = 160  # 768 pixels wide: twice those of a phone
TITLE, SENTENCE = (11.5, 46), (9.0, 66)  # size in points, and letters per line
TITLE_PAD = 6.0  # points between a panel and its title
LINE = 1.35  # height of a line of text, in its size
PANEL = 1.9  # inches, of a panel with axes
MARGIN = 0.025  # at the left and right, as a share of the width: all titles and texts begin there


def stacked(title: str, sentences: Sequence[str], heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure with a headline, and below it panels of these heights in inches.

    Args:
        title: the finding, in bold.
        sentences: what else to know, each on lines of its own.
        heights: of the panels, without labels of axes.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    head = _wrapped([title], TITLE[1])
    body = _wrapped(sentences, SENTENCE[1])
    top = (len(head) * TITLE[0] + len(body) * SENTENCE[0]) * LINE / 72 + 0.12
    figure = Figure(figsize=(WIDTH, top + sum(heights) + 0.62 * len(heights)), dpi=DPI)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(MARGIN, 0.0, 1.0 - 2 * MARGIN, 1.0), w_pad=0.0))
    axes = figure.subplots(1 + len(heights), 1, squeeze=False, height_ratios=(top, *heights))[:, 0]
    _write_head(axes[0], head, body)
    return figure, list(axes[1:])


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, width, break_on_hyphens=False) or [""]]


def _write_head(ax: Axes, head: Sequence[str], body: Sequence[str]) -> None:
    ax.set_axis_off()
    sizes = [TITLE[0] * LINE * len(head), SENTENCE[0] * LINE * len(body)]
    for lines, y, size, weight, colour in (
        (head, 1.0, TITLE[0], "bold", LIGHT["text"]),
        (body, 1.0 - (sizes[0] + 3) / (sum(sizes) + 8), SENTENCE[0], "normal", LIGHT["quiet"]),
    ):
        write_at_margin(ax, y, "\n".join(lines), fontsize=size, weight=weight, color=colour, va="top", linespacing=LINE)


def write_at_margin(ax: Axes, y: float, text: str, *, right: float = 0.0, **style: Any) -> None:
    """Write a text that begins at the left margin of the figure, or `right` shares of its width beside it.

    y is in shares of the height of the panel. The text takes no room of its own.
    """
    from matplotlib.transforms import blended_transform_factory

    assert ax.figure is not None
    at = blended_transform_factory(ax.figure.transFigure, ax.transAxes)
    ax.text(MARGIN + right, y, text, transform=at, **style).set_in_layout(False)


def _titles_to_margin(figure: Figure) -> None:
    """Move the titles of panels from the left end of their axes to the left margin; they keep their room."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    for ax in figure.axes:
        if not (title := ax.get_title(loc="left")):
            continue
        ax.set_title(" ", loc="left")
        up = ScaledTranslation(0, TITLE_PAD / 72, figure.dpi_scale_trans)
        at = blended_transform_factory(figure.transFigure, ax.transAxes) + up
        ax.text(MARGIN, 1.0, title, fontsize=10.5, weight="bold", color=LIGHT["text"], transform=at).set_in_layout(
            False
        )


def log_axis(ax: Axes, ticks: Iterable[float]) -> None:
    """Make the x axis logarithmic, with these ticks as plain numbers: matplotlib's own labels are math text."""
    ax.set_xscale("log")
    at = list(ticks)
    ax.set_xticks(at, [f"{tick:g}" for tick in at])
    ax.minorticks_off()


def write_reason(ax: Axes, why: str) -> None:
    """Write why a panel has no data, in place of its axes."""
    ax.set_axis_off()
    ax.text(0.0, 0.5, textwrap.fill(why, SENTENCE[1]), va="center", color=LIGHT["quiet"], transform=ax.transAxes)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; names of columns appear letter by letter, those that the font lacks as boxes."""
    from matplotlib.text import Text

    _titles_to_margin(figure)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a name may have dollar signs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, format="png")
